"""A file name may be that of two scans: neither replaces the other without a word."""

import errno
import shutil
from pathlib import Path

import pytest

from ctprep.fingerprints import Fingerprints
from ctprep.ingest import ingest
from ctprep.jobs import Item
from ctprep.store.folder import FolderPlace
from ctprep.store.store import VolumeStore

KEY = b"0123456789abcdef"


@pytest.fixture
def run(tmp_path, tiny_grid):
    """Ingest a folder of one scan into the one store; gives its item."""

    def _run(folder: str, **options) -> Item:
        source, store = tmp_path / folder, tmp_path / "hifi.zarr"
        (item,) = ingest(source, store, grid=tiny_grid, key=KEY, **options)
        return item

    return _run


@pytest.fixture
def run_all(tmp_path, tiny_grid):
    """Ingest the folder `source` of several scans into the one store; gives its items."""

    def _run(**options) -> list[Item]:
        source, store = tmp_path / "source", tmp_path / "hifi.zarr"
        return list(ingest(source, store, grid=tiny_grid, key=KEY, **options))

    return _run


def content(tmp_path: Path) -> bytes:
    """The metadata of the one volume, which hold the hash of its file."""
    store = VolumeStore.open(tmp_path / "hifi.zarr")
    (scan_id,) = store.scan_ids()
    return (store.path / scan_id / "zarr.json").read_bytes()


@pytest.mark.parametrize("options", [{}, {"scan_ids": "pseudonym"}, {"tolerant": True}])
def test_another_scan_of_the_same_name_is_refused(run, tmp_path, tiny, options) -> None:
    """Whatever the parameters, also in a dry run and each time anew; the first one stays."""
    tiny.nifti(tmp_path / "one/scan1.nii.gz", 1)
    tiny.nifti(tmp_path / "two/scan1.nii.gz", 2)
    named = {"scan_ids": options["scan_ids"]} if "scan_ids" in options else {}
    assert run("one", **named).status == "stored"
    before = content(tmp_path)

    for more in ({"dry_run": True}, {}, {"workers": 2}):
        item = run("two", **options, **more)
        assert (item.status, item.verdict) == ("refused", "scan-id-taken")
        assert "--scans" in item.mend
    assert content(tmp_path) == before
    assert run("one", **named).status == "unchanged"


def test_the_same_file_changed_replaces_its_volume(run, tmp_path, tiny) -> None:
    """As often as it changes, also with other parameters."""
    for seed, options in enumerate(({}, {}, {"tolerant": True})):
        tiny.nifti(tmp_path / "one/scan1.nii.gz", seed)
        assert run("one", **options).status == "stored"
        assert run("one", **options).status == "unchanged"


def test_a_source_may_move(run, tmp_path, tiny) -> None:
    """Unchanged where it is now; what changes there then replaces, as it is known there."""
    tiny.nifti(tmp_path / "one/scan1.nii.gz", 1)
    run("one")
    (tmp_path / "one").rename(tmp_path / "moved")

    assert run("moved").status == "unchanged"
    tiny.nifti(tmp_path / "moved/scan1.nii.gz", 2)
    assert run("moved").status == "stored"


def test_what_is_not_known_is_not_replaced(run, tmp_path, tiny) -> None:
    """Without the file that knows where volumes came from, until the volume is removed."""
    tiny.nifti(tmp_path / "one/scan1.nii.gz", 1)
    run("one")
    (tmp_path / "hifi.fingerprints.jsonl").unlink()
    tiny.nifti(tmp_path / "one/scan1.nii.gz", 2)

    assert run("one").verdict == "scan-id-taken"
    VolumeStore.open(tmp_path / "hifi.zarr").remove("scan1")
    assert run("one").status == "stored"


def test_a_volume_that_others_wrote_is_not_taken_for_the_one_known(run, tmp_path, tiny) -> None:
    """What is known is known of its content: a store may come with the volume of another scan."""
    tiny.nifti(tmp_path / "one/scan1.nii.gz", 1)
    tiny.nifti(tmp_path / "two/scan1.nii.gz", 2)
    run("one")
    known = (tmp_path / "hifi.fingerprints.jsonl").read_bytes()
    VolumeStore.open(tmp_path / "hifi.zarr").remove("scan1")
    run("two")
    (tmp_path / "hifi.fingerprints.jsonl").write_bytes(known)

    assert run("one").verdict == "scan-id-taken"


