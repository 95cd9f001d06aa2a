"""Facts about an acquisition: what of an element's text may be kept.

The elements are free text, so anyone can type a name into them. A value is kept only if it
reads like what the element is for; what does not is left out, whole.
"""

import re
from types import MappingProxyType

KEPT_TEXT = (
    "ConvolutionKernel",
    "Manufacturer",
    "ManufacturerModelName",
    "PatientPosition",
    "FilterType",
)
KEPT_NUMBERS = ("KVP", "SliceThickness", "XRayTubeCurrent", "SpiralPitchFactor")
"""The only elements, and columns of metadata tables, that are copied into a store."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


POSITIONS = _set("HFP HFS HFDR HFDL FFDR FFDL FFP FFS LFP LFS RFP RFS AFDR AFDL PFDR PFDL")
"""DICOM PS3.3 C.7.3.1.1.2."""
VENDORS = MappingProxyType(
    {
        "SIEMENS": "Siemens",
        "GE": "GE",
        "PHILIPS": "Philips",
        "TOSHIBA": "Toshiba",
        "CANON": "Canon",
        "HITACHI": "Hitachi",
        "FUJIFILM": "Fujifilm",
        "NEUSOFT": "Neusoft",
        "UIH": "United Imaging",
        "SAMSUNG": "Samsung",
        "SHIMADZU": "Shimadzu",
        "PICKER": "Picker",
        "ELSCINT": "Elscint",
        "IMATRON": "Imatron",
        "MARCONI": "Marconi",
    }
)
OTHER_VENDOR = "other"
MODEL_WORDS = _set(
    "SOMATOM SENSATION DEFINITION FORCE DRIVE EDGE FLASH EMOTION VOLUME ZOOM PLUS BIOGRAPH "
    "SPIRIT PERSPECTIVE SCOPE NAEOTOM ALPHA GO LIGHTSPEED HISPEED BRIGHTSPEED OPTIMA "
    "REVOLUTION DISCOVERY RHAPSODE ULTRA DUAL QXI QX PRO VCT EVO ACE APEX MAXIMA PROSPEED "
    "BRILLIANCE INGENUITY INCISIVE ICT IQON MX IDT GEMINI VEREOS AQUILION PRIME ONE GENESIS "
    "LIGHTNING ASTEION CXL CX LB MCT ACTIVION SUPRIA SCENARIA ECLOS NEUVIZ UCT CT PET AS SP "
    "TF"
)
KERNEL_WORDS = _set(
    "STANDARD SOFT BONE BONEPLUS DETAIL LUNG CHEST EDGE ULTRA HD STND STD SMOOTH SHARP PLUS "
    "BODY HEAD ASIR IMR UB EB YA YB YC YD LA LB FL EC"
)
FILTER_WORDS = _set(
    "BODY HEAD LARGE MEDIUM SMALL BOWTIE FIL FILTER FLAT WEDGE AIR NONE STRIP MULTIPLE "
    "BUTTERFLY UB SB EB PEDIATRIC CARDIAC"
)
CODE = re.compile(r"[A-Z]{0,2}\d{1,3}[A-Z]{0,2}|[A-Z]", re.ASCII)
"""A kernel, model or filter by number, such as B70F, FC17, BR38F, 64 or 4R."""
SEPARATORS = re.compile(r"[\s\\/+._-]+")
LONGEST = 32
RANGES = MappingProxyType(
    {
        "KVP": (10, 500),
        "SliceThickness": (0.01, 100),
        "XRayTubeCurrent": (0.1, 5000),
        "SpiralPitchFactor": (0.01, 20),
    }
)
"""Least and most in kV, mm, mA and as a ratio: a longer number may be anyone's."""


def allowed(keyword: str, text: str) -> str | None:
    """Give what may be kept of an element.

    Args:
        keyword: DICOM keyword of the element.
        text: its value, several parts set apart by backslashes.

    Returns:
        The text, or the vendor's name for a manufacturer; None if nothing may be kept.
    """
    upper = text.strip().upper()
    if not upper:
        return None
    if keyword == "PatientPosition":
        return upper if upper in POSITIONS else None
    if keyword == "Manufacturer":
        return next((VENDORS[word] for word in _words(upper) if word in VENDORS), OTHER_VENDOR)
    known = {
        "ConvolutionKernel": KERNEL_WORDS,
        "ManufacturerModelName": MODEL_WORDS,
        "FilterType": FILTER_WORDS,
    }.get(keyword)
    return text.strip() if known is not None and _is_made_of(upper, known) else None


def allowed_number(keyword: str, number: float) -> float | None:
    """Give what may be kept of a number: itself if it can be what the element is for.

    Args:
        keyword: DICOM keyword of the element.
        number: its value.
    """
    low, high = RANGES[keyword]
    return number if low <= number <= high else None


def _is_made_of(upper: str, known: frozenset[str]) -> bool:
    if len(upper) > LONGEST:
        return False
    words = _words(upper)
    # Three numbers can be a date, and two letters a person's initials.
    if sum(word.isdigit() for word in words) > 2 or sum(len(word) == 1 for word in words) > 1:
        return False
    return all(word.rstrip("0123456789") in known or CODE.fullmatch(word) for word in words)


def _words(upper: str) -> list[str]:
    return [word for word in SEPARATORS.split(upper) if word]
