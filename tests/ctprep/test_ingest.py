"""Ingest ends every input as exactly one of stored, unchanged or refused."""

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from ctprep.compress import compress_store
from ctprep.ingest import ingest
from ctprep.ingest_volume import REVISION, Settings
from ctprep.native import NativeJpeg
from ctprep.store.errors import SourceError, StoreError, StoreMismatchError, TableError
from ctprep.store.store import VolumeStore

KEY = b"0123456789abcdef"
NAMES = b"Doe", b"Jane", b"id-"


@pytest.fixture
def run(tiny_grid):
    """Ingest with what all tests share; gives the items by name."""

    def _run(source, store, **options):
        options = {"grid": tiny_grid, "key": KEY, **options}
        items = list(ingest(source, store, **options))
        assert len({item.name for item in items}) == len(items)
        return {item.name: item for item in items}

    return _run


@pytest.fixture(scope="module")
def three_scans(tmp_path_factory, tiny):
    """Three scans in three formats, not to be changed."""
    folder = tmp_path_factory.mktemp("three")
    tiny.nifti(folder / "One_A.nii.gz", 1)
    tiny.npz(folder / "two.npz", 2)
    tiny.dicom(folder / "series", 3)
    return folder


@pytest.fixture
def source(tmp_path, three_scans):
    """A copy of the three scans."""
    return shutil.copytree(three_scans, tmp_path / "source")


def statuses(items) -> list[str]:
    """Sorted statuses of a run."""
    return sorted(item.status for item in items.values())


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of a store by its relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_three_formats_become_three_volumes(run, source, tmp_path, tiny, tiny_grid) -> None:
    """Each scan lies where it should, HU unchanged where the spacing is, padding around."""
    items = run(source, tmp_path / "hifi.zarr")
    store = VolumeStore.open(tmp_path / "hifi.zarr", kind="hifi")

    assert statuses(items) == ["stored"] * 3
    assert {"one_a", "two"} < set(store.scan_ids())
    hu = store.read("one_a")
    attributes = store.read_attributes("one_a")
    (top, bottom), (front, back), (right, left) = attributes.content
    np.testing.assert_array_equal(hu[top:bottom, front:back, right:left], tiny.hu(1))
    assert (top, front, right) == (2, 2, 2)
    assert set(np.unique(hu[:top])) == {-1024}
    assert store.catalog().num_rows == 3


def test_dicom_is_named_by_pseudonyms_and_no_name_is_written(run, source, tmp_path) -> None:
    """Neither store, report nor fingerprints hold a patient's name or number."""
    items = run(source, tmp_path / "out" / "hifi.zarr")
    (series,) = [item for item in items.values() if item.scan_id.startswith("ct-")]
    attributes = VolumeStore.open(tmp_path / "out" / "hifi.zarr").read_attributes(series.scan_id)

    assert attributes.source_format == "dicom"
    assert attributes.patient_id.startswith("p-")
    for content in files_of(tmp_path / "out").values():
        assert not any(name in content for name in NAMES)


def test_pseudonyms_may_stand_for_file_names_too(run, tmp_path, tiny) -> None:
    """A name in a file name reaches neither scan nor patient id, and a rerun finds the volume."""
    tiny.nifti(tmp_path / "source" / "Doe_Jane.nii.gz", 1)
    tiny.npz(tmp_path / "source" / "doe-jane-2.npz", 2)
    store = tmp_path / "hifi.zarr"

    items = run(tmp_path / "source", store, scan_ids="pseudonym")

    assert statuses(items) == ["stored"] * 2
    assert all(scan_id.startswith("ct-") for scan_id in VolumeStore.open(store).scan_ids())
    written = b"".join([*map(str.encode, files_of(store)), *files_of(store).values()]).lower()
    assert b"doe" not in written
    assert b"jane" not in written
    again = run(tmp_path / "source", store, scan_ids="pseudonym")
    assert statuses(again) == ["unchanged"] * 2


def test_running_again_changes_nothing(run, source, tmp_path) -> None:
    """All unchanged by fingerprint, by hash when times differ, and byte for byte the same."""
    run(source, tmp_path / "hifi.zarr")
    before = files_of(tmp_path / "hifi.zarr")

    assert statuses(run(source, tmp_path / "hifi.zarr")) == ["unchanged"] * 3
    for path in source.rglob("*.*"):
        path.touch()
    assert statuses(run(source, tmp_path / "hifi.zarr")) == ["unchanged"] * 3
    (tmp_path / "hifi.fingerprints.jsonl").unlink()
    assert statuses(run(source, tmp_path / "hifi.zarr")) == ["unchanged"] * 3
    assert files_of(tmp_path / "hifi.zarr") == before