def test_what_is_named_by_more_than_its_file_name_replaces(run, tmp_path, tiny) -> None:
    """A series UID, and a scan table, say themselves which scan it is."""
    tiny.dicom(tmp_path / "one", 1)
    run("one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    slices = sorted((tmp_path / "two").iterdir())
    slices[-1].unlink()
    assert run("two").status == "stored"
    shutil.rmtree(tmp_path / "hifi.zarr")
    table = tmp_path / "scans.csv"
    table.write_text("scan_id,patient_id,split,path\ns1,p1,train,scan1.nii.gz\n")
    for number, folder in enumerate(("three", "four")):
        tiny.nifti(tmp_path / folder / "scan1.nii.gz", number)
        assert run(folder, scans=table).status == "stored"


def test_two_runs_keep_what_the_other_has_noted(tmp_path) -> None:
    """Each knows of the other's volumes afterwards."""
    one, two = Fingerprints(tmp_path / "hifi.zarr"), Fingerprints(tmp_path / "hifi.zarr")
    one.remember("scan-1", "print", ["aa"], "o-1")
    two.remember("scan-2", "print", ["bb"], "o-2")
    one.tidy()
    two.tidy()

    later = Fingerprints(tmp_path / "hifi.zarr")
    assert later.came_from("scan-1", "o-1", ["aa"])
    assert later.came_from("scan-2", "o-2", ["bb"])
    assert not later.came_from("scan-2", "o-1", ["bb"])


def test_a_volume_that_cannot_be_read_now_is_not_replaced(
    run, tmp_path, tiny, tiny_grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A passing fault of the disk says nothing of what is there."""
    tiny.nifti(tmp_path / "one/scan1.nii.gz", 1)
    run("one")
    before = content(tmp_path)
    read = FolderPlace.read

    def fail(place: FolderPlace, key: str) -> memoryview:
        if key == "scan1/zarr.json":
            raise OSError(errno.EIO, "Input/output error")
        return read(place, key)

    tiny.nifti(tmp_path / "one/scan1.nii.gz", 2)
    with monkeypatch.context() as patch:
        patch.setattr(FolderPlace, "read", fail)
        items = list(ingest(tmp_path / "one", tmp_path / "hifi.zarr", grid=tiny_grid, key=KEY))

    assert items[0].status == "refused"
    assert content(tmp_path) == before


def test_two_inputs_of_one_name_do_not_overwrite(run_all, tiny, tmp_path) -> None:
    """The second is refused and says who was first."""
    tiny.nifti(tmp_path / "source" / "a" / "scan.nii.gz", 1)
    tiny.nifti(tmp_path / "source" / "b" / "scan.nii.gz", 2)

    items = run_all()

    assert sorted(item.status for item in items) == ["refused", "stored"]
    (second,) = (item for item in items if item.status == "refused")
    assert second.verdict == "duplicate-scan-id"
    assert "a/scan.nii.gz" in second.what


@pytest.mark.parametrize("scan_ids", ["stem", "path", "pseudonym"])
def test_files_of_one_name_in_many_folders(run_all, tiny, tmp_path, scan_ids: str) -> None:
    """By path or pseudonym each is a scan of a patient of its own; by name it says what to do."""
    for seed, folder in enumerate(("patient1", "patient2", "Other Ward/patient2")):
        tiny.nifti(tmp_path / "source" / folder / "ct.nii.gz", seed)
    items = run_all(scan_ids=scan_ids)

    if scan_ids == "stem":
        mends = [item.mend for item in items if item.verdict == "duplicate-scan-id"]
        assert len(mends) == 2
        assert all("--scan-ids path" in mend for mend in mends)
        return
    store = VolumeStore.open(tmp_path / "hifi.zarr")
    if scan_ids == "path":
        assert store.scan_ids() == ("other-ward-patient2-ct", "patient1-ct", "patient2-ct")
    assert len({store.read_attributes(name).patient_id for name in store.scan_ids()}) == 3
    again = run_all(scan_ids=scan_ids)
    assert [item.status for item in again] == ["unchanged"] * 3
