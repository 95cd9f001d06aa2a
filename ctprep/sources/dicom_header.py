"""One DICOM header: the few elements that decide what a file is and where it lies."""

import logging
import warnings
from dataclasses import dataclass
from io import BufferedIOBase
from typing import Any

import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ctprep.sources.acquisition import KEPT_NUMBERS, KEPT_TEXT, allowed, allowed_number
from ctprep.sources.deflated import check_deflated
from ctprep.sources.dicom_elements import Elements, Numbers, bad_element
from ctprep.sources.dicom_frames import frame_datasets
from ctprep.sources.files import SourceFile
from ctprep.store.errors import SourceError

# Its warnings quote header values, which may be a person's; they must reach no log.
logging.getLogger("pydicom").addHandler(logging.NullHandler())
logging.getLogger("pydicom").propagate = False

MAGIC_OFFSET = 128
MAGIC = b"DICM"
RAW_STARTS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")
"""Group numbers, of either byte order, that open a data set without preamble."""
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
IMAGE_TYPES = ("ImageType", "FrameType", "VolumeBasedCalculationTechnique")
"""What an image is, then what a frame of it is; both hold, for the first may say `MIXED` alone."""
GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
TAGS = (
    *KEPT_TEXT,
    *KEPT_NUMBERS,
    *TIMES,
    *IMAGE_TYPES,
    *GROUPS,
    *("SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"),
    *("PatientID", "Modality", "ModalityLUTSequence"),
    *("BurnedInAnnotation", "NumberOfFrames", "SamplesPerPixel"),
    *("Rows", "Columns", "PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient"),
    *("BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PhotometricInterpretation"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "LossyImageCompression"),
)
KIND_TAGS = ("SOPClassUID", "Modality", *IMAGE_TYPES, "Rows", "Columns")
"""What is looked at where Modality names another than CT; the rest need not make sense."""
PIXELS = ("PlanarConfiguration", "PixelData", "FloatPixelData", "DoubleFloatPixelData")
HEADER_TAGS = [tag_for_keyword(keyword) or 0 for keyword in TAGS]
PIXEL_TAGS = HEADER_TAGS + [tag_for_keyword(keyword) or 0 for keyword in PIXELS]
"""What the parser keeps, by number: all elements, private ones too, would take twice the time."""


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
    """Of the image and, in a multi-frame object, of the frame."""
    burned_in: bool
    frames: int
    samples: int
    photometric: str
    shape: tuple[int, int]
    bytes_allocated: int
    """Of one sample."""
    bits_stored: int
    high_bit: int
    """Number, from 0, of the highest bit that is stored."""
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
        dataset = read_dataset(stream, specific_tags=HEADER_TAGS, stop_before_pixels=True)
    return () if dataset is None else headers_of(file, dataset)


