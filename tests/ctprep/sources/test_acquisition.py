"""Free text that is kept of a header: only what reads like what its element is for."""

import pytest

from ctprep.sources.acquisition import KEPT_TEXT, allowed, allowed_number

NAMES = ("DOE^JANE 1970", "Doe", "Müller", "J.D.", "Jane Doe Hospital", "A/123456")
DATES = ("1970-01-01", "19700101", "01.01.70", "010170", "1970")


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("ConvolutionKernel", "B70f"),
        ("ConvolutionKernel", "Br38f\\3"),
        ("ConvolutionKernel", "STANDARD"),
        ("ConvolutionKernel", "FC17"),
        ("ConvolutionKernel", "STD+"),
        ("ConvolutionKernel", "59 .10.AB50"),
        ("ManufacturerModelName", "Sensation 64"),
        ("ManufacturerModelName", "LightSpeed VCT"),
        ("ManufacturerModelName", "Biograph40_mCT 4R"),
        ("ManufacturerModelName", "HiSpeed CT/i"),
        ("FilterType", "BODY FILTER"),
        ("FilterType", "LARGE BOWTIE FIL"),
        ("FilterType", "WEDGE_3"),
        ("PatientPosition", "HFDL"),
    ],
)
def test_what_scanners_write_is_kept(keyword: str, text: str) -> None:
    """Values of real scanners stay as they are."""
    assert allowed(keyword, text) == text


@pytest.mark.parametrize("keyword", KEPT_TEXT)
@pytest.mark.parametrize("name", NAMES + DATES)
def test_names_and_dates_are_left_out(keyword: str, name: str) -> None:
    """Nothing of a name, a date or a number of a patient is kept, in any element."""
    assert allowed(keyword, name) in (None, "other")


def test_manufacturer_is_mapped_onto_a_vendor() -> None:
    """Only the vendor's own name is kept of what stands around it."""
    assert allowed("Manufacturer", "GE MEDICAL SYSTEMS, Jane Doe") == "GE"
    assert allowed("Manufacturer", "Acme") == "other"
    assert allowed("Manufacturer", " ") is None


def test_other_elements_are_never_kept() -> None:
    """A keyword that is not on the list has no vocabulary."""
    assert allowed("PatientName", "CT") is None


@pytest.mark.parametrize(
    ("keyword", "number", "kept"),
    [
        ("KVP", 120.0, True),
        ("SliceThickness", 1.25, True),
        ("XRayTubeCurrent", 650.0, True),
        ("SpiralPitchFactor", 0.9, True),
        ("KVP", 19530817.0, False),
        ("XRayTubeCurrent", 8675309.0, False),
        ("KVP", float("nan"), False),
    ],
)
def test_a_number_is_kept_if_it_can_be_one(keyword: str, number: float, kept: bool) -> None:
    """A date or a telephone number is no voltage."""
    assert allowed_number(keyword, number) == (number if kept else None)
