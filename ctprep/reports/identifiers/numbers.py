"""Finding phone, record and device numbers, by their shape or by the label before them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from ctprep.reports.identifiers.dates import is_counted
from ctprep.reports.identifiers.text import Span, Text
from ctprep.reports.identifiers.words import one_of, read_lists

_NO_MEASURE = (
    r"(?![\w/-]|[.,]\d|\s*(?:x|mm|cm|m|ml|cc|hu|HU|MM|CM|X|%|mgy|mGy|mg|g|ng|u|IU|MBq|mAs|kV"
    r"|cells|per|copies|counts?)(?!\w))"
)
_EXTENSION = r"(?:,? ?(?:x|ext\.?|extension) ?\d{2,5}(?!\w))?"
_PHONE = re.compile(
    "|".join(
        [
            r"(?<![\w.+])\+\d{1,3}[ .()/-]*(?:\(0\)[ ]?)?(?:\d[ .()/-]{0,3}){6,12}(?<=\d)(?!\d)",
            r"(?<![\w.-])\(0?\d{2,4}\)[ .-]?\d{3,4}[ .-]?\d{2}[ .-]?\d{2}(?!\w)",
            r"(?<![\w.-])\(0\d{2,4}\)[ .-]?\d{4,8}(?!\w)",
            r"(?<![\w.,-])(?:1[ .-])?0?\d{3}([ .-])\d{3}\1\d{4}" + _NO_MEASURE,
            r"(?<![\w.,-])0\d{3}[ .-]?\d{3}[ .-]?\d{2}[ .-]?\d{2}" + _NO_MEASURE,
            r"(?<![\w.,-])0\d(?:[ ./-]?\d){7,10}" + _NO_MEASURE,
            r"(?<![\w.,-])0\d{1,4}[ /-]\d{4,8}(?:-\d{1,4})?" + _NO_MEASURE,
        ]
    )
)
# Behind a word of calling, a local number has no area code.
_LOCAL = re.compile(r"(?:\d{3}[-. ]\d{4}|\d-\d{4})" + _EXTENSION + _NO_MEASURE)
_EXTENSION_BEHIND = re.compile(_EXTENSION)
_SHORT = re.compile(r"\d{3,5}" + _NO_MEASURE)
_BEFORE_LOCAL = re.compile(
    r"(?<!\w)(?:call|calls|called|phone|dial|reached|contact|contacted|at|fax|pager|ring|number|line"
    r"|callback)[ \t]+(?:is |to |us |me |back |at |on |: ?)?(?P<short>x ?)?$"
)
_NUMBER = re.compile(
    "|".join(
        [
            # UIDs; six numbers at least, as versions have fewer.
            r"(?<![\w.])\d+(?:\.\d+){5,}(?![\w.]*\d)",
            r"(?<!\w)\d{3}-\d{2}-\d{4}(?![\w-])",
            r"(?<!\w)(?:MRN|PID|SSN|ACC|ID)\d{4,}(?!\w)",
            r"(?<![\w.,])(?:[A-Z]{1,4}[-_]?)?\d{7,}(?![\w%]|[.,]\d)",
            r"(?<![\w.,/-])[A-Z]{1,4}[-_]\d{5,}(?![\w%]|[.,]\d)",
            r"(?<!\w)[A-Z]{1,5}-?\d{2,}-\d{3,}(?!\w)",
            r"(?<![\w-])(?:\d{2}|(?:19|20)\d\d)-[A-Z]{1,4}-\d{3,}(?!\w)",
            r"(?<![\w./-])(?:19|20)\d\d[/-]\d{4,}(?![\w/-])",
            r"(?<![\w./,-])\d{2,4}-\d{5,}(?![\w/-])",
            r"(?<![\w.,-])(?=[A-Z\d]*\d[A-Z]+\d)(?=[A-Z\d]*\d[A-Z\d]*\d[A-Z\d]*\d)[A-Z]{1,3}\d{2,}[A-Z]{1,3}\d{3,}(?![\w-])",
        ]
    )
)
_HASHED = re.compile(r"\d{4,}(?!\w)")
_SIX = re.compile(r"(?<![\w.,/#-])(?<!\d )\d{6}(?![\w%/-]|[.,]\d| \d)" + _NO_MEASURE)
# A value has a digit; with blanks between, at least two digits a group.
_VALUE = re.compile(
    r"\d{2,12}(?:[ -]\d{2,12}){1,5}(?![\w/.]*[\w/]|\s*(?:mm|cm|ml|hu|x)\b)"
    r"|(?=[\w/.-]{0,40}\d)\w[\w/.-]{1,60}(?<=\w)"
)
_ROOM = re.compile(r"[a-z]?-?\d[\w/-]{0,7}" + _NO_MEASURE)
_PHONE_VALUE = re.compile(
    rf"[+(]?\d[\d ().\-/]{{1,30}}(?<=[\d ().\-/]{{2}}\d){_EXTENSION}"
    r"(?!\s*(?:mm|cm|ml|x|%|counts?)(?!\w)|[.,]\d)"
)
_SIGN_BEFORE = re.compile(r"(?:[A-Z]{1,5}[-_]?|[+(] ?)$")
_LAST_WORD = re.compile(r"([^\W\d_]+)[^\w]{0,6}$")
_TOKEN_BEFORE = re.compile(r"[\w/.-]{0,24}$")


@dataclass(frozen=True, eq=False)
class _Labels:
    record: re.Pattern[str]
    room: re.Pattern[str]
    phone: re.Pattern[str]
    counted: frozenset[str]
    measured: frozenset[str]
    gate: frozenset[str]


@lru_cache
def _read_labels() -> _Labels:
    lists = read_lists("identifiers")
    numbers, colons, phones, rooms = (
        one_of(lists[name])
        for name in ("number_labels", "colon_number_labels", "phone_labels", "rooms")
    )
    words = re.findall(r"[^\W\d_]+", f"{numbers} {colons} {phones} {rooms}")
    return _Labels(
        record=re.compile(
            rf"(?<![\w-])(?:(?:{numbers})(?!\w)[ \t]*(?:[.:#=]|is\b|was\b)*[ \t:#]*"
            rf"|(?:{colons})\.?[ \t]*[:#=]+[ \t:#]*)$"
        ),
        room=re.compile(rf"(?<!\w)(?:{rooms})\.?[ \t]*(?:no\.?|number|#|:)?[ \t]*$"),
        phone=re.compile(rf"(?<!\w)(?:{phones})(?!\w)(?:[ .:#]|is\b|no\b|number\b)*$"),
        counted=frozenset(lists["counted"]),
        measured=frozenset(lists["measured"]),
        gate=frozenset(words)
        | {f"{word}s" for word in words}
        | {"is", "was", "license", "licence"},
    )


def find_labelled(text: Text) -> Iterator[Span]:
    """Find record, device and room numbers by the labels before them.

    Args:
        text: a report.

    Yields:
        Where numbers stand.
    """
    labels = _read_labels()
    if labels.gate.isdisjoint(text.words):
        return
    done = 0
    for start, _ in text.digits:
        token = _TOKEN_BEFORE.search(text.text, max(0, start - 24), start)
        begin = token.start() if token else start
        if start >= done and (found := _behind_label(text, begin, labels)):
            done = found[1]
            yield found


def find_numbers(text: Text) -> Iterator[Span]:
    """Find record and device numbers by their shape.

    Args:
        text: a report.

    Yields:
        Where numbers stand.
    """
    labels = _read_labels()
    done = 0
    for start, stop in text.digits:
        if start >= done and (found := _of_shape(text, start, stop, labels)):
            done = found[1]
            yield found


def _behind_label(text: Text, begin: int, labels: _Labels) -> Span | None:
    before = text.before(begin)
    last = _LAST_WORD.search(before, max(0, len(before) - 24))
    if last is None or last[1] not in labels.gate:
        return None
    if labels.record.search(before) and (value := _VALUE.match(text.lower, begin)):
        return value.span()
    room = _ROOM.match(text.lower, begin) if labels.room.search(before) else None
    return room.span() if room else None


def _of_shape(text: Text, start: int, stop: int, labels: _Labels) -> Span | None:
    sign = _SIGN_BEFORE.search(text.text, max(0, start - 6), start)
    begin = sign.start() if sign else start
    if number := _NUMBER.match(text.text, begin):
        return number.span()
    is_hashed = text.text[max(0, start - 2) : start].rstrip().endswith("#")
    if is_hashed and not is_counted(text, begin, labels.counted):
        hashed = _HASHED.match(text.text, start)
        return hashed.span() if hashed else None
    six = _SIX.match(text.text, start)
    return six.span() if six and not is_counted(text, start, labels.measured) else None


def find_phones(text: Text) -> Iterator[Span]:
    """Find phone, fax and pager numbers.

    Args:
        text: a report.

    Yields:
        Where they stand; some overlap.
    """
    labels = _read_labels()
    done = 0
    for start, stop in text.digits:
        if start < done or stop - start > 14:
            continue
        begin = start - (text.text[start - 1 : start] in ("+", "("))
        before = text.before(begin)
        if found := _find_phone(text, begin, before, labels):
            done = found[1]
            yield found


def _find_phone(text: Text, begin: int, before: str, labels: _Labels) -> Span | None:
    last = _LAST_WORD.search(before, max(0, len(before) - 24))
    is_labelled = last is not None and last[1] in labels.gate and labels.phone.search(before)
    if is_labelled and (value := _PHONE_VALUE.match(text.lower, begin)):
        return value.span()
    if phone := _PHONE.match(text.text, begin):
        extension = _EXTENSION_BEHIND.match(text.text, phone.end())
        return phone.start(), extension.end() if extension else phone.end()
    call = _BEFORE_LOCAL.search(before)
    local = (_SHORT if call and call["short"] else _LOCAL).match(text.lower, begin)
    return local.span() if call and local else None
