"""One DICOM header: the few elements that decide what a file is and where it lies."""

import logging
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from ctprep.sources.acquisition import allowed
from ctprep.store.errors import SourceError

# Its warnings quote header values, which may be a person's; they must reach no log.
logging.getLogger("pydicom").addHandler(logging.NullHandler())
logging.getLogger("pydicom").propagate = False

MAGIC_OFFSET = 128
MAGIC = b"DICM"
RAW_STARTS = (b"\x02\x00", b"\x08\x00")
"""Group numbers that open a data set without preamble."""
ACQUISITION_TEXT = (
    "ConvolutionKernel",
    "Manufacturer",
    "ManufacturerModelName",
    "PatientPosition",
    "FilterType",
)
ACQUISITION_NUMBERS = ("KVP", "SliceThickness", "XRayTubeCurrent", "SpiralPitchFactor")
TAGS = (
    *ACQUISITION_TEXT,
    *ACQUISITION_NUMBERS,
    *("SOPClassUID", "SeriesInstanceUID", "PatientID", "Modality"),
    *("ImageType", "BurnedInAnnotation", "NumberOfFrames", "SamplesPerPixel"),
    *("Rows", "Columns", "PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient"),
    *("BitsAllocated", "BitsStored", "PixelRepresentation", "PixelPaddingValue"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "TemporalPositionIdentifier"),
)
Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """What is needed of one image; never logged, for it identifies people."""

    path: Path
    sop_class: str
    series_uid: str
    patient_key: str
    modality: str
    image_type: tuple[str, ...]
    burned_in: bool
    frames: int
    samples: int
    shape: tuple[int, int]
    spacing_mm: Numbers
    """Between rows, then between columns; empty when absent."""
    orientation: Numbers
    position_lps: Numbers
    slope: float
    intercept: float
    rescale_type: str
    padding: int | None
    fits_int16: bool
    temporal_position: str
    kernel: str
    """As it is written, to tell reconstructions apart; `acquisition` holds what may be kept."""
    acquisition: tuple[tuple[str, str | float], ...]


def looks_like_dicom(start: bytes) -> bool:
    """Tell from its first bytes whether a file may be DICOM, with or without a preamble."""
    return start[MAGIC_OFFSET : MAGIC_OFFSET + 4] == MAGIC or start[:2] in RAW_STARTS


def read_header(path: Path) -> Header | None:
    """Read the header of a file, without its pixels.

    Args:
        path: the file.

    Returns:
        The header; None if this is no DICOM data set.

    Raises:
        SourceError: an element cannot be understood (`bad-header`).
    """
    dataset = read_dataset(path, specific_tags=list(TAGS), stop_before_pixels=True)
    if dataset is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _header(path, dataset)


def read_dataset(file: Path | BytesIO, **options: Any) -> Dataset | None:  # noqa: ANN401
    """Parse a data set; None if it is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(file, force=True, **options)
            known = any(tag in dataset for tag in ("SOPClassUID", "Modality", "Rows"))
        except Exception:  # the parser meets random bytes, and fails in many ways
            return None
    return dataset if known else None


def _header(path: Path, dataset: Dataset) -> Header:
    signed = _integer(dataset, "PixelRepresentation", 0) == 1
    bits = _integer(dataset, "BitsStored", _integer(dataset, "BitsAllocated", 16))
    return Header(
        path=path,
        sop_class=_text(dataset, "SOPClassUID"),
        series_uid=_text(dataset, "SeriesInstanceUID"),
        patient_key=_text(dataset, "PatientID"),
        modality=_text(dataset, "Modality").upper(),
        image_type=tuple(part.strip().upper() for part in _text(dataset, "ImageType").split("\\")),
        burned_in=_text(dataset, "BurnedInAnnotation").upper() == "YES",
        frames=_integer(dataset, "NumberOfFrames", 1),
        samples=_integer(dataset, "SamplesPerPixel", 1),
        shape=(_integer(dataset, "Rows", 0), _integer(dataset, "Columns", 0)),
        spacing_mm=_numbers(dataset, "PixelSpacing", 2),
        orientation=_numbers(dataset, "ImageOrientationPatient", 6),
        position_lps=_numbers(dataset, "ImagePositionPatient", 3),
        slope=(_numbers(dataset, "RescaleSlope", 1) or (1.0,))[0],
        intercept=(_numbers(dataset, "RescaleIntercept", 1) or (0.0,))[0],
        rescale_type=_text(dataset, "RescaleType").upper(),
        padding=_padding(dataset, signed=signed),
        fits_int16=bits <= 16 if signed else bits < 16,
        temporal_position=_text(dataset, "TemporalPositionIdentifier"),
        kernel=_text(dataset, "ConvolutionKernel"),
        acquisition=_acquisition(dataset),
    )


def _text(dataset: Dataset, name: str) -> str:
    try:
        value = dataset.get(name)
    except Exception:  # an element that cannot be parsed says nothing
        return ""
    if value is None:
        return ""
    parts = value if isinstance(value, pydicom.multival.MultiValue) else [value]
    return "\\".join(str(part) for part in parts).strip(" \0")


def _numbers(dataset: Dataset, name: str, count: int) -> Numbers:
    text = _text(dataset, name)
    # Asked twice: `_text` hides an element that is there but broken.
    if not text and not _is_empty(dataset, name):
        raise _bad(name)
    if not text:
        return ()
    try:
        numbers = tuple(float(part) for part in text.split("\\"))
    except ValueError as error:
        raise _bad(name) from error
    if len(numbers) != count or not all(abs(number) < 1e9 for number in numbers):
        raise _bad(name)
    return numbers


def _is_empty(dataset: Dataset, name: str) -> bool:
    try:
        value = dataset.get(name)
    except Exception:  # there, and broken
        return False
    return value is None or str(value).strip(" \0") in ("", "[]")


def _integer(dataset: Dataset, name: str, default: int) -> int:
    numbers = _numbers(dataset, name, 1)
    return int(numbers[0]) if numbers else default


def _padding(dataset: Dataset, *, signed: bool) -> int | None:
    numbers = _numbers(dataset, "PixelPaddingValue", 1)
    if not numbers:
        return None
    value = int(numbers[0])
    # Writers confuse the two readings of the same 16 bits: 63536 is -2000.
    if signed and value > 32767:
        return value - 65536
    return value + 65536 if not signed and value < 0 else value


def _acquisition(dataset: Dataset) -> tuple[tuple[str, str | float], ...]:
    facts: list[tuple[str, str | float]] = []
    for name in ACQUISITION_TEXT:
        text = allowed(name, _text(dataset, name))
        facts += [] if text is None else [(name, text)]
    for name in ACQUISITION_NUMBERS:
        try:
            facts += [(name, number) for number in _numbers(dataset, name, 1)]
        except SourceError:
            continue  # informative only: a broken one refuses no scan
    return tuple(facts)


def _bad(name: str) -> SourceError:
    return SourceError(
        f"the element {name} cannot be understood",
        verdict="bad-header",
        mend="export the series again from its archive",
    )
