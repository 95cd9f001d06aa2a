"""Taking names, dates, ages above 89, numbers and addresses out of report text.

What is taken out is told by its shape (dates, long numbers, addresses), by what stands beside it
(titles, labels, signatures, verbs of telling), or by being a common given name with a surname.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from ctprep.reports.identifiers.dates import find_ages, find_dates
from ctprep.reports.identifiers.names import find_names
from ctprep.reports.identifiers.numbers import find_labelled, find_numbers, find_phones
from ctprep.reports.identifiers.places import find_addresses, find_houses
from ctprep.reports.identifiers.text import Span, Text, read_text

PLACEHOLDER = "XXXX"
"""As in the public Open-i reports; the rules know it as a word without meaning."""

Kind = Literal["name", "address", "hospital", "date", "age", "number", "phone"]

_ROUNDS = 10


@dataclass(frozen=True)
class Scrubbed:
    """A text without identifiers."""

    text: str
    counts: dict[str, int]
    """How many of each kind were taken out; kinds without any are left out."""


def scrub(text: str) -> Scrubbed:
    """Take what tells of a person out of a text.

    Args:
        text: a report in English.

    Returns:
        The text with `PLACEHOLDER` in place of names, dates, ages above 89, phone, record and
        device numbers, addresses and hospitals, and how many there were. Medical eponyms and
        measures stay; so do a year alone and other ages.
    """
    counts: Counter[str] = Counter()
    # What was taken may have hidden what stands beside it; mostly the second round finds nothing.
    for _ in range(_ROUNDS):
        found = _find_identifiers(text)
        if not found:
            break
        counts.update(kind for _, _, kind in found)
        text = _replace(text, found)
    return Scrubbed(text, {kind: counts[kind] for kind in sorted(counts)})


def _find_identifiers(text: str) -> list[tuple[int, int, Kind]]:
    spans = _disjoint(_find_all(read_text(text)))
    return [found for span in spans for found in _around_marks(text, *span)]


def _find_all(text: Text) -> Iterator[tuple[Kind, Iterable[Span]]]:
    """Give the searches in order: where two find the same, it is of the first's kind."""
    yield "name", find_names(text)
    yield "address", find_addresses(text)
    yield "hospital", find_houses(text)
    if text.digits:
        yield "number", find_labelled(text)
        yield "date", find_dates(text)
        yield "age", find_ages(text)
        yield "phone", find_phones(text)
        yield "number", find_numbers(text)


def _disjoint(found: Iterable[tuple[Kind, Iterable[Span]]]) -> list[tuple[int, int, Kind]]:
    """Sort spans, and join those that overlap."""
    ranked = [
        (start, stop, rank, kind)
        for rank, (kind, spans) in enumerate(found)
        for start, stop in spans
    ]
    joined: list[tuple[int, int, int, Kind]] = []
    for start, stop, rank, kind in sorted(ranked):
        if joined and start < joined[-1][1]:
            first, last, best, best_kind = joined[-1]
            chosen = (best, best_kind) if best <= rank else (rank, kind)
            joined[-1] = (first, max(last, stop), *chosen)
        else:
            joined.append((start, stop, rank, kind))
    return [(start, stop, kind) for start, stop, _, kind in joined]


def _around_marks(text: str, start: int, stop: int, kind: Kind) -> Iterator[tuple[int, int, Kind]]:
    """Give the parts of a span beside marks that stand in it already, without stops at its end."""
    place = start
    for part in text[start:stop].split(PLACEHOLDER):
        body = part.strip(" \t\r\n,.;:")
        if any(letter.isalnum() for letter in body):
            begin = place + part.index(body)
            yield begin, begin + len(body), kind
        place += len(part) + len(PLACEHOLDER)


def _replace(text: str, found: Iterable[tuple[int, int, Kind]]) -> str:
    parts, done = [], 0
    for start, stop, _ in found:
        parts += [text[done:start], PLACEHOLDER]
        done = stop
    return "".join([*parts, text[done:]])
