"""The seam between label tables and who tells the labels: texts in, a judgement a text out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from ctprep.reports.reading.language import Rules
from ctprep.reports.reading.sections import READ_SECTIONS, find_sections, is_placeholder
from ctprep.reports.reading.sentences import split_sentences


@dataclass(frozen=True)
class Judgement:
    """What a labeller says of one report, by CT-RATE label."""

    values: Mapping[str, float]
    """1 present, 0 absent, NaN not known."""
    probabilities: Mapping[str, float] = field(default_factory=dict)
    """Empty for a labeller that gives none."""
    is_cut: bool = False
    """The end of the report was not read."""


@runtime_checkable
class Labeller(Protocol):
    """Tells which labels reports assert."""

    name: str
    """As `--backend` has it."""
    model: str
    """What told the labels, with its version; no path of this machine."""
    labels: tuple[str, ...]
    """CT-RATE names of what it knows."""

    def judge(self, texts: Sequence[str]) -> Iterator[tuple[int, Judgement | None]]:
        """Judge reports, in any order.

        Args:
            texts: whole reports.

        Yields:
            Place in `texts`, and the judgement; None for a report without findings. Each place
            once.
        """
        ...


def read_findings(text: str, rules: Rules) -> str:
    """Give what a report says of the scan: its findings and impression, on one line.

    Args:
        text: the whole report.
        rules: word lists of its language.

    Returns:
        The sections in their order; empty where there is no sentence in them, or only what
        stands where no report is.
    """
    parts = [
        text[section.start : section.stop]
        for section in find_sections(text, rules)
        if section.name in READ_SECTIONS
    ]
    sentences = [found.text for part in parts for found in split_sentences(part, rules)]
    if not sentences or is_placeholder(sentences, rules):
        return ""
    return " ".join(" ".join(parts).split())
