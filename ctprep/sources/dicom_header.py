"""One DICOM header: the few elements that decide what a file is and where it lies."""

import logging
import warnings
from dataclasses import dataclass
from io import BufferedIOBase
from typing import Any

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ctprep.sources.acquisition import allowed, allowed_number
from ctprep.sources.deflated import check_deflated
from ctprep.sources.dicom_frames import frame_datasets
from ctprep.sources.files import SourceFile
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
TIMES = (
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "AcquisitionNumber",
    "AcquisitionTime",
    "FrameAcquisitionDateTime",
    "TriggerTime",
    "NominalPercentageOfCardiacPhase",
)
"""What differs between images of one place at several times; compared, never kept."""
GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
TAGS = (
    *ACQUISITION_TEXT,
    *ACQUISITION_NUMBERS,
    *TIMES,
    *GROUPS,
    *("SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"),
    *("PatientID", "Modality", "ModalityLUTSequence"),
    *("ImageType", "BurnedInAnnotation", "NumberOfFrames", "SamplesPerPixel"),
    *("Rows", "Columns", "PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient"),
    *("BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "LossyImageCompression"),
)
Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """What is needed of one image; never logged, for it identifies people."""

    file: SourceFile
    frame: int | None
    """Number from 0 in a multi-frame object; None where the file is one image."""
    sop_class: str
    series_uid: str
    study_uid: str
    frame_of_reference: str
    patient_key: str
    modality: str
    image_type: tuple[str, ...]
    burned_in: bool
    frames: int
    samples: int
    photometric: str
    shape: tuple[int, int]
    bytes_allocated: int
    """Of one sample."""
    spacing_mm: Numbers
    """Between rows, then between columns; empty when absent."""
    orientation: Numbers
    position_lps: Numbers
    thickness_mm: float | None
    has_rescale: bool
    """Whether it tells slope and intercept; else they are 1 and 0."""
    slope: float
    intercept: float
    rescale_type: str
    is_lookup: bool
    """Whether a lookup table takes the place of slope and intercept."""
    padding: tuple[int, int] | None
    """Lowest and highest stored value that mark pixels without data."""
    fits_int16: bool
    is_lossy: bool
    """Whether it says that it was compressed with loss, now or earlier."""
    times: tuple[str, ...]
    kernel: str
    """As it is written, to tell reconstructions apart; `acquisition` holds what may be kept."""
    acquisition: tuple[tuple[str, str | float], ...]

    @property
    def place(self) -> tuple[SourceFile, int]:
        """The file, and the frame in it."""
        return self.file, self.frame or 0


def looks_like_dicom(start: bytes) -> bool:
    """Tell from its first bytes whether a file may be DICOM, with or without a preamble."""
    return start[MAGIC_OFFSET : MAGIC_OFFSET + 4] == MAGIC or start[:2] in RAW_STARTS


def read_headers(file: SourceFile) -> tuple[Header, ...]:
    """Read the header of a file, without its pixels.

    Args:
        file: of any content.

    Returns:
        The header; of a multi-frame object with functional groups, one a frame. Empty if this is
        no DICOM data set.

    Raises:
        SourceError: an element cannot be understood (`bad-header`), or the archive is damaged.
    """
    with file.open() as stream:
        dataset = read_dataset(stream, specific_tags=list(TAGS), stop_before_pixels=True)
    return () if dataset is None else headers_of(file, dataset)


def headers_of(file: SourceFile, dataset: Dataset) -> tuple[Header, ...]:
    """Take the headers of all frames from a parsed data set; as `read_headers`.

    Args:
        file: where it lies.
        dataset: with the elements `TAGS`, where present.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frames = _integer(dataset, "NumberOfFrames", 1)
        if not all(group in dataset for group in GROUPS):
            return (_header(file, dataset, None),)
        try:
            flats = list(frame_datasets(dataset, frames, TAGS))
        except SourceError:
            raise
        except Exception as error:  # the parser reads nested elements now, and fails in many ways
            raise _bad("PerFrameFunctionalGroupsSequence") from error
        return tuple(_header(file, flat, number) for number, flat in enumerate(flats))


def read_dataset(stream: BufferedIOBase, **options: Any) -> Dataset | None:  # noqa: ANN401
    """Parse a data set; None if it is none.

    Raises:
        SourceError: it is packed, and unpacks to far more than a scan would (`too-large`).
    """
    check_deflated(stream)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset: Dataset = pydicom.dcmread(stream, force=True, **options)
            known = any(tag in dataset for tag in ("SOPClassUID", "Modality", "Rows"))
            dataset = _completed(dataset)
        except SourceError:
            raise
        except Exception:  # the parser meets random bytes, and fails in many ways
            return None
    return dataset if known else None


def _completed(dataset: Dataset) -> Dataset:
    """Add what a decoder asks for and old writers leave out, where only one answer is possible."""
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = syntax if little else ExplicitVRBigEndian
    return dataset


def _header(file: SourceFile, dataset: Dataset, frame: int | None) -> Header:
    signed = _integer(dataset, "PixelRepresentation", 0) == 1
    allocated = _integer(dataset, "BitsAllocated", 16)
    bits = _integer(dataset, "BitsStored", allocated)
    return Header(
        file=file,
        frame=frame,
        sop_class=_text(dataset, "SOPClassUID"),
        series_uid=_text(dataset, "SeriesInstanceUID"),
        study_uid=_text(dataset, "StudyInstanceUID"),
        frame_of_reference=_text(dataset, "FrameOfReferenceUID"),
        patient_key=_text(dataset, "PatientID"),
        modality=_text(dataset, "Modality").upper(),
        image_type=tuple(part.strip().upper() for part in _text(dataset, "ImageType").split("\\")),
        burned_in=_text(dataset, "BurnedInAnnotation").upper() == "YES",
        frames=_integer(dataset, "NumberOfFrames", 1),
        samples=_integer(dataset, "SamplesPerPixel", 1),
        photometric=_text(dataset, "PhotometricInterpretation").upper(),
        shape=(_integer(dataset, "Rows", 0), _integer(dataset, "Columns", 0)),
        bytes_allocated=max(1, allocated // 8),
        spacing_mm=_numbers(dataset, "PixelSpacing", 2),
        orientation=_numbers(dataset, "ImageOrientationPatient", 6),
        position_lps=_numbers(dataset, "ImagePositionPatient", 3),
        thickness_mm=_thickness(dataset),
        has_rescale=all(_text(dataset, n) for n in ("RescaleSlope", "RescaleIntercept")),
        slope=(_numbers(dataset, "RescaleSlope", 1) or (1.0,))[0],
        intercept=(_numbers(dataset, "RescaleIntercept", 1) or (0.0,))[0],
        rescale_type=_text(dataset, "RescaleType").upper(),
        is_lookup="ModalityLUTSequence" in dataset,
        padding=_padding(dataset, signed=signed),
        fits_int16=bits <= 16 if signed else bits < 16,
        is_lossy=_text(dataset, "LossyImageCompression") == "01",
        times=tuple(_text(dataset, name) for name in TIMES),
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


def _padding(dataset: Dataset, *, signed: bool) -> tuple[int, int] | None:
    """Give the range of padding.

    Source:
        DICOM PS3.3 C.7.5.1.1.2: Pixel Padding Value, alone or up to Pixel Padding Range Limit.
    """
    names = ("PixelPaddingValue", "PixelPaddingRangeLimit")
    values = [
        _as_stored(int(number), signed=signed)
        for name in names
        for number in _numbers(dataset, name, 1)
    ]
    return (min(values), max(values)) if values and "PixelPaddingValue" in dataset else None


def _as_stored(value: int, *, signed: bool) -> int:
    # Writers confuse the two readings of the same 16 bits: 63536 is -2000.
    if signed and value > 32767:
        return value - 65536
    return value + 65536 if not signed and value < 0 else value


def _thickness(dataset: Dataset) -> float | None:
    try:
        return (*_numbers(dataset, "SliceThickness", 1), None)[0]
    except SourceError:
        return None  # informative only: a broken one refuses no scan


def _acquisition(dataset: Dataset) -> tuple[tuple[str, str | float], ...]:
    facts: list[tuple[str, str | float]] = []
    for name in ACQUISITION_TEXT:
        text = allowed(name, _text(dataset, name))
        facts += [] if text is None else [(name, text)]
    for name in ACQUISITION_NUMBERS:
        try:
            numbers = [allowed_number(name, number) for number in _numbers(dataset, name, 1)]
        except SourceError:
            continue  # informative only: a broken one refuses no scan
        facts += [(name, number) for number in numbers if number is not None]
    return tuple(facts)


def _bad(name: str) -> SourceError:
    return SourceError(
        f"the element {name} cannot be understood",
        verdict="bad-header",
        mend="export the series again from its archive",
    )
