"""Outputs that cannot be written are told before the work, and several are written as one."""

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ctprep.store import disk
from ctprep.store.disk import write_together
from ctprep.store.errors import CtError, PlaceError, TableError
from ctprep.store.outputs import check_folder, check_outputs, check_suffix
from ctprep.store.tables import (
    LabelTable,
    ScanRow,
    read_labels,
    read_scans,
    write_labels,
    write_reports,
    write_scans,
)

LABELS = LabelTable(("a", "007"), ("Emphysema", "Mass"), np.array([[1.0, np.nan], [0.0, 1.0]]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file, a folder, a link into nowhere and a link to the file."""
    (tmp_path / "file.csv").write_text("mine")
    (tmp_path / "inside").mkdir()
    (tmp_path / "gone").symlink_to(tmp_path / "no" / "where")
    (tmp_path / "link.csv").symlink_to(tmp_path / "file.csv")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("inside", "it is a folder"),
        ("file.csv/out.csv", "a file is in the way"),
        ("file.csv/deeper/out.csv", "a file is in the way"),
        ("gone/out.csv", "its folder is not there"),
        ("n" * 250 + ".csv", "it cannot be written"),
        ("n" * 300 + "/out.csv", "it cannot be written"),
        ("/", "it is a folder"),
        ("/dev/null", "it is a device"),
    ],
)
def test_what_cannot_be_written_is_told(folder: Path, name: str, told: str) -> None:
    """In three lines, and nothing is made; a device would be replaced by a file."""
    before = sorted(folder.rglob("*"))

    with pytest.raises(PlaceError, match=told) as caught:
        check_outputs(folder / name)

    assert len(str(caught.value).splitlines()) == 3
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("name", ["new.csv", "file.csv", "a/b/new.csv", "inside/new.csv"])
def test_what_can_be_written_stays_as_it_is(folder: Path, name: str) -> None:
    """A folder that can be made is enough, and looking makes nothing."""
    before = sorted(folder.rglob("*"))

    check_outputs(folder / name, None, inputs=(None,))

    assert sorted(folder.rglob("*")) == before
    assert (folder / "file.csv").read_text() == "mine"


def test_a_folder_that_takes_no_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By trying: what root may do says nothing of a disk that is read-only."""

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)

    with pytest.raises(PlaceError, match="writing is not permitted"):
        check_outputs(folder / "new" / "out.csv")
    with pytest.raises(PlaceError, match="writing is not permitted"):
        check_folder(folder / "inside")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(folder: Path) -> None:
    """The same, by the system."""
    (folder / "inside").chmod(0o500)

    with pytest.raises(PlaceError, match="writing is not permitted"):
        check_outputs(folder / "inside" / "out.csv")


def test_outputs_are_no_inputs_and_no_twins(folder: Path) -> None:
    """Also by a link or by another spelling."""
    file, link = folder / "file.csv", folder / "link.csv"

    for out in (file, link, folder / "inside" / ".." / "file.csv"):
        with pytest.raises(TableError, match="replace its own input"):
            check_outputs(folder / "other.csv", out, inputs=(None, file))
    with pytest.raises(TableError, match="two outputs would be written to one file"):
        check_outputs(file, link)


def test_names_say_what_is_in_a_file(tmp_path: Path) -> None:
    """In any case of letters; another end, or none, is refused with a name that would do."""
    check_suffix(tmp_path / "a.CSV", (".csv", ".parquet"), "tables are")
    for name in ("a.xlsx", "a", "csv"):
        with pytest.raises(TableError, match=rf"'{name}' does not say so") as caught:
            check_suffix(tmp_path / name, (".csv", ".parquet"), "tables are")
        assert caught.value.mend == f"call it {Path(name).stem}.csv or {Path(name).stem}.parquet"


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".PARQUET"])
def test_tables_are_what_they_are_called(tmp_path: Path, suffix: str) -> None:
    """Labels with holes and scans come back from both formats; only Parquet is Parquet."""
    labels, scans = tmp_path / f"l{suffix}", tmp_path / f"s{suffix}"
    rows = [
        ScanRow(scan_id="007", patient_id="01", split="train", study_id="s"),
        ScanRow(scan_id="b", patient_id="2", split="test", path="x/b.nii.gz"),
    ]

    write_labels(labels, LABELS)
    write_scans(scans, rows)

    assert read_scans(scans) == rows
    found = read_labels(labels)
    assert (found.scan_ids, found.names) == (LABELS.scan_ids, LABELS.names)
    np.testing.assert_array_equal(found.values, LABELS.values)
    assert (labels.read_bytes()[:4] == b"PAR1") == (suffix != ".csv")
    if suffix == ".csv":
        assert labels.read_text() == "scan_id,Emphysema,Mass\na,1,\n007,0,1\n"
    else:
        assert pq.read_table(labels).column("Mass").to_pylist() == [None, 1]


def test_tables_of_other_names_are_refused(tmp_path: Path) -> None:
    """Filtered reports hold lists, which a CSV does not."""
    with pytest.raises(TableError, match=r"as \.csv or \.parquet"):
        write_labels(tmp_path / "l.txt", LABELS)
    with pytest.raises(TableError, match=r"as \.csv or \.parquet"):
        write_scans(tmp_path / "s", [])
    with pytest.raises(TableError, match=r"filtered reports are written as \.parquet"):
        write_reports(tmp_path / "r.csv", [])
    assert not list(tmp_path.iterdir())


def test_several_files_are_written_or_none(tmp_path: Path) -> None:
    """The second cannot be: the first stays what it was, and nothing half-written is left."""
    (tmp_path / "file").write_text("mine")
    one, two = tmp_path / "new" / "one.csv", tmp_path / "file" / "two.csv"

    with pytest.raises(PlaceError, match="a file is in the way") as caught:
        write_together({one: b"1", two: b"2"})

    assert caught.value.where == "two.csv"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "file"]

    two = tmp_path / "two.csv"
    write_together({one: b"1", two: b"2"})
    assert (one.read_bytes(), two.read_bytes()) == (b"1", b"2")
    assert not list(tmp_path.rglob("*.partial"))


def test_a_disk_that_fills_up_at_the_second_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are as they were."""
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    write_together({one: b"old", two: b"old"})
    synced: list[int] = []

    def sync(number: int) -> None:
        synced.append(number)
        if len(synced) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk.os, "fsync", sync)

    with pytest.raises(CtError, match="the disk is full"):
        write_together({one: b"new", two: b"new"})

    assert (one.read_bytes(), two.read_bytes()) == (b"old", b"old")
    assert sorted(tmp_path.iterdir()) == [one, two]


def test_links_in_a_circle_are_told(tmp_path: Path) -> None:
    """As an output in three lines; as an input they are told by who reads it."""
    circle = tmp_path / "circle.csv"
    circle.symlink_to(circle)

    with pytest.raises(PlaceError):
        check_outputs(circle)
    check_outputs(tmp_path / "out.csv", inputs=(circle,))
