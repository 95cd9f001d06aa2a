"""Elements of a header are what the library says they are, also those that it is not asked for."""

import warnings

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag

from ctprep.sources.dicom_elements import Elements

KINDS = {
    "AcquisitionTime": "TM",
    "ConvolutionKernel": "SH",
    "ImageType": "CS",
    "Manufacturer": "LO",
    "NumberOfFrames": "IS",
    "PixelSpacing": "DS",
    "SOPClassUID": "UI",
}
TRICKY = st.lists(st.sampled_from(b"019.-+eE aZ\\\0\x1b\t\n\xe9_,~"), max_size=10).map(bytes)


def _dataset(keyword: str, value: bytes, *, is_implicit: bool) -> Dataset:
    tag = Tag(tag_for_keyword(keyword))
    kind = None if is_implicit else KINDS[keyword]
    dataset = Dataset()
    dataset[tag] = RawDataElement(tag, kind, len(value), value, 0, is_implicit, True)
    return dataset


@pytest.mark.filterwarnings("ignore")
@given(st.sampled_from(sorted(KINDS)), TRICKY, st.booleans())
@example("PixelSpacing", b"1 \\2", False)
@example("PixelSpacing", b"\t", True)
@example("SOPClassUID", b"1\\ 2", False)
@example("Manufacturer", b"a \\b", False)
@example("NumberOfFrames", b"1.5", False)
def test_plain_text_is_what_the_library_parses(
    keyword: str, value: bytes, is_implicit: bool
) -> None:
    """Padding, several parts, control characters, other alphabets, numbers that are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        elements = Elements(_dataset(keyword, value, is_implicit=is_implicit), [keyword])
        try:
            parsed = _dataset(keyword, value, is_implicit=is_implicit)[keyword].value
        except Exception:  # the library fails in many ways
            parsed = None

    parts = parsed if isinstance(parsed, MultiValue) else [parsed]
    meant = "" if parsed is None else "\\".join(map(str, parts)).strip(" \0")
    assert keyword in elements
    assert elements.text(keyword) == meant
