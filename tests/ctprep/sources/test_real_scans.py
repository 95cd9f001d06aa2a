"""Real scans of every kind: every file is told of, and where voxels lie."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from ctprep.geometry import to_canonical
from ctprep.sources.discover import discover
from ctprep.sources.read import read
from ctprep.sources.source import Found
from ctprep.store.errors import SourceError


@pytest.mark.parametrize("tolerant", [False, True])
@pytest.mark.parametrize("group", ["dicom", "nifti", "npz"])
def test_every_file_is_accounted_for_once(shared_data: Path, group: str, tolerant: bool) -> None:
    """Found and refused together count every file of the folder."""
    files = sum(path.is_file() for path in (shared_data / group).rglob("*"))

    outcomes = list(discover(shared_data / group, tolerant=tolerant))

    assert files == sum(len(o.paths) if isinstance(o, Found) else o.files for o in outcomes)
    assert len({o.name for o in outcomes if isinstance(o, Found)}) == sum(
        isinstance(o, Found) for o in outcomes
    )


def _found(folder: Path) -> list[Found]:
    return [outcome for outcome in discover(folder) if isinstance(outcome, Found)]


@pytest.mark.parametrize(
    ("case", "shape", "low_hu", "high_hu"),
    [
        ("07_tiny_full_thorax", (79, 64, 64), -1007, 1095),
        ("02_ge_jpeg_lossless_padding", (32, 512, 512), -1024, 3071),
        ("16_odd_headers/no_modality_intercept_zero", (2, 512, 512), -2048, 3071),
    ],
)
def test_dicom_values_are_hu(
    shared_data: Path, case: str, shape: tuple[int, ...], low_hu: int, high_hu: int
) -> None:
    """Range as pydicom alone gives it; declared padding never reads -3024."""
    (found,) = _found(shared_data / "dicom" / case)

    scan = read(found)

    assert scan.volume.hu.shape == shape
    assert scan.volume.hu.min() == low_hu
    assert scan.volume.hu.max() <= high_hu
    assert len(scan.source_sha256) == shape[0]


def test_two_kernels_are_two_volumes(shared_data: Path) -> None:
    """One acquisition, two series, same positions; the kernel is remembered, no identity is."""
    lung, soft = _found(shared_data / "dicom" / "01_siemens_two_kernels")

    assert (len(lung.paths), len(soft.paths)) == (30, 3)
    scan = read(lung)
    assert scan.acquisition["ConvolutionKernel"] == "B70f"
    assert scan.hu.decision == "rescaled"
    assert (scan.volume.hu.min(), scan.volume.hu.max()) == (-1024, 1904)
    assert lung.key not in repr(lung)


def test_dicom_and_its_conversion_agree(shared_data: Path) -> None:
    """The three soft-kernel slices have the HU, at the places, that dcm2niix gave them."""
    soft = to_canonical(read(_found(shared_data / "dicom" / "01_siemens_two_kernels")[1]).volume)
    (whole,) = _found(shared_data / "nifti" / "05_converted_full_thorax_8mm")
    converted = to_canonical(read(whole).volume)

    first = np.linalg.solve(converted.affine_ras, soft.affine_ras[:, 3])[:3]
    np.testing.assert_allclose(first, np.rint(first), atol=1e-3)
    start = int(np.rint(first[0]))
    np.testing.assert_array_equal(converted.hu[start : start + 3], soft.hu)
    np.testing.assert_allclose(converted.affine_ras[:3, :3], soft.affine_ras[:3, :3], atol=1e-6)


@pytest.mark.parametrize(
    "case",
    [
        "01_chest_lps_aorta",
        "02_chest_lps_pulmonary",
        "03_not_chest_abdomen",
        "05_converted_full_thorax_8mm",
        "06_converted_sagittal_storage",
    ],
)
def test_nifti_is_what_nibabel_reads(shared_data: Path, case: str) -> None:
    """Values and affine against an independent reader."""
    (found,) = _found(shared_data / "nifti" / case)
    oracle = nibabel.load(found.paths[0].place)

    scan = read(found)

    np.testing.assert_array_equal(scan.volume.hu.transpose(2, 1, 0), oracle.get_fdata())
    np.testing.assert_allclose(scan.volume.affine_ras[:, [2, 1, 0, 3]], oracle.affine, atol=1e-5)
    assert ("not-a-chest" in scan.verdicts) == (case == "03_not_chest_abdomen")


def test_gray_phantom_is_refused(shared_data: Path) -> None:
    """An oblique uint8 head phantom has a geometry, but no HU."""
    (found,) = _found(shared_data / "nifti" / "04_oblique_uint8_phantom")

    with pytest.raises(SourceError) as caught:
        read(found)

    assert caught.value.verdict == "implausible-hu"
    assert caught.value.where == found.name


def test_rad_chestct_layout_is_upright(shared_data: Path) -> None:
    """Sorted to SPL, the spine is at the back: bone lies in the lower half of the picture."""
    (found,) = _found(shared_data / "npz" / "02_converted")

    scan = read(found)

    assert scan.volume.axis_codes == "IPL"
    assert scan.volume.spacing_mm == (0.8, 0.8, 0.8)
    bone_row = np.argwhere(to_canonical(scan.volume).hu > 400)[:, 1].mean()
    assert bone_row > scan.volume.hu.shape[1] / 2
