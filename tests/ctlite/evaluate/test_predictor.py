"""A model shown new scans sees what evaluation and training show it."""

import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner

from cli.ctlite import app
from ctlite.evaluate.evaluate import evaluate_run
from ctlite.predictor import Predictor
from ctprep.compress import compress_store
from ctprep.ingest import ingest
from ctprep.store.attributes import Grid
from ctprep.store.errors import CheckpointError
from ctprep.store.store import VolumeStore
from tests.ctlite.evaluate.test_evaluate import LABELS, SCANS, build_model, run  # noqa: F401

GRID = Grid(name="tiny", spacing_mm=(3.0, 2.0, 2.0), shape=(8, 16, 24))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A folder with a scan, and a file that is none."""
    folder = tmp_path / "archive"
    folder.mkdir()
    hu = np.random.default_rng(0).choice([-1000, -850, -100, 40], (16, 18, 20)).astype(np.int16)
    image = nibabel.Nifti1Image(hu, np.diag([-2.0, -2.0, 1.5, 1]))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, folder / "scan.nii.gz")
    (folder / "notes.txt").write_text("not a scan")
    return folder


@pytest.fixture
def stores(archive: Path, tmp_path: Path) -> dict[str, VolumeStore]:
    """The scan as the commands prepare it, by kind."""
    hifi, jpeg = tmp_path / "hifi.zarr", tmp_path / "q70.zarr"
    list(ingest(archive, hifi, grid=GRID, key=bytes(32)))
    list(compress_store(hifi, jpeg, quality=70))
    return {"hifi": VolumeStore.open(hifi), "jpeg": VolumeStore.open(jpeg)}


def test_findings_are_those_of_the_evaluation(run: Path, tmp_path: Path) -> None:  # noqa: F811
    """The same scores, and the thresholds that were chosen on the tuning scans."""
    evaluate_run(run, labels=tmp_path / "labels.csv", scans=tmp_path / "scans.csv", resamples=10)
    with (run / "eval" / "scores.csv").open(newline="") as file:
        wanted = {row["scan_id"]: row for row in csv.DictReader(file)}
    chosen = json.loads((run / "model" / "thresholds.json").read_text())["levels"]
    store = VolumeStore.open(tmp_path / "jpeg.zarr")
    found = dict(Predictor(run).predict(store, batch_size=3))

    assert sorted(found) == SCANS
    for scan_id, row in wanted.items():
        for finding, label in zip(found[scan_id], LABELS, strict=True):
            assert finding.label == label
            assert finding.score == pytest.approx(float(row[label]), abs=1e-5)
            assert finding.threshold == chosen["reconstruction"][label]
            assert finding.is_present == (finding.score > chosen["reconstruction"][label])


@pytest.mark.parametrize("kind", ["hifi", "jpeg"])
def test_a_scan_is_seen_as_if_it_were_in_a_store(
    archive: Path, stores: dict[str, VolumeStore], tmp_path: Path, kind: str
) -> None:
    """From the file to the latent in one command: the very same numbers, and the refusal told."""
    model = build_model(stores[kind], kind)
    preprocessing = model.config.preprocessing.model_copy(
        update={"quality": stores[kind].attributes.quality}
    )
    model.config = model.config.model_copy(update={"preprocessing": preprocessing})
    model.save_pretrained(tmp_path / "model")
    outcomes, latents = [], []
    places = (archive, stores[kind].path, f"{stores[kind].path}/scan")
    for number, source in enumerate(places):
        out = tmp_path / f"{number}.npz"
        outcome = CliRunner().invoke(app, ["embed", str(tmp_path / "model"), str(source), str(out)])
        assert outcome.exit_code == (3 if source == archive else 0), outcome.output
        outcomes.append(outcome)
        with np.load(out) as file:
            assert file["names"].tolist() == ["scan.nii.gz" if source == archive else "scan"]
            latents.append(file["latents"])

    assert "refused notes.txt: not-a-scan" in outcomes[0].stderr
    np.testing.assert_array_equal(latents[0], latents[1])
    np.testing.assert_array_equal(latents[0], latents[2])
    np.testing.assert_allclose(np.linalg.norm(latents[0], axis=1), 1, atol=1e-5)


def test_predictions_for_machines_and_for_people(
    archive: Path, stores: dict[str, VolumeStore], tmp_path: Path
) -> None:
    """A JSON line a scan; without thresholds nothing is called present."""
    build_model(stores["hifi"], "hifi").save_pretrained(tmp_path / "run" / "model")
    arguments = ["predict", str(tmp_path / "run"), str(archive / "scan.nii.gz")]
    machine = CliRunner().invoke(app, [*arguments, "--json", "--label", "Emphysema"])
    people = CliRunner().invoke(app, arguments)

    (line,) = machine.stdout.splitlines()
    told = json.loads(line)
    assert told["scan"] == "scan.nii.gz"
    assert told["findings"]["Emphysema"]["present"] is None
    assert people.exit_code == 0
    assert "Pleural effusion" in people.stdout
    assert "for research" in people.stdout


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    """With what to give instead."""
    with pytest.raises(CheckpointError, match="no trained model"):
        Predictor(tmp_path)


def test_nothing_to_look_at_is_an_error(
    archive: Path, stores: dict[str, VolumeStore], tmp_path: Path
) -> None:
    """A folder of refusals writes no file."""
    build_model(stores["hifi"], "hifi").save_pretrained(tmp_path / "model")
    (archive / "scan.nii.gz").unlink()
    out = tmp_path / "out.npz"
    outcome = CliRunner().invoke(app, ["embed", str(tmp_path / "model"), str(archive), str(out)])

    assert outcome.exit_code == 3
    assert not out.exists()
