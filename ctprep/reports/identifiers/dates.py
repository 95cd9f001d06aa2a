"""Finding dates of every form, and ages above 89."""

import re
from collections.abc import Iterator
from functools import lru_cache

from ctprep.reports.identifiers.text import Span, Text
from ctprep.reports.identifiers.words import read_lists

_MONTHS = (
    r"(?:january|february|march|april|june|july|august|september|october|november|december"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)"
)
_FOREIGN_MONTHS = (
    "(?:januar|j\u00e4nner|februar|m\u00e4rz|mai|juni|juli|oktober|dezembe"
    "|ocak|\u015fubat|mart|nisan|may\u0131s|haziran|temmuz|a\u011fustos|eyl\u00fcl|ekim|kas\u0131m|aral\u0131k"
    "|janvier|f\u00e9vrier|mars|avril|juin|juillet|ao\u00fbt|septembre|octobre|novembre|d\u00e9cembre"
    "|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre"
    "|gennaio|febbraio|aprile|maggio|giugno|luglio|settembre|ottobre|dicembre"
    "|januari|februari|maart|mei|augustus|janeiro|fevereiro|mar\u00e7o|maio|junho|julho|setembro"
    "|outubro|dezembro)"
)
# "may 5 mm" is a verb, "5 May" a month.
_MONTH = rf"(?:(?i:{_MONTHS})|May|MAY)(?![^\W\d_])\.?"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_TH = r"(?:(?:st|nd|rd|th|ST|ND|RD|TH)\b)?"
_DAYS = rf"{_DAY}{_TH}(?:[ ]?(?:-|and|to|\u2013)[ ]?{_DAY}{_TH})?"
_MONTH_NUMBER = r"(?:0?[1-9]|1[0-2])"
_YEAR = r"(?:19|20)\d\d"
_TIME = (
    r"(?:,?(?:T| at | @ ?| )\d{1,2}[:.]\d{2}(?::\d{2}(?:\.\d+)?)?"
    r"(?:Z|[+-]\d{2}:?\d{2}| ?[AaPp]\.?[Mm]\b\.?| ?h(?:rs?|ours)?\b)?(?!\w))?"
)
_NO_MEASURE = r"(?![\w/-]|[.,]\d|\s*(?:x|mm|cm|m|ml|cc|hu|HU|MM|CM|X|%)(?!\w))"
# "DOB03/12/1954": a whole date may stick to a word.
_STOP = r"(?![\d/-]|[.,]\d)"
_GLUED = r"(?<![\d/-])(?<!\d[.,])"
_END = _TIME + _NO_MEASURE
_FREE = r"(?<![\w/-])(?<!\d[.,])"
_NUMERIC = re.compile(
    "|".join(
        [
            rf"{_GLUED}{_YEAR}(?P<a>[-./]){_MONTH_NUMBER}(?P=a){_DAY}{_TIME}{_STOP}",
            rf"{_GLUED}{_DAY} ?(?P<b>[-./ ]) ?{_MONTH_NUMBER} ?(?P=b) ?{_YEAR}{_TIME}{_STOP}",
            rf"{_GLUED}{_MONTH_NUMBER} ?(?P<c>[-./]) ?{_DAY} ?(?P=c) ?{_YEAR}{_TIME}{_STOP}",
            rf"{_FREE}{_MONTH_NUMBER}[/.-]{_YEAR}{_NO_MEASURE}",
            rf"{_FREE}{_YEAR}[/-](?:0[1-9]|1[0-2]){_NO_MEASURE}",
            rf"(?<![\w.,/-]){_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
            rf"(?: ?\d{{4}}(?:\d\d)?)?{_NO_MEASURE}",
        ]
    )
)
# Two digits of a year look like a third measure or a third rib.
_SHORT = re.compile(
    "|".join(
        [
            rf"{_FREE}{_DAY}(?P<a>[/.]){_MONTH_NUMBER}(?P=a)['\u2019]?\d\d{_TIME}{_NO_MEASURE}",
            rf"{_FREE}{_MONTH_NUMBER}(?P<b>[/.]){_DAY}(?P=b)['\u2019]?\d\d{_TIME}{_NO_MEASURE}",
            rf"{_FREE}\d\d(?P<c>-)\d\d(?P=c)\d\d{_TIME}{_NO_MEASURE}",
            rf"{_FREE}\d(?P<d>-)\d\d?(?P=d)(?:0\d|1[3-9]|[2-9]\d){_TIME}{_NO_MEASURE}",
        ]
    )
)
_NAMED = re.compile(
    "|".join(
        [
            rf"\b{_DAYS}\.?(?: of)?[ .-]*{_MONTH}(?:[ ,.'\u2019-]*(?:{_YEAR}|\d\d))?{_END}",
            rf"\b{_MONTH}[ -]?{_DAYS}(?:[,.]?[ ]?-?{_YEAR})?{_TIME}{_NO_MEASURE}",
            rf"\b{_MONTH}[ ,./-]*(?:of )?(?:{_YEAR}|['\u2019]\d\d)\b",
        ]
    )
)
_FOREIGN = re.compile(
    rf"\b{_DAY}\.?[ .-]*(?:de )?(?i:{_FOREIGN_MONTHS})\b\.?(?:[ ,.-]*(?:de |del )?{_YEAR})?{_TIME}"
    rf"|\b(?i:{_FOREIGN_MONTHS})\b\.?[ ,./-]*(?:de |del )?{_YEAR}\b"
)
_MONTH_WORDS = frozenset(
    re.findall(r"\w+", re.sub("[()?:]", " ", _MONTHS + "|" + _FOREIGN_MONTHS))
) | {"may", "sep", "sept"}
_WORDS = re.compile(r"[a-z]+")
_DAY_MONTH = re.compile(
    rf"{_FREE}(?:{_DAY}\.(?:0[1-9]|1[0-2])\.(?!\d)|{_DAY}/{_MONTH_NUMBER}(?!\d)|{_MONTH_NUMBER}/{_DAY}(?!\d))"
    rf"{_TIME}{_NO_MEASURE}"
    r"(?!\s*(?:of|images?|slices?|sections?|series|levels?|lobes?|segments?|cuts?|views?)\b)"
)
_DOTTED = re.compile(rf"{_FREE}{_DAY}\.(?:0[1-9]|1[0-2])\.(?=\s+[^\W\d_A-Z])")
_BEFORE_DOTTED = re.compile(r"(?<!\w)(?:from|of|in|vom|am|on)[ \t]+$")
_BIRTH_YEAR = re.compile(r"(?:18|19|20)\d\d(?![\w/-]|\.\d)")
_BEFORE_BIRTH_YEAR = re.compile(
    r"(?<!\w)(?:dob|d\.o\.b\.?|date of birth|birth ?date|year of birth|yob|born(?: in| on)?|b\.)"
    r"[ \t]*[:.]?[ \t]*$"
)
_AGE = re.compile(
    r"(?<![\w.,/-])(?:9\d|1[01]\d)"
    r"(?=[ -]?(?:years?|yrs?|y\.?/?o|yo|y\.o\.|y|Years?|YEARS?|Y/?O|F|M)\b(?!/))"
    r"(?![ -]?\w+[ -](?:pack|survival))"
)
_AGED = re.compile(r"(?:9\d|1[01]\d)(?![\w.,/-]*\d|\s*(?:mm|cm|%|days?|weeks?|months?|min)(?!\w))")
_BEFORE_AGED = re.compile(r"(?<!\w)(?:aged?|age is|age of)[ \t]*[:.]?[ \t]*$")


