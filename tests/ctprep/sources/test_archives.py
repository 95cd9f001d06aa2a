"""Archives are read where they lie: what is in them counts as if it lay in a folder."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ctprep.sources.discover import discover
from ctprep.sources.read import read
from ctprep.sources.source import Found, Refused
from ctprep.store.errors import SourceError

PACKINGS = ("scans.zip", "stored.zip", "scans.tar", "scans.tar.gz", "scans.tgz")


def _pack(folder: Path, archive: Path) -> Path:
    archive.parent.mkdir()
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if archive.suffix == ".zip":
        how = zipfile.ZIP_STORED if archive.stem == "stored" else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(archive, "w", how) as packed:
            for path in files:
                packed.write(path, path.relative_to(folder))
    else:
        with tarfile.open(archive, "w" if archive.suffix == ".tar" else "w:gz") as packed:
            # Backwards, so that the order of a series is not that of the archive.
            for path in reversed(files):
                packed.add(path, path.relative_to(folder))
    return archive


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny) -> Path:
    """One scan of each kind, and a file that is none."""
    folder = tmp_path_factory.mktemp("scans") / "scans"
    tiny.dicom(folder / "deep" / "series", 1)
    tiny.nifti(folder / "a.nii.gz", 2)
    tiny.nifti(folder / "b.nii", 3)
    tiny.npz(folder / "c.npz", 4)
    (folder / "readme.txt").write_text("no scan")
    return folder


def _read_all(source: Path) -> dict[str, np.ndarray]:
    found = [outcome for outcome in discover(source) if isinstance(outcome, Found)]
    return {scan.name: read(scan).volume.hu for scan in found}


@pytest.mark.parametrize("name", PACKINGS)
def test_an_archive_is_as_good_as_a_folder(folder: Path, tmp_path: Path, name: str) -> None:
    """The same volumes, bit for bit, named by their place in the archive."""
    archive = _pack(folder, tmp_path / "packed" / name)

    plain, packed = _read_all(folder), _read_all(archive.parent)

    assert {f"{name}/{place}" for place in plain} == set(packed)
    for place, hu in plain.items():
        np.testing.assert_array_equal(packed[f"{name}/{place}"], hu)


def test_the_hashes_are_those_of_the_members(folder: Path, tmp_path: Path) -> None:
    """A volume does not change because its files were packed."""
    archive = _pack(folder, tmp_path / "packed" / "scans.zip")

    plain, packed = (
        [read(scan).source_sha256 for scan in discover(source) if isinstance(scan, Found)]
        for source in (folder, archive)
    )

    assert plain == packed


def test_nothing_is_unpacked_to_disk(folder: Path, tmp_path: Path, monkeypatch) -> None:
    """Reading needs no temporary file."""
    archive = _pack(folder, tmp_path / "packed" / "scans.tar.gz")
    monkeypatch.setattr("tempfile.mkdtemp", None)
    monkeypatch.setattr("tempfile.mkstemp", None)

    assert len(_read_all(archive)) == 4


@pytest.mark.parametrize("name", ["scans.zip", "scans.tar.gz"])
def test_a_cut_archive_is_refused_and_loses_nothing_else(
    folder: Path, tmp_path: Path, tiny, name: str
) -> None:
    """What lies beside it is found, and the damage has its row."""
    archive = _pack(folder, tmp_path / "packed" / name)
    archive.write_bytes(archive.read_bytes()[:-400])
    tiny.nifti(archive.parent / "whole.nii.gz")

    outcomes = list(discover(archive.parent))

    assert "whole.nii.gz" in {o.name for o in outcomes if isinstance(o, Found)}
    assert {o.verdict for o in outcomes if isinstance(o, Refused)} & {"unreadable", "truncated"}


def test_a_flipped_byte_in_a_member_is_found(folder: Path, tmp_path: Path) -> None:
    """The archive's own checksum counts."""
    archive = _pack(folder / "deep", tmp_path / "packed" / "stored.zip")
    content = bytearray(archive.read_bytes())
    pixels = content.find(b"\xe0\x7f\x10\x00")
    content[pixels + 200] ^= 1
    archive.write_bytes(content)

    refused = [outcome for outcome in discover(archive) if isinstance(outcome, Refused)]

    assert [outcome.verdict for outcome in refused] == ["unreadable"]


def test_an_archive_that_is_swapped_meanwhile_is_noticed(folder: Path, tmp_path: Path) -> None:
    """A member is known by its size and checksum, not by its place alone."""
    archive = _pack(folder / "deep", tmp_path / "packed" / "scans.zip")
    (found,) = discover(archive)
    with zipfile.ZipFile(archive, "w") as packed:
        for number in range(20):
            packed.writestr(f"{number}.dcm", b"other")

    with pytest.raises(SourceError) as error:
        read(found)
    assert error.value.verdict == "changed"


def test_what_cannot_be_read_in_place_has_its_row(tmp_path: Path) -> None:
    """Passwords, links, archives in archives, and names that point elsewhere."""
    source = tmp_path / "source"
    source.mkdir()
    with zipfile.ZipFile(source / "locked.zip", "w") as packed:
        packed.writestr("a.dcm", b"secret")
    locked = bytearray((source / "locked.zip").read_bytes())
    locked[6] |= 1
    locked[locked.find(b"PK\x01\x02") + 8] |= 1
    (source / "locked.zip").write_bytes(locked)
    with tarfile.open(source / "links.tar", "w") as packed:
        link = tarfile.TarInfo("link.dcm")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        packed.addfile(link)
        outside = tarfile.TarInfo("../../outside.zip")
        outside.size = 3
        packed.addfile(outside, io.BytesIO(b"PK!"))
    (source / "old.tar.xz").write_bytes(b"x")

    outcomes = {outcome.name: outcome.verdict for outcome in discover(source)}

    assert outcomes == {
        "links.tar/link.dcm": "link",
        "links.tar/outside.zip": "archive",
        "locked.zip/a.dcm": "encrypted",
        "old.tar.xz": "archive",
    }


def test_a_zip_member_without_a_name_has_its_row(tmp_path: Path) -> None:
    """The library writes none, but reads one."""
    archive = tmp_path / "names.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("a", b"")
    content = bytearray(archive.read_bytes())
    for header, length in ((b"PK\x03\x04", 26), (b"PK\x01\x02", 28)):
        content[content.index(header) + length] = 0
        # What the length says is no name is an extra field then.
        content[content.index(header) + length + 2] = 1
    archive.write_bytes(bytes(content))

    assert zipfile.ZipFile(archive).infolist()[0].filename == ""
    assert len([outcome.name for outcome in discover(archive)]) == 1


def test_every_member_has_a_name_of_its_own(tmp_path: Path) -> None:
    """Repeated, spelled like a repeated one, spelled alike once cleaned, and none at all."""
    archive = tmp_path / "names.tar"
    names = ("a", "a", "a~2", "a", "./a", "b/../a", "..", "/")
    with tarfile.open(archive, "w") as packed:
        for name in names:
            packed.addfile(tarfile.TarInfo(name))

    told = [outcome.name for outcome in discover(archive)]

    assert len(set(told)) == len(told) == len(names)
    assert told[:3] == ["names.tar/a", "names.tar/a~2", "names.tar/a~2~2"]
    assert told == [outcome.name for outcome in discover(archive)]
    assert "names.tar/" not in told
