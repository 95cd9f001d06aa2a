"""How far two tables agree: sentence by sentence, over all reports that both have."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ctprep.audit.sides import Report, Side

PHRASES_KEPT = 20


@dataclass(frozen=True)
class Fourfold:
    """Two yes-or-no judgements of the same things, counted."""

    both: int = 0
    first_only: int = 0
    second_only: int = 0
    neither: int = 0

    @property
    def total(self) -> int:
        """How many were judged."""
        return self.both + self.first_only + self.second_only + self.neither

    @property
    def agreement(self) -> float | None:
        """Share on which both agree; None of nothing."""
        return (self.both + self.neither) / self.total if self.total else None

    @property
    def kappa(self) -> float | None:
        """Agreement beyond chance; None where chance alone gives full agreement.

        Source:
            J. Cohen, Educ. Psychol. Meas. 20, 1960, equation 1.
        """
        if self.agreement is None:
            return None
        first = (self.both + self.first_only) / self.total
        second = (self.both + self.second_only) / self.total
        chance = first * second + (1 - first) * (1 - second)
        return None if chance == 1 else (self.agreement - chance) / (1 - chance)


def count_fourfold(pairs: Iterable[tuple[bool, bool]]) -> Fourfold:
    """Count pairs of judgements."""
    counts = Counter(pairs)
    return Fourfold(
        counts[True, True], counts[True, False], counts[False, True], counts[False, False]
    )


@dataclass(frozen=True)
class Phrase:
    """A sentence that reports share, numbers apart, and how often one side alone keeps it."""

    text: str
    first_only: int
    second_only: int
    agreed: int
    """How often both keep it or both drop it."""


@dataclass(frozen=True)
class Agreement:
    """How far two tables agree about the sentences that were up for decision."""

    first: str
    """Letter of the one side."""
    second: str
    sentences: Fourfold
    sections: dict[str, Fourfold]
    reports: int
    """That both tables have."""
    identical_reports: int
    """Reports of which both keep the same sentences."""
    missing: tuple[int, int]
    """How many reports each table has that the other lacks."""
    flags: dict[str, tuple[int, int]]
    """How many of the common reports have a flag, on each side."""
    phrases: tuple[Phrase, ...]
    """What they disagree about most often, as report text."""


def measure_agreement(sides: Sequence[Side], reports: Sequence[Report]) -> list[Agreement]:
    """Compare every two tables.

    Args:
        sides: the tables.
        reports: all that every table has.

    Returns:
        One comparison a pair, in order; none of one table.
    """
    return [
        _compare(sides, reports, first, second)
        for first in range(len(sides))
        for second in range(first + 1, len(sides))
    ]


def _compare(
    sides: Sequence[Side], reports: Sequence[Report], first: int, second: int
) -> Agreement:
    decided = [
        (sentence.section, normalize(sentence.text), number in kept_1, number in kept_2)
        for report in reports
        for kept_1, kept_2 in [(report.kept[first], report.kept[second])]
        for number, sentence in enumerate(report.sentences)
        if sentence.is_read
    ]
    ids = [set(sides[side].rows) for side in (first, second)]
    return Agreement(
        first=sides[first].letter,
        second=sides[second].letter,
        sentences=count_fourfold((one, two) for _, _, one, two in decided),
        sections={
            section: count_fourfold((one, two) for name, _, one, two in decided if name == section)
            for section in sorted({name for name, _, _, _ in decided})
        },
        reports=len(reports),
        identical_reports=sum(report.kept[first] == report.kept[second] for report in reports),
        missing=(len(ids[0] - ids[1]), len(ids[1] - ids[0])),
        flags=_count_flags(reports, first, second),
        phrases=_find_phrases([(text, one, two) for _, text, one, two in decided]),
    )


def _count_flags(reports: Sequence[Report], first: int, second: int) -> dict[str, tuple[int, int]]:
    counts = [Counter(f for r in reports for f in r.rows[side].flags) for side in (first, second)]
    return {flag: (counts[0][flag], counts[1][flag]) for flag in sorted({*counts[0], *counts[1]})}


def normalize(sentence: str) -> str:
    """Give what sentences have in common that differ in numbers, case, blanks and end alone."""
    text = re.sub(r"\d+(?:[.,]\d+)*", "#", sentence.lower())
    return re.sub(r"\s+", " ", text).strip(" .,;:!?")


def _find_phrases(decided: Sequence[tuple[str, bool, bool]]) -> tuple[Phrase, ...]:
    counts = Counter(decided)
    texts = {text for text, one, two in counts if one != two}
    phrases = [
        Phrase(
            text,
            counts[text, True, False],
            counts[text, False, True],
            counts[text, True, True] + counts[text, False, False],
        )
        for text in texts
    ]
    phrases.sort(key=lambda phrase: (-phrase.first_only - phrase.second_only, phrase.text))
    return tuple(phrases[:PHRASES_KEPT])
