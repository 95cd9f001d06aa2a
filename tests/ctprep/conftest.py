"""Tiny scans for the tests of preparing: a crude chest, as NIfTI, NPZ or DICOM."""

from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from ctprep.store.attributes import Grid

SHAPE = (12, 20, 20)
"""Slices, rows and columns of a tiny scan."""


def chest_hu(seed: int, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Draw a body with two lungs: every voxel int16 HU, axes as in the store."""
    rng = np.random.default_rng(seed)
    _, rows, columns = shape
    hu = np.full(shape, -1000)
    body = np.s_[:, rows // 8 : -rows // 8, columns // 10 : -columns // 10]
    hu[body] = 40
    middle, third = columns // 2, columns // 4
    hu[:, rows // 3 : -rows // 3, middle - third : middle - 1] = -850
    hu[:, rows // 3 : -rows // 3, middle + 1 : middle + third] = -850
    return (hu + rng.integers(-20, 21, shape)).astype(np.int16)


def write_nifti(path: Path, seed: int = 0, *, spacing_mm: float = 4.0, hu=None) -> Path:
    """Write a NIfTI file whose array axes run left, back and up."""
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = (chest_hu(seed) if hu is None else hu).transpose(2, 1, 0)
    affine = np.diag([-spacing_mm, -spacing_mm, spacing_mm, 1.0])
    image = nibabel.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def write_npz(path: Path, seed: int = 0) -> Path:
    """Write an NPZ file in the RAD-ChestCT layout: slices run down, rows back, columns left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, ct=chest_hu(seed, (60, 100, 100))[::-1])
    return path


def write_dicom(folder: Path, seed: int = 0, *, patient: str = "Doe^Jane") -> Path:
    """Write a DICOM series, a file a slice."""
    folder.mkdir(parents=True, exist_ok=True)
    entropy = [f"{seed}-{patient}"]
    series, study = generate_uid(entropy_srcs=[*entropy, "se"]), generate_uid(entropy_srcs=entropy)
    for index, axial in enumerate(chest_hu(seed)):
        dataset = pydicom.Dataset()
        dataset.SOPClassUID = CTImageStorage
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[*entropy, str(index)])
        dataset.SeriesInstanceUID, dataset.StudyInstanceUID = series, study
        dataset.FrameOfReferenceUID = study
        dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.PatientName, dataset.PatientID = patient, f"id-{patient}"
        dataset.InstanceNumber, dataset.SeriesNumber = index + 1, 1
        dataset.Rows, dataset.Columns = axial.shape
        dataset.PixelSpacing, dataset.SliceThickness = [4.0, 4.0], 4.0
        dataset.ImagePositionPatient = [-40.0, -40.0, 4.0 * index]
        dataset.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
        dataset.RescaleSlope, dataset.RescaleIntercept = 1.0, -1024.0
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        dataset.PixelRepresentation = 0
        dataset.PixelData = (axial + 1024).clip(0).astype("<u2").tobytes()
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        pydicom.dcmwrite(folder / f"{index:03d}.dcm", dataset, enforce_file_format=True)
    return folder


@pytest.fixture(scope="session")
def tiny_grid() -> Grid:
    """A grid that a tiny scan covers in part."""
    return Grid(name="tiny", spacing_mm=(4.0, 4.0, 4.0), shape=(16, 24, 24))


@pytest.fixture(scope="session")
def tiny() -> SimpleNamespace:
    """Writers of tiny scans: `tiny.nifti(path, seed)`, `tiny.npz`, `tiny.dicom`, `tiny.hu`."""
    return SimpleNamespace(nifti=write_nifti, npz=write_npz, dicom=write_dicom, hu=chest_hu)
