"""Taking names, dates, phone and record numbers out of report text.

What is taken out is told by its shape (dates, long numbers, addresses) or by what stands beside
it (titles, labels, signatures). A bare name in a sentence has neither, and stays.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.resources import files
from typing import Literal

from ctprep.reports.language import read_rules

PLACEHOLDER = "XXXX"
"""As in the public Open-i reports; the rules know it as a word without meaning."""

Span = tuple[int, int]
"""Where something begins and ends in a text."""

Kind = Literal["name", "date", "phone", "number", "address"]

_MONTHS = (
    r"(?:January|February|March|April|June|July|August|September|October|November|December"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)"
)
# "may 5 mm" is a verb, "5 May" a month.
_MONTH = rf"(?:(?i:{_MONTHS})|May|MAY)\b\.?"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_MONTH_NUMBER = r"(?:0?[1-9]|1[0-2])"
_YEAR = r"(?:19|20)\d\d"
_TIME = r"(?:,?[ T](?:at )?\d{1,2}[:.]\d{2}(?::\d{2})?(?: ?[AaPp]\.?[Mm]\.?)?(?!\w))?"
_NO_MEASURE = r"(?![\w/-]|[.,]\d|\s*(?:x|mm|cm|m|ml|cc|hu|HU|%)\b)"
_NO_NUMBER_BEFORE = r"(?<![\w/-])(?<!\d[.,])"
_DATES = [
    rf"{_NO_NUMBER_BEFORE}{_YEAR}([-./]){_MONTH_NUMBER}\1{_DAY}{_TIME}(?![\w/-])",
    rf"{_NO_NUMBER_BEFORE}{_DAY}(?P<sep>[-./ ]){_MONTH_NUMBER}(?P=sep){_YEAR}{_TIME}{_NO_MEASURE}",
    rf"{_NO_NUMBER_BEFORE}{_MONTH_NUMBER}(?P<sep2>[-./]){_DAY}(?P=sep2){_YEAR}{_TIME}{_NO_MEASURE}",
    rf"\b{_DAY}(?:st|nd|rd|th)?(?: of)?[ .-]*{_MONTH}(?:[ ,.'-]*(?:{_YEAR}|\d\d))?"
    rf"{_TIME}{_NO_MEASURE}",
    rf"\b{_MONTH} {_DAY}(?:st|nd|rd|th)?(?:,? {_YEAR})?{_TIME}{_NO_MEASURE}",
    rf"\b{_MONTH}[ ,./-]*(?:of )?{_YEAR}\b",
    rf"{_NO_NUMBER_BEFORE}{_MONTH_NUMBER}[/.-]{_YEAR}{_NO_MEASURE}",
    rf"{_NO_NUMBER_BEFORE}{_YEAR}[/-]{_MONTH_NUMBER}{_NO_MEASURE}",
]
# Two digits of a year look like a third measure or a third rib.
_SHORT_DATES = [
    rf"{_NO_NUMBER_BEFORE}{_DAY}([/.]){_MONTH_NUMBER}\1\d\d{_TIME}{_NO_MEASURE}",
    rf"{_NO_NUMBER_BEFORE}{_MONTH_NUMBER}(?P<sep>[/.]){_DAY}(?P=sep)\d\d{_TIME}{_NO_MEASURE}",
    rf"{_NO_NUMBER_BEFORE}\d\d(?P<sep2>-)\d\d(?P=sep2)\d\d{_TIME}{_NO_MEASURE}",
]
_PHONES = [
    r"(?<![\w.+])\+\d{1,3}[ .()-]*(?:\d[ .()-]*){7,12}(?!\d)",
    r"(?<![\w.-])\(0?\d{3,4}\)[ .-]?\d{3}[ .-]?\d{2}[ .-]?\d{2}(?!\w)",
    r"(?<![\w.,-])0?\d{3}([ .-])\d{3}\1\d{4}" + _NO_MEASURE,
    r"(?<![\w.,-])0\d{3}[ .-]?\d{3}[ .-]?\d{2}[ .-]?\d{2}" + _NO_MEASURE,
]
_NUMBERS = [
    # UIDs; six numbers at least, as versions have fewer.
    r"(?<![\w.])\d+(?:\.\d+){5,}(?![\w.]*\d)",
    r"(?<!\w)\d{3}-\d{2}-\d{4}(?![\w-])",
    r"(?<![\w.,])(?:[A-Z]{1,4}[-_]?)?\d{7,}(?![\w%]|[.,]\d)",
    r"(?<!\w)[A-Z]{1,5}-?\d{2,}-\d{3,}(?!\w)",
    r"#\s?\d{4,}(?!\w)",
]
_ADDRESSES = [
    r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    r"(?i:\bhttps?://|\bwww\.)[^\s\"<>)]+",
]
_WORD = r"[^\W\d_][^\W\d_]*(?:['\u2019-][^\W\d_]+)*"
_NAME_WORD = re.compile(rf"(?:{_WORD})")
_MAX_NAME_WORDS = 4
_VALUE = r"(?=[\w/.-]*\d)[\w][\w/.-]{1,}\w"


@dataclass(frozen=True)
class Scrubbed:
    """A text without identifiers."""

    text: str
    counts: dict[str, int]
    """How many of each kind were taken out; kinds without any are left out."""


@dataclass(frozen=True)
class Cues:
    """What stands beside names and numbers, compiled."""

    before_name: re.Pattern[str]
    credentials: re.Pattern[str]
    numbers: re.Pattern[str]
    phones: re.Pattern[str]
    counted: frozenset[str]
    no_names: frozenset[str]
    particles: frozenset[str]


@lru_cache
def read_cues() -> Cues:
    """Read the words that stand beside identifiers."""
    data = files("ctprep.reports").joinpath("identifiers.toml").read_bytes()
    lists = tomllib.loads(data.decode("utf-8"))
    titles, signed, labels, closings, credentials, numbers, phones = (
        "|".join(lists[name])
        for name in (
            "titles", "signed_by", "name_labels", "closings", "credentials", "number_labels",
            "phone_labels",
        )
    )  # fmt: skip
    title = rf"(?<!\w)(?:{titles})(?!\w)[ \t]*"
    return Cues(
        # Titles follow labels and one another: "Signed by: Prof. Dr.".
        before_name=re.compile(
            rf"(?:(?<!\w)(?i:{signed})[ \t]*:?[ \t]*|(?<!\w)(?i:{labels})[ \t]*:[ \t]*"
            rf"|(?<!\w)(?i:{closings})[,.]?\s+|{title})(?:{title})*"
        ),
        credentials=re.compile(rf",[ \t]*(?:{credentials})(?!\w)"),
        numbers=re.compile(
            rf"(?<!\w)(?i:{numbers})(?!\w)[ \t]*(?:[.:#=]|is)*[ \t:#]*(?P<value>{_VALUE})"
        ),
        phones=re.compile(rf"(?<!\w)(?i:{phones})(?!\w)[ .:]*(?P<value>[+(]?\d[\d ().-]{{2,}}\d)"),
        counted=frozenset(lists["counted"]),
        no_names=frozenset(lists["no_names"]) | read_rules().neutral,
        particles=frozenset(lists["particles"]),
    )


def scrub(text: str) -> Scrubbed:
    """Take names, dates, phone and record numbers, mail and web addresses out of a text.

    Args:
        text: a report in English.

    Returns:
        The text with `PLACEHOLDER` in their place, and how many there were. Medical eponyms and
        measures stay; so does a name with neither title, label nor signature beside it, a year
        without a month, and an age.
    """
    counts: Counter[str] = Counter()
    for kind, find in _finders(read_cues()):
        spans = _disjoint(find(text))
        counts[kind] += len(spans)
        text = _replace(text, spans)
    return Scrubbed(text, {kind: counts[kind] for kind in sorted(counts) if counts[kind]})


def _finders(cues: Cues) -> Iterator[tuple[Kind, Callable[[str], list[Span]]]]:
    """Give the searches in order: what an earlier one took, a later one does not see."""
    yield "name", lambda text: _find_names(text, cues)
    yield from (("address", partial(_find, pattern)) for pattern in _ADDRESSES)
    yield from (("date", partial(_find, pattern)) for pattern in _DATES)
    for pattern in _SHORT_DATES:
        yield "date", partial(_find_uncounted, pattern, cues)
    yield "number", lambda text: [match.span("value") for match in cues.numbers.finditer(text)]
    yield "phone", lambda text: [match.span("value") for match in cues.phones.finditer(text)]
    yield from (("phone", partial(_find, pattern)) for pattern in _PHONES)
    yield from (("number", partial(_find, pattern)) for pattern in _NUMBERS)


def _disjoint(spans: Iterable[Span]) -> list[Span]:
    """Sort spans, and join those that overlap."""
    joined: list[Span] = []
    for start, stop in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return joined


def _replace(text: str, spans: Sequence[Span]) -> str:
    parts, done = [], 0
    for start, stop in spans:
        parts += [text[done:start], PLACEHOLDER]
        done = stop
    return "".join([*parts, text[done:]])


def _find(pattern: str, text: str) -> list[Span]:
    return [match.span() for match in re.finditer(pattern, text)]


def _find_uncounted(pattern: str, cues: Cues, text: str) -> list[Span]:
    return [match.span() for match in re.finditer(pattern, text) if not _is_counted(match, cues)]


def _is_counted(match: re.Match[str], cues: Cues) -> bool:
    """Tell whether one of the three words before says what is numbered."""
    before = re.findall(r"[a-z]+", match.string[max(0, match.start() - 60) : match.start()].lower())
    return not cues.counted.isdisjoint(before[-3:])


def _find_names(text: str, cues: Cues) -> list[Span]:
    behind = [
        (cue.end(), _find_name_end(text, cue.end(), cues))
        for cue in cues.before_name.finditer(text)
    ]
    before = [
        (_find_name_start(text, cue.start(), cues), cue.start())
        for cue in cues.credentials.finditer(text)
    ]
    return [(start, stop) for start, stop in [*behind, *before] if start < stop]


def _find_name_end(text: str, start: int, cues: Cues) -> int:
    """Walk over capitalized words, initials and particles from where a name may begin."""
    stop = place = start
    for _ in range(_MAX_NAME_WORDS):
        word = _NAME_WORD.match(text, place)
        if word is None:
            break
        if _is_name(word.group(), cues):
            stop = word.end()
        elif word.group().lower() not in cues.particles or word.group() in cues.no_names:
            break
        # "A. B. Smith", "SMITH, JOHN" and "Smith John", but no next sentence or line.
        is_initial = len(word.group()) == 1
        gap = re.compile(r"\.?[ \t]*" if is_initial else r",?[ \t]+").match(text, word.end())
        if gap is None:
            break
        if is_initial and text[word.end() : word.end() + 1] == ".":
            stop = word.end() + 1
        place = gap.end()
    return stop


def _find_name_start(text: str, stop: int, cues: Cues) -> int:
    """Walk back over capitalized words and initials before a credential."""
    line = max(text.rfind("\n", 0, stop) + 1, stop - 80)
    start = stop
    for word in reversed(list(re.finditer(rf"{_WORD}\.?", text[line:stop]))):
        body = word.group().rstrip(".")
        is_beside = not text[line + word.end() : start].strip(" \t")
        # A full stop behind a whole word ends a sentence.
        if not is_beside or not _is_name(body, cues) or (len(body) > 1 and body != word.group()):
            break
        start = line + word.start()
    return start


def _is_name(word: str, cues: Cues) -> bool:
    return word[0].isupper() and (len(word) == 1 or word.lower() not in cues.no_names)
