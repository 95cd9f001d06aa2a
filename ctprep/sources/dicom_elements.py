"""The elements of a data set as text and numbers; what cannot be parsed is told, not hidden."""

import re
from collections.abc import Iterable

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from ctprep.store.errors import SourceError

Numbers = tuple[float, ...]
MAX_NUMBER = 1e9
BLANKS = " \0"
_PLAIN = {
    **dict.fromkeys(("CS", "TM"), re.compile(rb"[ -~]*")),
    "UI": re.compile(rb"[.0-9]*\0?"),
    # One part: of several the library strips each.
    **dict.fromkeys(("LO", "SH"), re.compile(rb"[ -\[\]-~]*")),
    "DS": re.compile(rb"[-+.0-9eE\\]* ?"),
}
"""What needs no parsing, which takes most of a header's time: ASCII, by value representation."""


class Elements:
    """Values of a data set, each parsed once.

    A library's `get` costs as much for an element that is absent as for one that is there, and
    an archive has millions of headers; so the elements that are there are gone through once.

    Args:
        dataset: parsed data set.
        keywords: DICOM keywords of the elements that will be asked for.
    """

    def __init__(self, dataset: Dataset, keywords: Iterable[str]) -> None:
        self._texts: dict[str, str] = {}
        self._broken: set[str] = set()
        # Plain numbers, for the library's tags compare ten times slower.
        present = set(map(int, dataset.keys()))
        for keyword in keywords:
            tag = _TAGS.get(keyword)
            if tag is None:
                _TAGS[keyword] = tag = tag_for_keyword(keyword) or 0
            if tag not in present:
                continue
            try:
                text = _plain_text(dataset.get_item(tag), keyword)
                self._texts[keyword] = _to_text(dataset[tag].value) if text is None else text
            except Exception:  # the library parses an element when it is asked for
                self._broken.add(keyword)

    def __contains__(self, keyword: str) -> bool:
        """Tell whether an element is there, whatever its value."""
        return keyword in self._texts or keyword in self._broken

    def text(self, keyword: str) -> str:
        """Give the parts of a value, set apart by backslashes; empty where absent or broken."""
        return self._texts.get(keyword, "")

    def numbers(self, keyword: str, count: int) -> Numbers:
        """Give a value of so many numbers; empty where it is absent or empty.

        Raises:
            SourceError: it is something else (`bad-header`).
        """
        if keyword in self._broken:
            raise bad_element(keyword)
        text = self.text(keyword)
        if not text:
            return ()
        try:
            numbers = tuple(float(part) for part in text.split("\\"))
        except ValueError as error:
            raise bad_element(keyword) from error
        if len(numbers) != count or not all(abs(number) < MAX_NUMBER for number in numbers):
            raise bad_element(keyword)
        return numbers

    def number(self, keyword: str, default: int | float) -> int | float:
        """Give a value of one number, or the default where it is absent or empty.

        Raises:
            SourceError: it is something else (`bad-header`).
        """
        return (*self.numbers(keyword, 1), default)[0]

    def integer(self, keyword: str, default: int) -> int:
        """Give a value of one whole number; as `number`."""
        return int(self.number(keyword, default))


_TAGS: dict[str, int] = {}


def _plain_text(element: object, keyword: str) -> str | None:
    """Give the text of an unparsed element at once, where the library would give just that."""
    if not isinstance(element, RawDataElement) or not isinstance(element.value, bytes):
        return None
    value, kind = element.value, element.VR or dictionary_VR(keyword)
    plain = _PLAIN.get(kind)
    return value.decode("ascii").strip(BLANKS) if plain and plain.fullmatch(value) else None


def _to_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Sequence):
        return "sequence" if len(value) else ""
    parts = value if isinstance(value, MultiValue) else [value]
    return "\\".join(str(part) for part in parts).strip(BLANKS)


def bad_element(keyword: str) -> SourceError:
    """Give the error of an element that cannot be understood; its value is not told."""
    return SourceError(
        f"the element {keyword} cannot be understood",
        verdict="bad-header",
        mend="export the series again from its archive",
    )