def test_untouched_files_are_not_read_again(run, source, tmp_path, monkeypatch) -> None:
    """The second run looks at sizes and times alone."""
    run(source, tmp_path / "hifi.zarr")

    def read_nothing(*_):
        raise AssertionError("a worker was asked")

    monkeypatch.setattr("ctprep.ingest.ingest_volume", read_nothing)
    assert statuses(run(source, tmp_path / "hifi.zarr")) == ["unchanged"] * 3


def test_only_what_is_missing_or_changed_is_done(run, source, tmp_path, tiny) -> None:
    """A new scan, a changed scan, a lost volume, and one left alone."""
    store = tmp_path / "hifi.zarr"
    run(source, store)
    tiny.nifti(source / "new.nii.gz", 5)
    tiny.npz(source / "two.npz", 6)
    (series,) = (i for i in VolumeStore.open(store).scan_ids() if i.startswith("ct-"))
    VolumeStore.open(store).remove(series)

    items = run(source, store)

    assert {item.scan_id: item.status for item in items.values()} == {
        "one_a": "unchanged",
        "two": "stored",
        series: "stored",
        "new": "stored",
    }


def test_other_parameters_are_done_again_or_refused(run, source, tmp_path, tiny_grid) -> None:
    """A volume's own parameter replaces it; a parameter of the store is an error."""
    store = tmp_path / "hifi.zarr"
    run(source, store)

    assert statuses(run(source, store, tolerant=True)) == ["stored"] * 3
    with pytest.raises(StoreMismatchError, match="hu_range"):
        run(source, store, hu_range=(-1000, 1000))
    with pytest.raises(StoreMismatchError, match="grid"):
        run(source, store, grid=tiny_grid.model_copy(update={"shape": (16, 32, 32)}))
    assert len(VolumeStore.open(store).scan_ids()) == 3


