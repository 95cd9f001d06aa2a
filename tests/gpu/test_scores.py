"""A model that CUDA trained is scored on the CPU as on CUDA, and by another library."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cli.ctlite import app
from ctlite.evaluate.evaluate import evaluate_run
from ctlite.predictor import Predictor
from ctlite.trainer import train
from ctprep.store.store import VolumeStore

LABELS = ["Emphysema", "Lung nodule"]
SPLITS = ["train", "tune", "tune", "tune", "test", "test", "test", "test"]
MAIN = "from cli.ctlite import main; main()"


@pytest.fixture(params=["clip", "sfp"])
def run(request: pytest.FixtureRequest, gpu, toy_recipe, set_splits, toy_corpus, tmp_path) -> Path:
    """A run on the device, whose corpus has scans to tune and to test on, and labels."""
    options = [f"device={gpu}", "schedule.steps=2"]
    list(train(toy_recipe("clip", *options), tmp_path / "clip"))
    if request.param == "sfp":
        options += [f"init.from={tmp_path / 'clip'}", "stage.rank=1"]
        list(train(toy_recipe("sfp", *options), tmp_path / "sfp"))
    set_splits(SPLITS)
    with (toy_corpus / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["scan_id", *LABELS])
        writer.writerows([f"s{index}", index % 2, index // 2 % 2] for index in range(8))
    return tmp_path / request.param


def read_scores(path: Path) -> np.ndarray:
    """A row a scan, a column a label."""
    with path.open() as file:
        return np.array([[float(row[name]) for name in LABELS] for row in csv.DictReader(file)])


def test_scores_are_the_cpus(gpu: torch.device, run: Path, toy_corpus: Path) -> None:
    """Scores, and the areas that follow from them, for batches of any size."""
    tables = {"labels": toy_corpus / "labels.csv", "scans": toy_corpus / "scans.csv"}
    found = []
    for name, size in (("cpu", 1), (str(gpu), 1), (str(gpu), 3)):
        out = run.parent / f"eval-{name}-{size}"
        told = evaluate_run(run, **tables, resamples=50, device=name, batch_size=size, out=out)
        found.append((read_scores(out / "scores.csv"), told))

    (expected, theirs), *others = found
    assert np.ptp(expected) > 1e-4
    for scores, own in others:
        np.testing.assert_allclose(scores, expected, atol=1e-5)
        assert own.levels.keys() == theirs.levels.keys()
        for label in LABELS:
            own_label, their_label = (
                each.levels["reconstruction"].labels[label] for each in (own, theirs)
            )
            assert own_label.auroc.value == pytest.approx(their_label.auroc.value)


@pytest.mark.parametrize("run", ["sfp"], indirect=True)
def test_the_command_says_the_same(gpu: torch.device, run: Path, toy_corpus: Path) -> None:
    """`ctlite eval --device`, which writes to the run's own folder."""
    tables = [option for name in ("labels", "scans") for option in (f"--{name}", f"{name}.csv")]
    found = []
    for name in ("cpu", str(gpu)):
        command = ["eval", str(run), "--json", "--device", name]
        command += [str(toy_corpus / each) if "." in each else each for each in tables]
        told = CliRunner().invoke(app, command)
        assert told.exit_code == 0, told.output
        assert json.loads(told.stdout)["run"] == "sfp"
        found.append(read_scores(run / "eval" / "scores.csv"))

    np.testing.assert_allclose(found[1], found[0], atol=1e-5)


def test_latents_and_findings_are_the_cpus(gpu: torch.device, run: Path, toy_corpus: Path) -> None:
    """Of the predictor, volume by volume."""
    kind = Predictor(run).model.config.preprocessing.kind
    store = VolumeStore.open(toy_corpus / ("hifi.zarr" if kind == "hifi" else "q90.zarr"))
    latents = [dict(Predictor(run, device=name).embed(store)) for name in ("cpu", gpu)]

    assert latents[0].keys() == latents[1].keys()
    for scan, latent in latents[0].items():
        np.testing.assert_allclose(np.asarray(latents[1][scan]), np.asarray(latent), atol=1e-5)


@pytest.mark.parametrize("run", ["sfp"], indirect=True)
def test_the_onnx_file_gives_the_devices_latents(
    gpu: torch.device, run: Path, toy_corpus: Path, tmp_path: Path
) -> None:
    """Exported from the weights that the device trained."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    out = tmp_path / "tower.onnx"
    command = [sys.executable, "-c", MAIN, "export-onnx", str(run), str(out)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    predictor = Predictor(run, device=gpu)
    kind = predictor.model.config.preprocessing.kind
    store = VolumeStore.open(toy_corpus / ("hifi.zarr" if kind == "hifi" else "q90.zarr"))

    for scan_id, latent in predictor.embed(store):
        (found,) = session.run(None, {"volume": store.read(scan_id)[None]})
        np.testing.assert_allclose(found[0], np.asarray(latent), atol=1e-4)
