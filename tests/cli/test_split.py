"""`ctprep split`: what a user has beside a store becomes a scan table that trains."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.ctprep import app
from ctprep.store.attributes import Grid
from ctprep.store.store import VolumeStore
from ctprep.store.tables import read_scans
from tests.stores import smooth_voxels, store_attributes, volume_attributes

GRID = Grid(name="tiny", shape=(8, 16, 16), spacing_mm=(5.0, 4.0, 4.0))
PATIENTS = 20


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty patients in the names of CT-RATE; the first four have two scans, one is official."""
    path = tmp_path_factory.mktemp("split") / "q90.zarr"
    opened = VolumeStore.create(path, store_attributes("jpeg", GRID))
    for number in range(PATIENTS):
        part = "valid" if number < 3 else "train"
        for scan in range(2 if number < 4 else 1):
            scan_id = f"{part}_{number}_a_{scan + 1}"
            attributes = volume_attributes(scan_id, GRID).model_copy(
                update={"patient_id": f"{part}_{number}"}
            )
            opened.write(scan_id, smooth_voxels("jpeg", GRID.shape), attributes)
    opened.write_catalog()
    return path


def run(*arguments: object) -> tuple[int, str]:
    """Exit code and all that was printed."""
    result = CliRunner().invoke(app, ["split", *map(str, arguments)])
    return result.exit_code, result.output


def test_the_table_has_every_scan_by_patient(store: Path, tmp_path: Path) -> None:
    """Read back as training reads it; a second run finds its own table and leaves it."""
    out = tmp_path / "scans.csv"

    code, told = run(store, out)

    rows = read_scans(out)
    assert code == 0, told
    assert [row.scan_id for row in rows] == list(VolumeStore.open(store).scan_ids())
    patients = {side: {row.patient_id for row in rows if row.split == side} for side in SIDES}
    assert {side: len(found) for side, found in patients.items()} == SIDES
    assert "has this split already" in run(store, out)[1]


SIDES = {"train": 14, "tune": 2, "test": 4}


def test_another_split_is_never_written_over(store: Path, tmp_path: Path) -> None:
    """Models may have been trained on the table that is there."""
    out = tmp_path / "scans.csv"
    run(store, out)
    before = out.read_bytes()

    code, told = run(store, out, "--seed", 1)

    assert code == 1
    assert "another split is there" in told
    assert out.read_bytes() == before


def test_official_ids_are_the_test_side(store: Path, tmp_path: Path) -> None:
    """CT-RATE's own division: its names begin with valid or train."""
    out = tmp_path / "scans.csv"

    assert run(store, out, "--test-ids", "^valid_")[0] == 0

    tested = {row.scan_id for row in read_scans(out) if row.split == "test"}
    assert tested == {row.scan_id for row in read_scans(out) if row.scan_id.startswith("valid_")}
    assert len(tested) == 6


def test_equal_reports_and_labels_are_heeded(store: Path, tmp_path: Path) -> None:
    """Two patients with one unusual report stay together; what tables lack is said."""
    reports, labels = tmp_path / "reports.csv", tmp_path / "labels.csv"
    reports.write_text(
        "VolumeName,Findings_EN,Impressions_EN\n"
        "train_5_a_1.nii.gz,Cavity of 3 cm.,Abscess.\ntrain_9_a_1.nii.gz,Cavity of 3 cm.,Abscess.\n"
    )
    labels.write_text(
        "VolumeName,Emphysema\n"
        + "".join(f"train_{number}_a_1.nii.gz,{number % 2}\n" for number in range(4, PATIENTS))
    )
    for seed in range(4):
        out = tmp_path / f"{seed}.csv"
        code, told = run(
            store, out, "--seed", seed, "--reports", reports, "--labels", labels, "--json"
        )
        facts = json.loads(told)
        side_of = {row.scan_id: row.split for row in read_scans(out)}
        assert code == 0
        assert side_of["train_5_a_1"] == side_of["train_9_a_1"]
        assert (facts["bound"], facts["unlabeled"], facts["unreported"]) == (2, 8, 22)
        assert sum(count["positives"]["Emphysema"] for count in facts["counts"]) == 8


def test_the_papers_sizes_need_its_patients(store: Path, tmp_path: Path) -> None:
    """573 and 215 patients of 20: said plainly, and nothing is written."""
    code, told = run(store, tmp_path / "scans.csv", "--paper", "ct_rate")

    assert code == 1
    assert "573 to train, 215 to test" in told
    assert not (tmp_path / "scans.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--test-ids", "^official"), "no scan id matches"),
        (("--test-ids", "("), "no regular expression"),
        (("--paper", "ct_rate", "--test", 5), "leave out"),
        (("--test-ids", "^valid_", "--test", 5), "leave out"),
        (("--paper", "rad_chestct"), "is not one of"),
        (("--reports", "absent.csv"), "no such table"),
    ],
)
def test_wrong_options_are_told(
    store: Path, tmp_path: Path, arguments: tuple[object, ...], expected: str
) -> None:
    """Each with a way to mend it, and without a table."""
    code, told = run(store, tmp_path / "scans.csv", *arguments)

    assert code != 0
    assert expected in " ".join(told.replace("│", " ").split())
    assert not (tmp_path / "scans.csv").exists()


def test_dry_run_writes_nothing(store: Path, tmp_path: Path) -> None:
    """It tells the sides all the same."""
    code, told = run(store, tmp_path / "scans.csv", "--dry-run")

    assert code == 0
    assert "train" in told
    assert not (tmp_path / "scans.csv").exists()
