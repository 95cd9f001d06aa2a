"""Damaged and foreign files are refused by name; none reads as a scan, none raises a traceback."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from ctprep.sources.discover import discover
from ctprep.sources.read import read
from ctprep.sources.source import Refused
from ctprep.store.errors import SourceError


def _hu() -> np.ndarray:
    return np.random.default_rng(0).choice([-1000, -850, -100, 40], (16, 18, 20)).astype(np.int16)


def _nifti() -> bytes:
    return nibabel.Nifti1Image(_hu(), np.diag([-0.7, -0.7, 1.5, 1])).to_bytes()


def _verdict(path: Path) -> str:
    (outcome,) = discover(path)
    if isinstance(outcome, Refused):
        assert outcome.mend
        return outcome.verdict
    with pytest.raises(SourceError) as caught:
        read(outcome)
    assert caught.value.where == path.name
    assert str(path.parent) not in str(caught.value)
    return caught.value.verdict


def test_half_a_compressed_file_is_refused(tmp_path: Path) -> None:
    """The image library would give a whole volume, its second half made up."""
    content = gzip.compress(_nifti())
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(content[: len(content) // 2])

    assert _verdict(path) == "truncated"


def test_half_a_plain_file_is_refused(tmp_path: Path) -> None:
    """Likewise without compression."""
    path = tmp_path / "scan.nii"
    path.write_bytes(_nifti()[:4000])

    assert _verdict(path) == "truncated"


def test_a_file_of_several_gzip_members_is_whole(tmp_path: Path) -> None:
    """Block compressors write many members; the last one's size is not the file's."""
    content = _nifti()
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(gzip.compress(content[:5000]) + gzip.compress(content[5000:]))

    (found,) = discover(path)

    np.testing.assert_array_equal(read(found).volume.hu.transpose(2, 1, 0), _hu())


def test_nifti_without_orientation_is_refused(tmp_path: Path) -> None:
    """Spacing alone does not say which side is left."""
    path = tmp_path / "scan.nii"
    content = _nifti()
    # nifti1.h: qform_code and sform_code are the two shorts at byte 252.
    path.write_bytes(content[:252] + bytes(4) + content[256:])

    assert _verdict(path) == "no-orientation"


@pytest.mark.parametrize(
    ("name", "content", "verdict"),
    [
        ("scan.nii.gz", b"junk" * 200, "unreadable"),
        ("scan.npz", b"PK" + b"x" * 100, "unreadable"),
        ("scan.mha", b"junk", "unreadable"),
        ("scan.dcm", b"\0" * 128 + b"DICM" + b"\xff" * 50, "not-a-scan"),
        ("noise", b"\x08\x00" + bytes(range(256)), "not-a-scan"),
        ("notes.txt", b"not a scan", "not-a-scan"),
        ("empty", b"", "not-a-scan"),
    ],
)
def test_junk_is_refused(tmp_path: Path, name: str, content: bytes, verdict: str) -> None:
    """Whatever a file claims to be."""
    path = tmp_path / name
    path.write_bytes(content)

    assert _verdict(path) == verdict


def test_pickled_arrays_are_never_loaded(tmp_path: Path) -> None:
    """An object array would run code when read."""
    path = tmp_path / "scan.npz"
    np.savez(path, ct=np.array([[[{"a": 1}]]], dtype=object))

    assert _verdict(path) == "unreadable"


def test_an_empty_source_is_an_error(tmp_path: Path) -> None:
    """Nothing to do is rarely what was meant."""
    with pytest.raises(SourceError) as caught:
        list(discover(tmp_path))

    assert caught.value.verdict == "empty-source"
