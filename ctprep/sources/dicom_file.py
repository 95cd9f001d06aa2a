"""Which DICOM files can be a slice of a CT volume, and why the others cannot."""

from dataclasses import dataclass

from ctprep.sources.dicom_header import Header

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
DIRECTORY = "1.2.840.10008.1.3.10"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
CT_IMAGES = tuple(f"{CT_IMAGE}{kind}" for kind in ("", ".1", ".2"))
"""CT Image Storage, Enhanced CT and Legacy Converted Enhanced CT (DICOM PS3.4, Annex B.5)."""
STORAGE = "1.2.840.10008.5.1.4.1.1."
"""How the classes of the standard begin; a private class tells nothing."""
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LOCALIZERS = ("LOCALIZER", "TOPOGRAM", "SCOUT", "SURVIEW")
PROJECTIONS = (
    *("MIP", "MINIP", "MAX_IP", "MIN_IP", "PROJECTION IMAGE", "VRT", "SSD", "RENDERED"),
    *("MAXIMUM", "MINIMUM", "VOLUME_RENDER", "SURFACE_RENDER"),
)
COMPUTED = ("SUBTRACTION", "DIVISION", "MULTIPLICATION", "STD_DEVIATION", "QUANTITY")
"""Derived pixel contrasts whose values are no HU (DICOM PS3.3 C.8.16.1.4)."""
NOT_HU = (
    *("US", "OD", "HU_MOD", "PCT", "Z_EFF", "MGML", "ED", "EDW", "PERCENT", "%"),
    *("SUV", "SUVBW", "BQML", "CNTS", "GML", "CM2ML", "PROPCNT"),
)
"""Rescale types whose values are no HU; scanners write anything when they mean HU."""


MIN_SPACING_MM, MAX_SPACING_MM = 0.02, 20.0
"""Of pixels; a body scan has 0.3 to 1.4 mm, one that was made smaller up to a few mm."""
MAX_POSITION_MM = 1e5
MAX_OVERHEAD_BYTES = 64 * 2**20
"""What a file may hold besides its pixels; much more is a bomb, or another object."""


@dataclass(frozen=True)
class Fault:
    """Why something is refused: verdict, sentence and mend."""

    verdict: str
    what: str
    mend: str = "nothing to do, unless it was meant to be a scan"


def fault_of(header: Header) -> Fault | None:
    """Find the reason why an image is no slice of a CT volume.

    Args:
        header: of one file.

    Returns:
        The first reason, or None.
    """
    return _kind_fault(header) or _geometry_fault(header)


def _kind_fault(header: Header) -> Fault | None:
    if header.sop_class == DIRECTORY or 0 in header.shape:
        return Fault("no-image", "a DICOM object without an image")
    if header.modality == "SEG" or header.sop_class == SEGMENTATION:
        return Fault("segmentation", "a segmentation, not a scan")
    if header.modality not in ("CT", ""):
        return Fault("not-ct", "an image of another modality than CT")
    if any("DOSE" in part for part in header.image_type):
        return Fault("dose-page", "a dose report as a picture")
    if header.sop_class.startswith(SECONDARY_CAPTURE):
        return Fault("secondary-capture", "a secondary capture, not an acquired slice")
    if header.sop_class.startswith(STORAGE) and header.sop_class not in CT_IMAGES:
        return Fault("not-ct", "its SOP class is of no CT image")
    if any(word in part for part in header.image_type for word in LOCALIZERS):
        return Fault("localizer", "a localizer, which is a projection and not a slice")
    if any(part in PROJECTIONS for part in header.image_type):
        return Fault("projection", "a projection through many slices, such as a MIP")
    if header.burned_in:
        mend = "mask the text in the pixels and set BurnedInAnnotation to NO"
        return Fault("burned-in", "text is burned into the pixels (BurnedInAnnotation)", mend)
    if header.frames > 1 and header.frame is None:
        mend = "export it as Enhanced CT, or as single-frame CT images"
        what = f"a multi-frame object of {header.frames} frames that tells no position of each"
        return Fault("multi-frame", what, mend)
    return _value_fault(header)


def _value_fault(header: Header) -> Fault | None:
    if header.samples != 1:
        return Fault("not-grayscale", f"a picture with {header.samples} samples a pixel")
    if header.photometric and not header.photometric.startswith("MONOCHROME"):
        return Fault("not-grayscale", "a picture in color (PhotometricInterpretation)")
    if header.rescale_type in NOT_HU:
        return Fault("not-hu", "its RescaleType says that the values are no HU")
    if any(part in COMPUTED for part in header.image_type):
        return Fault("not-hu", "its ImageType says that it was computed of others, and is no HU")
    if header.is_lookup:
        mend = "export the series with RescaleSlope and RescaleIntercept"
        return Fault("modality-lut", "a lookup table takes the place of slope and intercept", mend)
    if not 0 < header.bits_stored <= header.high_bit + 1 <= 8 * header.bytes_allocated:
        what = "BitsAllocated, BitsStored and HighBit contradict each other"
        return Fault("bad-header", what, "export the series again from its archive")
    rows, columns = header.shape
    pixels = rows * columns * header.frames * header.bytes_allocated
    if header.file.size > pixels + MAX_OVERHEAD_BYTES:
        what = f"{header.file.size} bytes, where its pixels take {pixels}"
        return Fault("oversized", what, "export the series again from its archive")
    return None


def _geometry_fault(header: Header) -> Fault | None:
    mend = "export the series again with its geometry"
    if not header.spacing_mm:
        return Fault("no-spacing", "PixelSpacing is missing", mend)
    if min(header.spacing_mm) <= 0:
        return Fault("no-spacing", "PixelSpacing is not above zero", mend)
    if not header.position_lps or not header.orientation:
        what = "ImagePositionPatient or ImageOrientationPatient is missing"
        return Fault("no-geometry", what, mend)
    for spacing_mm in header.spacing_mm:
        if not MIN_SPACING_MM <= spacing_mm <= MAX_SPACING_MM:
            return Fault("bad-header", f"PixelSpacing is {spacing_mm:g} mm", mend)
    if max(map(abs, header.position_lps)) > MAX_POSITION_MM:
        return Fault("bad-geometry", "ImagePositionPatient lies outside any scanner", mend)
    first, second = header.orientation[:3], header.orientation[3:]
    lengths = [sum(x * x for x in axis) for axis in (first, second)]
    product = sum(x * y for x, y in zip(first, second, strict=True))
    # 1e-3 leaves room for decimal strings cut to four digits.
    if abs(product) > 1e-3 or any(abs(length - 1) > 1e-3 for length in lengths):
        return Fault("bad-geometry", "the axes of ImageOrientationPatient are not at right angles")
    if header.slope == 0:
        return Fault("bad-header", "RescaleSlope is zero", "export the series again")
    return None