def headers_of(file: SourceFile, dataset: Dataset) -> tuple[Header, ...]:
    """Take the headers of all frames from a parsed data set; as `read_headers`.

    Args:
        file: where it lies.
        dataset: with the elements `TAGS`, where present.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if Elements(dataset, ["Modality"]).text("Modality").upper() not in ("CT", ""):
            return (_header(file, Elements(dataset, KIND_TAGS), None),)
        if not all(group in dataset for group in GROUPS):
            return (_header(file, Elements(dataset, TAGS), None),)
        frames = Elements(dataset, ["NumberOfFrames"]).integer("NumberOfFrames", 1)
        try:
            flats = list(frame_datasets(dataset, frames, TAGS))
        except SourceError:
            raise
        except Exception as error:  # the parser reads nested elements now, and fails in many ways
            raise bad_element("PerFrameFunctionalGroupsSequence") from error
        return tuple(
            _header(file, Elements(flat, TAGS), number) for number, flat in enumerate(flats)
        )


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
            dataset = _completed(dataset)
            known = any(tag in dataset for tag in ("SOPClassUID", "Modality", "Rows"))
        except (SourceError, OSError):
            raise
        except MemoryError as error:
            # A length in the file is asked for whole, however little of it is there.
            raise SourceError(
                "an element claims more memory than there is",
                verdict="bad-header",
                mend="export the series again from its archive",
            ) from error
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
    if "SOPClassUID" not in dataset and dataset.file_meta.get("MediaStorageSOPClassUID"):
        # A directory of files has its class nowhere else.
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID
    return dataset


def _header(file: SourceFile, elements: Elements, frame: int | None) -> Header:
    signed = elements.integer("PixelRepresentation", 0) == 1
    allocated = elements.integer("BitsAllocated", 16)
    bits = elements.integer("BitsStored", allocated)
    return Header(
        file=file,
        frame=frame,
        sop_class=elements.text("SOPClassUID"),
        series_uid=elements.text("SeriesInstanceUID"),
        study_uid=elements.text("StudyInstanceUID"),
        frame_of_reference=elements.text("FrameOfReferenceUID"),
        patient_key=elements.text("PatientID"),
        modality=elements.text("Modality").upper(),
        image_type=_image_type(elements),
        burned_in=elements.text("BurnedInAnnotation").upper() == "YES",
        frames=elements.integer("NumberOfFrames", 1),
        samples=elements.integer("SamplesPerPixel", 1),
        photometric=elements.text("PhotometricInterpretation").upper(),
        shape=(elements.integer("Rows", 0), elements.integer("Columns", 0)),
        bytes_allocated=max(1, allocated // 8),
        bits_stored=bits,
        high_bit=elements.integer("HighBit", bits - 1),
        spacing_mm=elements.numbers("PixelSpacing", 2),
        orientation=elements.numbers("ImageOrientationPatient", 6),
        position_lps=elements.numbers("ImagePositionPatient", 3),
        thickness_mm=_thickness(elements),
        has_rescale=all(elements.text(n) for n in ("RescaleSlope", "RescaleIntercept")),
        slope=elements.number("RescaleSlope", 1.0),
        intercept=elements.number("RescaleIntercept", 0.0),
        rescale_type=elements.text("RescaleType").upper(),
        is_lookup="ModalityLUTSequence" in elements,
        padding=_padding(elements, signed=signed or bits < 16),
        fits_int16=bits <= 16 if signed else bits < 16,
        is_lossy=elements.text("LossyImageCompression") == "01",
        times=tuple(elements.text(name) for name in TIMES),
        kernel=elements.text("ConvolutionKernel"),
        acquisition=_acquisition(elements),
    )


def _image_type(elements: Elements) -> tuple[str, ...]:
    """Give what kind of image this is, in upper case.

    Source:
        DICOM PS3.3 C.7.6.1.1.2, C.8.16.1 and C.8.16.2.1.3.
    """
    texts = (elements.text(name).upper() for name in IMAGE_TYPES)
    return tuple(part.strip() for text in texts for part in text.split("\\"))


def _padding(elements: Elements, *, signed: bool) -> tuple[int, int] | None:
    """Give the range of padding.

    Args:
        elements: of the image.
        signed: False where all bits are stored and have no sign: only then can a value be larger
            than a signed one.

    Source:
        DICOM PS3.3 C.7.5.1.1.2: Pixel Padding Value, alone or up to Pixel Padding Range Limit.
    """
    names = ("PixelPaddingValue", "PixelPaddingRangeLimit")
    values = [
        _as_stored(int(number), signed=signed)
        for name in names
        for number in elements.numbers(name, 1)
    ]
    return (min(values), max(values)) if values and "PixelPaddingValue" in elements else None


def _as_stored(value: int, *, signed: bool) -> int:
    # Writers confuse the two readings of the same 16 bits: 63536 is -2000.
    if signed and value > 32767:
        return value - 65536
    return value + 65536 if not signed and value < 0 else value


def _thickness(elements: Elements) -> float | None:
    try:
        return (*elements.numbers("SliceThickness", 1), None)[0]
    except SourceError:
        return None  # informative only: a broken one refuses no scan


def _acquisition(elements: Elements) -> tuple[tuple[str, str | float], ...]:
    facts: list[tuple[str, str | float]] = []
    for name in KEPT_TEXT:
        text = allowed(name, elements.text(name))
        facts += [] if text is None else [(name, text)]
    for name in KEPT_NUMBERS:
        try:
            numbers = [allowed_number(name, number) for number in elements.numbers(name, 1)]
        except SourceError:
            continue  # informative only: a broken one refuses no scan
        facts += [(name, number) for number in numbers if number is not None]
    return tuple(facts)