def test_what_another_revision_has_made_is_made_again(
    run, source, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what was made before volumes said by which, and in the JPEG store after it."""
    store, jpeg = tmp_path / "hifi.zarr", tmp_path / "q90.zarr"
    monkeypatch.setattr("ctprep.ingest_volume.REVISION", 0)
    run(source, store)
    list(compress_store(store, jpeg))
    monkeypatch.undo()

    assert statuses(run(source, store)) == ["stored"] * 3
    assert [item.status for item in compress_store(store, jpeg)] == ["stored"] * 3
    attributes = VolumeStore.open(jpeg).read_attributes("two")
    assert attributes.parameters["revision"] == REVISION
    monkeypatch.setattr(Settings, "parameters", {"hu_policy": "auto", "tolerant": False})
    assert statuses(run(source, tmp_path / "old.zarr")) == ["stored"] * 3
    monkeypatch.undo()
    assert statuses(run(source, tmp_path / "old.zarr")) == ["stored"] * 3
    assert statuses(run(source, tmp_path / "old.zarr")) == ["unchanged"] * 3


def test_two_workers_write_what_one_writes(run, source, tmp_path) -> None:
    """Byte for byte, with everything told the same but the time it took."""
    one = run(source, tmp_path / "one.zarr")
    two = run(source, tmp_path / "two.zarr", workers=2)

    assert files_of(tmp_path / "one.zarr") == files_of(tmp_path / "two.zarr")
    assert {n: (i.status, i.scan_id, i.nbytes) for n, i in one.items()} == {
        n: (i.status, i.scan_id, i.nbytes) for n, i in two.items()
    }


def test_a_run_takes_away_what_its_killed_workers_left(source, tmp_path, tiny_grid) -> None:
    """Like the store of an unbroken run at once, not only after the next one."""
    items = ingest(source, tmp_path / "hifi.zarr", grid=tiny_grid, key=KEY)
    next(items)
    half_written = tmp_path / "hifi.zarr" / ".partial" / "two~0123456789abcdef~new"
    (half_written / "0").mkdir(parents=True)
    list(items)

    assert not (tmp_path / "hifi.zarr" / ".partial").exists()


def test_bad_input_is_refused_and_the_good_is_stored(run, source, tmp_path, tiny) -> None:
    """A row each for no scan, no spacing, NaN and truncation; the store stays readable."""
    (source / "notes.txt").write_text("no scan")
    whole = tiny.nifti(tmp_path / "whole.nii.gz", 7).read_bytes()
    (source / "truncated.nii.gz").write_bytes(whole[: len(whole) // 2])
    holes = tiny.hu(8).astype(np.float32)
    holes[3, 4, 5] = np.nan
    np.savez(source / "holes.npz", ct=holes)
    np.savez(source / "no-ct.npz", voxels=tiny.hu(9))
    nibabel.save(nibabel.Nifti1Image(tiny.hu(9), None), source / "nowhere.nii.gz")

    items = run(source, tmp_path / "hifi.zarr")

    assert statuses(items) == ["refused"] * 5 + ["stored"] * 3
    bad = {Path(item.name).name: item for item in items.values() if item.status == "refused"}
    assert {name: item.verdict for name, item in bad.items()} == {
        "notes.txt": "not-a-scan",
        "truncated.nii.gz": "truncated",
        "holes.npz": "not-finite",
        "no-ct.npz": "not-a-scan",
        "nowhere.nii.gz": "no-orientation",
    }
    assert all(item.verdict and item.what and item.mend for item in bad.values())
    assert VolumeStore.open(tmp_path / "hifi.zarr").catalog().num_rows == 3
    lines = (tmp_path / "hifi.report.jsonl").read_text().splitlines()
    assert {json.loads(line)["name"] for line in lines} == set(items)


def test_no_source_and_empty_source_are_errors(run, tmp_path) -> None:
    """Each says what to do, and leaves no store that looks finished."""
    (tmp_path / "empty").mkdir()

    with pytest.raises(SourceError, match="no such source"):
        run(tmp_path / "gone", tmp_path / "hifi.zarr")
    with pytest.raises(SourceError, match="no file in the source"):
        run(tmp_path / "empty", tmp_path / "hifi.zarr")
    assert not (tmp_path / "hifi.zarr" / "catalog.parquet").exists()


def test_a_store_inside_its_source_is_an_error(run, source) -> None:
    """The next run would read its own output."""
    with pytest.raises(StoreError, match="inside its own source"):
        run(source, source / "hifi.zarr")


def test_a_store_of_another_version_is_an_error(run, source, tmp_path) -> None:
    """It is left as it is."""
    run(source, tmp_path / "hifi.zarr")
    group = tmp_path / "hifi.zarr" / "zarr.json"
    group.write_text(group.read_text().replace('"format_version": "1"', '"format_version": "99"'))

    with pytest.raises(StoreError, match="99"):
        run(source, tmp_path / "hifi.zarr")


def test_a_dry_run_tells_and_writes_nothing(run, source, tmp_path, tiny) -> None:
    """Before there is a store, and with one that lacks a volume."""
    assert statuses(run(source, tmp_path / "hifi.zarr", dry_run=True)) == ["planned"] * 3
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    run(source, tmp_path / "hifi.zarr")
    before = files_of(tmp_path)
    extra = tiny.nifti(source / "new.nii.gz", 5)
    items = run(source, tmp_path / "hifi.zarr", dry_run=True)
    extra.unlink()

    assert statuses(items) == ["planned"] + ["unchanged"] * 3
    assert files_of(tmp_path) == before


def test_native_jpeg_goes_through_jpeg_before_the_grid(run, source, tmp_path) -> None:
    """The store says so, its padding is black, and it is near the windowed volume."""
    run(source, tmp_path / "native.zarr", native=NativeJpeg(quality=90))
    store = VolumeStore.open(tmp_path / "native.zarr", kind="jpeg")
    attributes = store.read_attributes("one_a")
    gray = store.read("one_a")

    assert (store.attributes.encode_at, store.attributes.quality) == ("native", 90)
    assert gray[0].max() == 0
    assert attributes.quality is not None
    assert 25 < attributes.quality.psnr_db < 60
    assert 0.8 < attributes.quality.ssim < 1
    with pytest.raises(StoreMismatchError, match="kind"):
        run(source, tmp_path / "native.zarr")


def write_table(path: Path, rows: str) -> Path:
    """Write a scan table."""
    path.write_text("scan_id,patient_id,split,path\n" + rows)
    return path


def test_the_table_names_scans_and_patients(run, source, tmp_path) -> None:
    """A file by its path, a series by its folder, and the paths relative to the source."""
    rows = "s-1,pat-1,train,One_A.nii.gz\ns-2,pat-2,tune,two.npz\ns-3,pat-1,train,series\n"
    table = write_table(source / "scans.csv", rows)

    items = run(source, tmp_path / "hifi.zarr", scans=table)
    store = VolumeStore.open(tmp_path / "hifi.zarr")

    assert statuses(items) == ["stored"] * 3
    assert store.scan_ids() == ("s-1", "s-2", "s-3")
    assert store.read_attributes("s-3").patient_id == "pat-1"


def test_paths_may_be_relative_to_the_table(run, source, tmp_path) -> None:
    """A table beside the folder of scans names that folder in its paths."""
    rows = "".join(
        f"s-{n},p-{n},train,source/{name}\n"
        for n, name in enumerate(["One_A.nii.gz", "two.npz", "series"])
    )
    table = write_table(tmp_path / "scans.csv", rows)

    assert statuses(run(source, tmp_path / "hifi.zarr", scans=table)) == ["stored"] * 3


def test_what_table_and_folder_do_not_share_is_refused(run, source, tmp_path) -> None:
    """A scan without a row, a row without a file, and a row whose file is broken."""
    (source / "broken.nii.gz").write_bytes(b"no gzip")
    rows = "s-1,p-1,train,One_A.nii.gz\ns-2,p-2,train,gone.nii.gz\ns-3,p-3,train,two.npz\n"
    table = write_table(tmp_path / "scans.csv", rows + "s-4,p-4,train,broken.nii.gz\n")

    items = run(source, tmp_path / "hifi.zarr", scans=table)
    by_id = {item.scan_id: item for item in items.values()}

    assert by_id["s-1"].status == by_id["s-3"].status == "stored"
    assert by_id["s-2"].verdict == "listed-but-absent"
    assert by_id["s-4"].status == "refused"
    assert by_id["s-4"].verdict != "listed-but-absent"
    assert [item.verdict for item in items.values() if item.scan_id is None] == ["not-listed"]


def test_a_folder_row_takes_one_series(run, tmp_path, tiny) -> None:
    """A second series under the same row has no id of its own, and is not lost silently."""
    tiny.dicom(tmp_path / "source" / "study" / "a", 1)
    tiny.dicom(tmp_path / "source" / "study" / "b", 2)
    table = write_table(tmp_path / "scans.csv", "s-1,p-1,train,study\n")

    items = run(tmp_path / "source", tmp_path / "hifi.zarr", scans=table)

    assert sorted((item.status, item.verdict) for item in items.values()) == [
        ("refused", "duplicate-scan-id"),
        ("stored", None),
    ]


def test_another_patient_in_the_table_is_written(run, source, tmp_path) -> None:
    """A corrected table corrects the store."""
    rows = "s-2,p-2,tune,two.npz\ns-3,p-3,train,series\n"
    first = write_table(tmp_path / "first.csv", "s-1,p-1,train,One_A.nii.gz\n" + rows)
    second = write_table(tmp_path / "second.csv", "s-1,p-9,train,One_A.nii.gz\n" + rows)
    run(source, tmp_path / "hifi.zarr", scans=first)

    items = run(source, tmp_path / "hifi.zarr", scans=second)

    assert statuses(items) == ["stored", "unchanged", "unchanged"]
    assert VolumeStore.open(tmp_path / "hifi.zarr").read_attributes("s-1").patient_id == "p-9"


def test_a_wrong_column_is_an_error_before_anything_is_read(run, source, tmp_path) -> None:
    """The table's fault is told with its nearest right name."""
    (tmp_path / "scans.csv").write_text("scan,patient_id,split,path\n")

    with pytest.raises(TableError, match="scan_id"):
        run(source, tmp_path / "hifi.zarr", scans=tmp_path / "scans.csv")
    assert not (tmp_path / "hifi.zarr").exists()


def test_a_dry_run_makes_no_store_of_an_empty_folder(run, source, tmp_path) -> None:
    """It writes nothing at all, and says what would be stored."""
    (tmp_path / "hifi.zarr").mkdir()
    items = run(source, tmp_path / "hifi.zarr", dry_run=True)

    assert statuses(items) == ["planned"] * 3
    assert list((tmp_path / "hifi.zarr").iterdir()) == []
