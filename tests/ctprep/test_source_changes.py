"""A source that changes while it is read is refused, never stored under another file's hash."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from ctprep import ingest_volume
from ctprep.compress import compress_store
from ctprep.fingerprints import fingerprint_files, hash_files, unchanging
from ctprep.ingest import ingest
from ctprep.sources.files import SourceFile
from ctprep.sources.read import read
from ctprep.store.errors import SourceError
from ctprep.store.store import VolumeStore

KEY = b"0123456789abcdef"


def swap(path: Path, other: Path) -> None:
    """Put another file in place, with the size and time of the old one where sizes are equal."""
    stat = path.stat()
    shutil.copy(other, path.with_name("swap"))
    os.utime(path.with_name("swap"), ns=(stat.st_atime_ns, stat.st_mtime_ns))
    path.with_name("swap").replace(path)


def overwrite(path: Path, other: Path) -> None:
    """Write another content into the same file, and set its time back."""
    stat = path.stat()
    path.write_bytes(other.read_bytes())
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def append(path: Path, other: Path) -> None:
    """Let the file grow."""
    with path.open("ab") as file:
        file.write(b"more")


def truncate(path: Path, other: Path) -> None:
    """Cut the file short."""
    os.truncate(path, path.stat().st_size // 2)


def remove(path: Path, other: Path) -> None:
    """Take the file away."""
    path.unlink()


CHANGES = (swap, overwrite, append, truncate, remove)


@pytest.fixture(params=["nifti", "npz", "dicom"])
def scans(request, tmp_path, tiny) -> tuple[Path, Path, Path]:
    """A source of one scan, a file of it, and the same file of another scan."""
    source, other = tmp_path / "source", tmp_path / "other"
    if request.param == "nifti":
        # Packed by nothing, so that both are of one size.
        return (
            source,
            tiny.nifti(source / "scan.nii", 0),
            tiny.nifti(other / "scan.nii", 1),
        )
    if request.param == "npz":
        return source, tiny.npz(source / "scan.npz", 0), tiny.npz(other / "scan.npz", 1)
    tiny.dicom(source / "series", 0)
    tiny.dicom(other / "series", 1, patient="Roe^Richard")
    return source, source / "series/005.dcm", other / "series/005.dcm"


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_change_is_a_refusal(
    scans, tmp_path, tiny_grid, monkeypatch: pytest.MonkeyPatch, change, when
) -> None:
    """Between discovery and reading, between two reads of a file, and before the hash counts."""
    source, file, other = scans
    counted = {"before": ingest_volume.unchanging, "during": hashlib.file_digest}

    def disturbed_read(found, **options):
        if when == "during":
            # Headers and voxels are read, and then the hash: or, for DICOM, one by one.
            monkeypatch.setattr(hashlib, "file_digest", once_changed(counted["during"]))
            if found.format == "dicom":
                change(file, other)
        scan = read(found, **options)
        if when == "after":
            change(file, other)
        return scan

    def once_changed(function):
        def changed(*arguments, **options):
            if file.exists():
                change(file, other)
            return function(*arguments, **options)

        return changed

    if when == "before":
        monkeypatch.setattr(ingest_volume, "unchanging", once_changed(counted["before"]))
    monkeypatch.setattr(ingest_volume, "read", disturbed_read)
    store = tmp_path / "hifi.zarr"
    items = list(ingest(source, store, grid=tiny_grid, key=KEY))
    monkeypatch.undo()

    if items[0].status == "stored":
        # Changed before the first read and unseen by size and time: read whole, hashed whole.
        (scan_id,) = VolumeStore.open(store).scan_ids()
        stored = VolumeStore.open(store).read_attributes(scan_id).source_sha256
        assert when == "before"
        assert stored == hash_files([SourceFile(file.name, file)])
    else:
        assert [item.status for item in items] == ["refused"]
        assert items[0].verdict == "changed" or change is remove
        assert VolumeStore.open(store).scan_ids() == ()


def test_a_rerun_takes_the_changed_file(
    tmp_path, tiny, tiny_grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if it had been there from the start, byte for byte."""
    file, other = tiny.nifti(tmp_path / "source/a.nii", 0), tiny.nifti(tmp_path / "other/a.nii", 1)

    def disturbed_read(found, **options):
        scan = read(found, **options)
        swap(file, other)
        return scan

    with monkeypatch.context() as context:
        context.setattr(ingest_volume, "read", disturbed_read)
        list(ingest(tmp_path / "source", tmp_path / "hifi.zarr", grid=tiny_grid, key=KEY))
    list(ingest(tmp_path / "source", tmp_path / "hifi.zarr", grid=tiny_grid, key=KEY))
    list(ingest(tmp_path / "source", tmp_path / "clean.zarr", grid=tiny_grid, key=KEY))

    for path in (tmp_path / "clean.zarr").rglob("*"):
        if path.is_file():
            relative = path.relative_to(tmp_path / "clean.zarr")
            assert (tmp_path / "hifi.zarr" / relative).read_bytes() == path.read_bytes()


def test_a_fault_of_a_file_that_did_not_change_stays_what_it_is(tmp_path) -> None:
    """Only where the file has changed is the error replaced."""
    file = tmp_path / "a"
    file.write_bytes(b"one")
    source = SourceFile(file.name, file)

    with (
        pytest.raises(SourceError, match="damaged") as raised,
        unchanging([source], fingerprint_files([source])),
    ):
        raise SourceError("damaged", verdict="unreadable", mend="fetch it again")
    assert raised.value.verdict == "unreadable"


def test_a_volume_replaced_while_it_is_compressed(
    tmp_path, tiny, tiny_grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attributes of the old volume never go with voxels of the new one."""
    tiny.nifti(tmp_path / "source" / "a.nii", 0)
    hifi, jpeg = tmp_path / "hifi.zarr", tmp_path / "jpeg.zarr"
    list(ingest(tmp_path / "source", hifi, grid=tiny_grid, key=KEY))
    whole = VolumeStore.read

    def replaced_before(store: VolumeStore, scan_id: str):
        tiny.nifti(tmp_path / "source" / "a.nii", 1)
        list(ingest(tmp_path / "source", hifi, grid=tiny_grid, key=KEY))
        return whole(store, scan_id)

    with monkeypatch.context() as context:
        context.setattr(VolumeStore, "read", replaced_before)
        (item,) = compress_store(hifi, jpeg)
    (again,) = compress_store(hifi, jpeg)

    assert (item.status, item.verdict) == ("refused", "changed")
    assert again.status == "stored"
