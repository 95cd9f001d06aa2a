"""One body in every format and storage order ends as the identical stored array.

The body is asymmetric on every axis, so a flip, a transposition or an offset by one shows.
"""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from ctprep.geometry import reorient, to_canonical
from ctprep.orientation import affine_of
from ctprep.resample import to_grid
from ctprep.sources.discover import discover
from ctprep.sources.read import read
from ctprep.sources.source import Found
from ctprep.store.attributes import LUNG, Grid
from ctprep.volume import Volume
from ctprep.window import to_gray

SHAPE = (20, 26, 32)
MM = 0.8
GRID = Grid(name="npz", spacing_mm=(MM, MM, MM), shape=(16, 32, 30))


def _body() -> np.ndarray:
    """HU in stored orientation (SPL), with a landmark for each direction."""
    hu = np.full(SHAPE, -1000, np.int16)
    hu[:, 4:22, 5:28] = 40
    hu[3:17, 8:16, 8:14] = -850  # lung of the right side
    hu[6:17, 9:17, 18:25] = -820
    hu[:, 17:21, 15:18] = 600  # spine, at the back
    hu[14:18, 5:7, 10:22] = 300  # something at the front, near the head
    hu[5:7, 12:14, 25:27] = -100  # something on the left, near the feet
    # A little noise, so that no two slices are alike.
    hu += np.random.default_rng(0).integers(-9, 10, SHAPE).astype(np.int16)
    return hu


BODY = _body()
SPL_RAS = affine_of("SPL", (MM, MM, MM), (0.0, 0.0, 0.0))


def _write_dicom(folder: Path, order: list[int], *, turned: bool) -> None:
    """Write slices in the given order of instance numbers, positions always true."""
    series = generate_uid()
    for number, index in enumerate(order):
        dataset = FileDataset("", {}, preamble=b"\0" * 128)
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
        dataset.SOPClassUID = CTImageStorage
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.SeriesInstanceUID = series
        dataset.Modality = "CT"
        dataset.InstanceNumber = number
        # In LPS, columns run to the left (+x) and rows to the back (+y).
        pixels, cosines, corner = BODY[index], [1, 0, 0, 0, 1, 0], [0, 0]
        if turned:
            pixels, cosines = pixels[::-1, ::-1], [-1, 0, 0, 0, -1, 0]
            corner = [(SHAPE[2] - 1) * MM, (SHAPE[1] - 1) * MM]
        dataset.ImageOrientationPatient = cosines
        dataset.ImagePositionPatient = [*(f"{x:.4f}" for x in corner), f"{index * MM:.4f}"]
        dataset.PixelSpacing = [MM, MM]
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
        dataset.PixelRepresentation = 1
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        dataset.PixelData = (pixels + 1024).astype("<i2").tobytes()
        dataset.save_as(folder / f"{number:03}", enforce_file_format=True)


def _head_first(folder: Path) -> None:
    _write_dicom(folder, list(range(SHAPE[0])), turned=False)


def _feet_first(folder: Path) -> None:
    _write_dicom(folder, list(range(SHAPE[0]))[::-1], turned=False)


def _prone(folder: Path) -> None:
    _write_dicom(folder, list(range(SHAPE[0])), turned=True)


def _nifti(codes: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        # (slice, row, column) SPL as (column, row, slice) LPS, then to the wanted codes.
        image = nibabel.Nifti1Image(BODY.transpose(2, 1, 0), np.diag([-MM, -MM, MM, 1]))
        start = nibabel.orientations.axcodes2ornt("LPS")
        end = nibabel.orientations.axcodes2ornt(codes)
        turned = image.as_reoriented(nibabel.orientations.ornt_transform(start, end))
        assert nibabel.aff2axcodes(turned.affine) == tuple(codes)
        nibabel.save(turned, folder / "scan.nii.gz")

    return write


def _npz(folder: Path) -> None:
    np.savez_compressed(folder / "scan.npz", ct=BODY[::-1])


def _pictures(codes: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        stored = Volume(hu=BODY, affine_ras=SPL_RAS)
        gray = to_gray(reorient(stored, codes).hu, LUNG)
        for number, picture in enumerate(gray):
            Image.fromarray(picture).save(folder / f"{number}.png")
        sidecar = {"spacing_mm": [MM, MM, MM], "axis_codes": codes}
        (folder / "stack.json").write_text(json.dumps(sidecar))

    return write


WRITERS = {
    "dicom head first": _head_first,
    "dicom feet first": _feet_first,
    "dicom prone": _prone,
    "nifti RAS": _nifti("RAS"),
    "nifti LPS": _nifti("LPS"),
    "nifti LAS": _nifti("LAS"),
    "nifti sagittal": _nifti("PSR"),
    "npz": _npz,
}


@pytest.fixture(params=WRITERS.values(), ids=WRITERS.keys())
def found(request: pytest.FixtureRequest, tmp_path: Path) -> Found:
    """The body in one format, as discovered."""
    request.param(tmp_path)
    (only,) = discover(tmp_path)
    assert isinstance(only, Found)
    return only


def test_every_format_ends_as_the_same_stored_array(found: Found) -> None:
    """Spacing equals the grid's, so nothing is interpolated: crop and pad of the body itself."""
    stored = to_grid(to_canonical(read(found).volume), GRID, hu_range=(-1024, 3071))

    expected = np.full(GRID.shape, -1024, np.int16)
    expected[:, 3:29, :] = BODY[2:18, :, 1:31]
    np.testing.assert_array_equal(stored.hu, expected)
    assert stored.axis_codes == "SPL"
    np.testing.assert_allclose(stored.spacing_mm, MM, rtol=1e-6)


def test_the_stored_picture_reads_like_an_axial_slice(found: Found) -> None:
    """Landmarks: spine low in the picture, left things right in it, the head at the end."""
    hu = to_canonical(read(found).volume).hu

    _, spine_row, _ = np.argwhere(hu > 500).mean(axis=0)
    front_slice, front_row, _ = np.argwhere((hu > 250) & (hu < 400)).mean(axis=0)
    left_slice, _, left_column = np.argwhere((hu > -130) & (hu < -70)).mean(axis=0)
    assert spine_row > SHAPE[1] / 2 > front_row
    assert left_column > SHAPE[2] / 2
    assert front_slice > SHAPE[0] / 2 > left_slice


@pytest.mark.parametrize("codes", ["SPL", "IPL", "IAR", "PIL", "ASR", "LIP", "RSA"])
def test_pictures_in_any_order_end_as_the_same_gray_levels(tmp_path: Path, codes: str) -> None:
    """Axial, coronal and sagittal stacks, from either end; HU are lost, gray levels are not."""
    _pictures(codes)(tmp_path)
    (found,) = discover(tmp_path)

    volume = to_canonical(read(found).volume)

    np.testing.assert_array_equal(to_gray(volume.hu, LUNG), to_gray(BODY, LUNG))
    assert volume.axis_codes == "SPL"
