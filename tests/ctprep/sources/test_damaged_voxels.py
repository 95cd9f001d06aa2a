"""Voxels that are no numbers, cut off or altered are refused, whatever the image library says."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from ctprep.sources.discover import discover
from ctprep.sources.read import read
from ctprep.sources.source import Refused
from ctprep.store.errors import SourceError

AFFINE = np.diag([-0.7, -0.7, 1.5, 1])


def _hu(dtype=np.int16) -> np.ndarray:
    return np.random.default_rng(0).choice([-1000, -850, -100, 40], (16, 18, 20)).astype(dtype)


def _verdict(path: Path) -> str:
    (outcome,) = discover(path)
    if isinstance(outcome, Refused):
        return outcome.verdict
    with pytest.raises(SourceError) as caught:
        read(outcome)
    assert caught.value.mend
    return caught.value.verdict


@pytest.mark.parametrize("hole", [np.nan, np.inf])
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_hole_in_a_float_file_is_refused(tmp_path: Path, suffix: str, hole: float) -> None:
    """SimpleITK turned NaN of a NIfTI file into finite values."""
    path = tmp_path / f"scan{suffix}"
    voxels = _hu(np.float32)
    voxels[2, 3, 4] = hole
    if suffix == ".nii.gz":
        nibabel.save(nibabel.Nifti1Image(voxels, AFFINE), path)
    else:
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(voxels), path)

    assert _verdict(path) == "not-finite"


def test_a_checksum_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """One byte altered in stored blocks still unpacks, to other HU."""
    path = tmp_path / "scan.nii.gz"
    content = bytearray(gzip.compress(nibabel.Nifti1Image(_hu(), AFFINE).to_bytes(), 0))
    content[5000] ^= 4
    path.write_bytes(content)

    assert _verdict(path) == "unreadable"


def test_a_file_that_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    """A bomb: some kilobytes that would unpack to more than the header promises."""
    path = tmp_path / "scan.nii.gz"
    whole = nibabel.Nifti1Image(_hu(), AFFINE).to_bytes()
    path.write_bytes(gzip.compress(whole + bytes(4 << 20)))

    assert _verdict(path) == "unreadable"


def test_a_header_that_promises_too_much_takes_no_memory(tmp_path: Path) -> None:
    """30000 voxels along each axis are 54 TB; no file of a kilobyte holds them."""
    path = tmp_path / "scan.nii.gz"
    content = nibabel.Nifti1Image(_hu(), AFFINE).to_bytes()
    # nifti1.h: dim is eight shorts at byte 40, the rank first.
    shape = np.array([30000, 30000, 30000], "<i2").tobytes()
    path.write_bytes(gzip.compress(content[:42] + shape + content[48:]))

    assert _verdict(path) == "truncated"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_half_a_file_is_refused(tmp_path: Path, suffix: str, packed: bool) -> None:
    """NRRD and MetaImage, raw and packed."""
    path = tmp_path / f"scan{suffix}"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(_hu()), path, packed)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])

    assert _verdict(path) == "truncated"


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_an_altered_packed_file_is_refused(tmp_path: Path, suffix: str) -> None:
    """The last byte is part of the checksum or the size."""
    path = tmp_path / f"scan{suffix}"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(_hu()), path, True)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    assert _verdict(path) == "unreadable"


@pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
def test_voxels_in_another_file_are_refused(tmp_path: Path, suffix: str) -> None:
    """A header must not lead to any file, and its hash would not cover the voxels."""
    path = tmp_path / f"scan{suffix}"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(_hu()), path)

    assert _verdict(path) == "detached"


@pytest.mark.parametrize(
    ("suffix", "field", "verdict"),
    [
        (".nrrd", b"space directions", "no-orientation"),
        (".mha", b"TransformMatrix", "no-orientation"),
        (".mha", b"ElementSpacing", "no-spacing"),
    ],
)
def test_a_file_without_geometry_is_refused(
    tmp_path: Path, suffix: str, field: bytes, verdict: str
) -> None:
    """The image library would take unit spacing, axes along the world's."""
    path = tmp_path / f"scan{suffix}"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(_hu()), path)
    lines = path.read_bytes().split(b"\n", 12)
    path.write_bytes(b"\n".join(line for line in lines if not line.startswith(field)))

    assert _verdict(path) == verdict


@pytest.mark.parametrize(
    ("offset", "content", "verdict"),
    [
        (112, np.float32(np.inf).tobytes(), "not-finite"),  # scl_slope
        (112, np.float32(3e38).tobytes(), "not-finite"),  # beyond a float32, once applied
        (70, np.int16(128).tobytes(), "not-a-volume"),  # datatype: RGB
        (70, np.int16(77).tobytes(), "unreadable"),  # datatype: none
        (108, np.float32(8).tobytes(), "unreadable"),  # vox_offset: within the header
        (108, np.float32(np.nan).tobytes(), "unreadable"),
        (280, bytes(48), "no-spacing"),  # srow_x, srow_y, srow_z
        (280, np.float32(1e30).tobytes(), "no-spacing"),
        (284, np.float32(0.4).tobytes(), "gantry-tilt"),  # srow_x of the second axis
        (344, b"ni1\0", "unreadable"),  # magic of a header whose voxels lie elsewhere
    ],
)
def test_a_header_that_makes_no_sense_is_refused(
    tmp_path: Path, offset: int, content: bytes, verdict: str
) -> None:
    """One field altered at its place in nifti1.h."""
    path = tmp_path / "scan.nii"
    whole = nibabel.Nifti1Image(_hu(), AFFINE).to_bytes()
    path.write_bytes(whole[:offset] + content + whole[offset + len(content) :])

    assert _verdict(path) == verdict