@lru_cache
def _read_cues() -> tuple[re.Pattern[str], frozenset[str]]:
    lists = read_lists("identifiers")
    cues, studies = "|".join(lists["dated"]), "|".join(lists["dated_studies"])
    dated = re.compile(
        rf"(?<!\w)(?:(?:{cues})[ \t]*:?|(?:{studies})(?: (?:of|from|dated|on))?|[dt]:)"
        r"[ \t]+(?:the )?$"
    )
    return dated, frozenset(lists["counted"])


def find_dates(text: Text) -> Iterator[Span]:
    """Find dates of which more is told than the year, with the times behind them.

    Args:
        text: a report.

    Yields:
        Where dates stand; some overlap.
    """
    dated, counted = _read_cues()
    for start, stop in text.digits:
        if stop - start > 14:
            continue
        for pattern in (_NUMERIC, _SHORT, _DAY_MONTH, _DOTTED):
            date = pattern.match(text.text, start)
            if date is None:
                continue
            if pattern is _SHORT and (
                is_counted(text, start, counted)
                or not counted.isdisjoint(_WORDS.findall(text.lower, date.end(), date.end() + 16))
            ):
                continue
            if pattern is _DAY_MONTH and not dated.search(text.before(start)):
                continue
            if pattern is _DOTTED and not _BEFORE_DOTTED.search(text.before(start, 8)):
                continue
            yield date.span()
            break
        birth = _BIRTH_YEAR.match(text.text, start)
        if birth and _BEFORE_BIRTH_YEAR.search(text.before(start, 24)):
            yield birth.span()
    if text.digits:
        for month in text.find(text.words & _MONTH_WORDS):
            yield from _around_month(text.text, *month)


def _around_month(text: str, start: int, stop: int) -> Iterator[Span]:
    for pattern in (_NAMED, _FOREIGN):
        for date in pattern.finditer(text, max(0, start - 16), min(len(text), stop + 50)):
            if date.start() < stop and start < date.end():
                yield date.span()


def find_ages(text: Text) -> Iterator[Span]:
    """Find the numbers of ages above 89.

    Args:
        text: a report.

    Yields:
        Where they stand.
    """
    for start, stop in text.digits:
        if text.text[start] not in "91" or not 2 <= stop - start <= 3:
            continue
        if _AGE.match(text.text, start) or (
            _AGED.match(text.lower, start) and _BEFORE_AGED.search(text.before(start, 16))
        ):
            yield start, stop


def is_counted(text: Text, place: int, counted: frozenset[str]) -> bool:
    """Tell whether one of the three words before a place says what is numbered there."""
    before = re.findall(r"[a-z]+", text.before(place, 60))
    return not counted.isdisjoint(before[-3:])
