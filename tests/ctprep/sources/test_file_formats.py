"""NIfTI in both versions, NRRD and MetaImage: the same voxels at the same places."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from ctprep.geometry import to_canonical
from ctprep.sources.discover import discover
from ctprep.sources.read import read
from ctprep.sources.source import Read

SPACING_XYZ = (0.7, 0.8, 1.5)
MARK_XYZ = (3, 5, 7)
MARK_HU = 1234
MARK_RAS = (100 - 3 * 0.7, 50 - 5 * 0.8, -300 + 7 * 1.5)
"""By hand, for axes to the left, back and head from the origin (100, 50, -300)."""
AFFINE = np.array([[-0.7, 0, 0, 100], [0, -0.8, 0, 50], [0, 0, 1.5, -300], [0, 0, 0, 1]])


def _hu_xyz() -> np.ndarray:
    hu = np.random.default_rng(0).choice([-1000, -850, -100, 40], (20, 18, 16)).astype(np.int16)
    hu[MARK_XYZ] = MARK_HU
    return hu


def _read(path: Path) -> Read:
    (found,) = discover(path)
    return read(found)


def _mark_ras(scan: Read) -> np.ndarray:
    volume = to_canonical(scan.volume)
    assert volume.axis_codes == "SPL"
    (index,) = np.argwhere(volume.hu == MARK_HU)
    return (volume.affine_ras @ [*index, 1])[:3]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("coded", ["sform", "qform"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_nifti_of_every_kind(tmp_path: Path, suffix: str, kind, coded: str, order: str) -> None:
    """Version, byte order, packing, and which of its two transforms a header declares."""
    path = tmp_path / f"scan{suffix}"
    image = kind(_hu_xyz(), AFFINE, kind.header_class(endianness=order))
    image.set_sform(AFFINE, 1 if coded == "sform" else 0)
    image.set_qform(AFFINE, 1 if coded == "qform" else 0)
    nibabel.save(image, path)

    scan = _read(path)

    np.testing.assert_array_equal(scan.volume.hu.transpose(2, 1, 0), _hu_xyz())
    np.testing.assert_allclose(_mark_ras(scan), MARK_RAS, atol=1e-4)


@pytest.mark.parametrize(("dtype", "slope", "intercept"), [
    (np.uint16, 1, -1024), (np.int16, 0.5, 100), (np.float64, 2, 0), (np.int32, 1, -5),
])  # fmt: skip
def test_scaling_of_the_header_is_part_of_the_values(
    tmp_path: Path, dtype, slope: float, intercept: float
) -> None:
    """Applied once, before anything is decided about HU."""
    stored = np.rint((_hu_xyz() - intercept) / slope).astype(dtype)
    image = nibabel.Nifti1Image(stored, AFFINE)
    image.header.set_slope_inter(slope, intercept)
    content = image.to_bytes()
    # Writing resets the scaling, as the array is not of the values: put it back.
    scaled = content[:112] + np.array([slope, intercept], "<f4").tobytes() + content[120:]
    (tmp_path / "scan.nii").write_bytes(scaled)

    scan = _read(tmp_path / "scan.nii")

    np.testing.assert_array_equal(scan.volume.hu.transpose(2, 1, 0), _hu_xyz())


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_nrrd_and_metaimage(tmp_path: Path, suffix: str, packed: bool) -> None:
    """Written with positions in LPS; by hand, (x, y) of the mark change sign."""
    image = SimpleITK.GetImageFromArray(_hu_xyz().transpose(2, 1, 0))
    image.SetSpacing(SPACING_XYZ)
    image.SetOrigin((-100, -50, -300))
    path = tmp_path / f"scan{suffix}"
    SimpleITK.WriteImage(image, path, packed)

    scan = _read(path)

    np.testing.assert_array_equal(scan.volume.hu.transpose(2, 1, 0), _hu_xyz())
    np.testing.assert_allclose(_mark_ras(scan), MARK_RAS, atol=1e-4)
