"""`ctprep split`: what a user has beside a store becomes a scan table that trains."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.ctprep import app
from ctprep.store.attributes import Grid
from ctprep.store.store import VolumeStore
from ctprep.store.tables import read_scans, write_scans
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
    # It may be the user's own table of scans.
    assert "remove" not in told
    assert out.read_bytes() == before


def test_a_file_of_another_kind_is_told_as_such(store: Path, tmp_path: Path) -> None:
    """Not as a scan table whose columns are to be renamed."""
    out = tmp_path / "labels.csv"
    out.write_text("scan_id,Emphysema\ntrain_5_a_1,1\n")

    code, told = run(store, out)

    assert code == 1
    assert "another file is there already, and it is no scan table" in told
    assert "remove" not in told


def test_a_split_in_parquet(store: Path, tmp_path: Path) -> None:
    """The same rows, and found again by a second run."""
    csv, parquet = tmp_path / "scans.csv", tmp_path / "scans.parquet"

    assert (run(store, csv)[0], run(store, parquet)[0]) == (0, 0)

    assert parquet.read_bytes()[:4] == b"PAR1"
    assert read_scans(parquet) == read_scans(csv)
    assert "has this split already" in run(store, parquet)[1]


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
    assert "2 to tune" in run(store, tmp_path / "s.csv", "--paper", "nidch", "--tune", 2)[1]
    assert not (tmp_path / "scans.csv").exists()


def test_ct_rate_tables_by_study_go_straight_in(store: Path, tmp_path: Path) -> None:
    """Reports and labels a scan, not a reconstruction, reach both; the table has the studies."""
    out, reports, labels = (tmp_path / name for name in ("s.csv", "r.csv", "l.csv"))
    studies = [f"{'valid' if n < 3 else 'train'}_{n}_a" for n in range(PATIENTS)]
    reports.write_text("VolumeName,report_text\n" + "".join(f"{s},Text of {s}.\n" for s in studies))
    labels.write_text("VolumeName,Emphysema\n" + "".join(f"{s},1\n" for s in studies))

    code, told = run(
        store, out, "--dataset", "ct_rate", "--labels", labels, "--reports", reports, "--json"
    )

    assert code == 0, told
    facts = json.loads(told)
    assert (facts["unlabeled"], facts["unreported"]) == (0, 0)
    assert sum(count["positives"]["Emphysema"] for count in facts["counts"]) == PATIENTS + 4
    assert sum(count["positive_patients"]["Emphysema"] for count in facts["counts"]) == PATIENTS
    rows = read_scans(out)
    assert all(row.scan_id.startswith(f"{row.study_id}_") for row in rows)
    assert all(str(row.study_id).startswith(f"{row.patient_id}_") for row in rows)


def test_a_hospital_table_tells_patients_that_the_store_does_not(
    store: Path, tmp_path: Path
) -> None:
    """All scans of five wards as if each were a patient: none is on two sides."""
    out, hospital = tmp_path / "s.csv", tmp_path / "h.csv"
    ids = VolumeStore.open(store).scan_ids()
    hospital.write_text(
        "scan_id;patient_id\n" + "".join(f"{s};{n % 5:03}\n" for n, s in enumerate(ids))
    )

    code, told = run(store, out, "--patients", hospital)

    assert code == 0, told
    rows = read_scans(out)
    assert len(rows) == len(ids)
    assert {row.patient_id for row in rows} == {"000", "001", "002", "003", "004"}
    assert {row.split for row in rows} == {"train", "tune", "test"}


def test_a_grown_corpus_keeps_its_split(store: Path, tmp_path: Path) -> None:
    """Who was drawn stays; further scans follow their patient, further patients are for training.

    The earlier split knows 17 of 20 patients, and of one on the test side but one of two scans.
    """
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    for seed in range(9):
        first.unlink(missing_ok=True)
        run(store, first, "--seed", seed, "--tune", 3, "--test", 8)
        rows = {row.scan_id: row for row in read_scans(first)}
        if rows["valid_1_a_2"].split == "test":
            break
    gone = ("valid_1_a_2", "train_17_a_1", "train_18_a_1", "train_19_a_1")
    write_scans(first, [row for row in rows.values() if row.scan_id not in gone])
    known = {row.scan_id: row.split for row in read_scans(first)}

    code, told = run(store, second, "--keep", first)

    assert code == 0, told
    found = {row.scan_id: row.split for row in read_scans(second)}
    assert {scan_id: found[scan_id] for scan_id in known} == known
    assert [found[scan_id] for scan_id in gone] == ["test", "train", "train", "train"]
    assert "has this split already" in run(store, second, "--keep", second)[1]
    with first.open("a") as file:
        file.write("elsewhere,px,train,,,\n")
    told = run(store, second, "--keep", first)[1]
    assert "1 scans of the split to keep are not in the store" in told
    first.write_text("scan_id,patient_id,split\nelsewhere,px,train\n")
    assert "has no scan of the store, but elsewhere" in run(store, second, "--keep", first)[1]


def test_a_patient_whose_scans_have_other_ids_keeps_his_side(store: Path, tmp_path: Path) -> None:
    """A test patient must not end in training because a scan was renamed."""
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    run(store, first, "--tune", 3, "--test", 8)
    rows = list(read_scans(first))
    moved = next(row for row in rows if row.split == "test")
    renamed = [
        row.model_copy(update={"scan_id": f"old-{row.scan_id}"})
        if row.patient_id == moved.patient_id
        else row
        for row in rows
    ]
    write_scans(first, renamed)

    code, told = run(store, second, "--keep", first)

    assert code == 0, told
    sides = {row.split for row in read_scans(second) if row.patient_id == moved.patient_id}
    assert sides == {"test"}


def test_a_stale_catalog_is_refused(store: Path, tmp_path: Path) -> None:
    """A volume that the catalog does not list would be lost without a word."""
    copy = tmp_path / "copy.zarr"
    shutil.copytree(store, copy)
    VolumeStore.open(copy).remove("train_5_a_1")

    code, told = run(copy, tmp_path / "scans.csv")

    assert code == 1
    assert "not that of the volumes" in told


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--test-ids", "^official"), "no scan id matches"),
        (("--test-ids", "("), "no regular expression"),
        (("--paper", "ct_rate", "--test", 5), "leave out"),
        (("--test-ids", "^valid_", "--test", 5), "leave out"),
        (("--paper", "rad_chestct"), "is not one of"),
        (("--reports", "absent.csv"), "no such table"),
        (("--test", "nan"), "no share and no count"),
        (("--test", "inf"), "no share and no count"),
        (("--dataset", "rad_chestct", "--patients", "h.csv"), "leave out one"),
        (("--dataset", "nidch"), "tell no patient"),
        (("--dataset", "mars"), "no data set is called"),
        (("--keep", "k.csv", "--test", 5), "leave out sizes"),
        (("--keep", "k.csv"), "no such table"),
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
