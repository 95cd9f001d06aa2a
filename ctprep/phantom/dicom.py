"""Volumes to DICOM series, with made-up but valid headers."""

import hashlib
from pathlib import Path

import numpy as np
from jaxtyping import Int16
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

INTERCEPT = -1024
PADDING = -2000
"""Stored value outside the circle that was reconstructed; rescaled it is no possible HU."""


def make_uid(*parts: object) -> UID:
    """Derive a unique identifier from what it names, under the root for UUIDs.

    Source:
        DICOM PS3.5 B.2: `2.25.` and a 128-bit number.
    """
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:16], 'big')}")


def write_series(
    folder: Path,
    hu: Int16[np.ndarray, "slice row column"],
    spacing_mm: tuple[float, float, float],
    *,
    patient_id: str,
    study: str,
    scan_id: str,
    kernel: str,
) -> None:
    """Write a CT series, one file a slice, named without regard to their order.

    Args:
        folder: new folder of the series.
        hu: slices run up, rows to the back, columns to the left.
        spacing_mm: in the order of `hu`.
        patient_id: written as PatientID.
        study: what the study's identifiers derive from.
        scan_id: what the series' identifiers derive from.
        kernel: `soft` or `sharp`.

    Source:
        DICOM PS3.3 A.3 (CT image), C.7.6.2 (image plane).
    """
    folder.mkdir(parents=True, exist_ok=True)
    header = _series_header(spacing_mm, patient_id, study, scan_id, kernel)
    slices, rows, columns = hu.shape
    header.Rows, header.Columns = rows, columns
    stored = (hu - np.int16(INTERCEPT)).astype("<i2")
    down, across = np.mgrid[:rows, :columns] * 2 - np.array([rows - 1, columns - 1])[:, None, None]
    stored[:, down**2 + across**2 > max(rows, columns) ** 2] = PADDING
    corner = [-(columns - 1) / 2 * spacing_mm[2], -(rows - 1) / 2 * spacing_mm[1]]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = make_uid("implementation")
    for number in range(slices):
        up = (number - (slices - 1) / 2) * spacing_mm[0]
        header.SOPInstanceUID = make_uid(scan_id, number)
        header.InstanceNumber = slices - number
        header.ImagePositionPatient = [*(f"{value:.4f}" for value in corner), f"{up:.4f}"]
        header.SliceLocation = f"{up:.4f}"
        header.PixelData = stored[number].tobytes()
        meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        header.file_meta = meta
        name = hashlib.sha256(header.SOPInstanceUID.encode()).hexdigest()[:12]
        header.save_as(folder / f"{name}.dcm", enforce_file_format=True)


def _series_header(
    spacing_mm: tuple[float, float, float], patient_id: str, study: str, scan_id: str, kernel: str
) -> Dataset:
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 100"
    header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    header.SOPClassUID = CTImageStorage
    header.StudyDate = header.SeriesDate = header.ContentDate = ""
    header.StudyTime = ""
    header.AccessionNumber = ""
    header.Modality = "CT"
    header.Manufacturer = "Phantom"
    header.ManufacturerModelName = "ctprep phantom"
    header.ReferringPhysicianName = ""
    header.SeriesDescription = f"Chest {kernel}"
    header.PatientName = "Phantom^Synthetic"
    header.PatientID = patient_id
    header.PatientBirthDate = ""
    header.PatientSex = ""
    header.BodyPartExamined = "CHEST"
    header.SliceThickness = f"{spacing_mm[0]:.4f}"
    header.KVP = "120"
    header.ConvolutionKernel = {"soft": "B30f", "sharp": "B70f"}[kernel]
    header.PatientPosition = "HFS"
    header.StudyInstanceUID = make_uid("study", study)
    header.SeriesInstanceUID = make_uid("series", scan_id)
    header.FrameOfReferenceUID = make_uid("frame", study)
    header.StudyID = ""
    header.SeriesNumber = {"soft": "2", "sharp": "3"}[kernel]
    header.PositionReferenceIndicator = ""
    header.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    header.PixelSpacing = [f"{spacing_mm[1]:.4f}", f"{spacing_mm[2]:.4f}"]
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
    header.PixelRepresentation = 1
    header.PixelPaddingValue = PADDING
    header.RescaleIntercept = str(INTERCEPT)
    header.RescaleSlope = "1"
    header.RescaleType = "HU"
    header.WindowCenter, header.WindowWidth = "-600", "1500"
    return header
