"""Volumes to DICOM series, with made-up but valid headers."""

import hashlib
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Int16
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

INTERCEPT = -1024
PADDING = -2000
"""Stored value outside the circle that was reconstructed; rescaled it is no possible HU."""


def make_uid(*parts: object) -> UID:
    """Derive a unique identifier, always of 44 characters, from what it names.

    Source:
        DICOM PS3.5 B.2: `2.25.` and a 128-bit number; here one of 39 digits.
    """
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return UID(f"2.25.{10**38 + int.from_bytes(digest[:16], 'big') % (2**128 - 10**38)}")


def write_series(
    folder: Path,
    hu: Int16[np.ndarray, "slice row column"],
    spacing_mm: tuple[float, float, float],
    *,
    patient_id: str,
    study: str,
    scan_id: str,
    kernel: str,
    feet_first: bool = False,
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
        feet_first: the couch carried the feet in first, so the lowest slice is number 1.

    Source:
        DICOM PS3.3 A.3 (CT image), C.7.6.2 (image plane), C.7.3.1.1.2 (patient position).
    """
    folder.mkdir(parents=True, exist_ok=True)
    slices, rows, columns = hu.shape
    header = _series_header(spacing_mm, patient_id, study, scan_id, kernel)
    header.Rows, header.Columns = rows, columns
    header.PatientPosition = "FFS" if feet_first else "HFS"
    stored = (hu - np.int16(INTERCEPT)).astype("<i2")
    down, across = np.mgrid[:rows, :columns] * 2 - np.array([rows - 1, columns - 1])[:, None, None]
    stored[:, down**2 + across**2 > max(rows, columns) ** 2] = PADDING
    corner = [-(columns - 1) / 2 * spacing_mm[2], -(rows - 1) / 2 * spacing_mm[1]]
    left, back = (f"{value:+010.4f}" for value in corner)
    pixels = struct.pack("<2H2sHI", 0x7FE0, 0x0010, b"OW", 0, 2 * rows * columns)
    file = _file_without_pixels(header)
    for number in range(slices):
        uid = make_uid(scan_id, number)
        up = f"{(number - (slices - 1) / 2) * spacing_mm[0]:+010.4f}"
        for tag, value in (
            ((0x0002, 0x0003, b"UI"), uid),
            ((0x0008, 0x0018, b"UI"), uid),
            ((0x0020, 0x0013, b"IS"), f"{number + 1 if feet_first else slices - number:04d}"),
            ((0x0020, 0x0032, b"DS"), f"{left}\\{back}\\{up}"),
            ((0x0020, 0x1041, b"DS"), up),
        ):
            _overwrite(file, tag, value)
        name = hashlib.sha256(uid.encode()).hexdigest()[:12]
        (folder / f"{name}.dcm").write_bytes(file + pixels + stored[number].tobytes())


def _file_without_pixels(header: Dataset) -> bytearray:
    """Encode once what all slices share; values that differ have the length they will need."""
    number = "+0000.0000"
    header.SOPInstanceUID = make_uid("any")
    header.InstanceNumber = "0001"
    header.ImagePositionPatient = [number] * 3
    header.SliceLocation = number
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = make_uid("implementation")
    header.file_meta = meta
    buffer = BytesIO()
    dcmwrite(buffer, header, enforce_file_format=True)
    return bytearray(buffer.getvalue())


def _overwrite(file: bytearray, tag: tuple[int, int, bytes], value: str) -> None:
    """Replace the value of an element by one of equal length."""
    data = value.encode().ljust(len(value) + len(value) % 2, b"\0" if tag[2] == b"UI" else b" ")
    start = file.index(struct.pack("<2H2sH", *tag, len(data))) + 8
    file[start : start + len(data)] = data


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
