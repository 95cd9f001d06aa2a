"""Finding the sections of a report: findings, impression, technique, comparison, history."""

import re
from dataclasses import dataclass
from typing import Literal

SectionName = Literal["findings", "impression", "technique", "comparison", "clinical_information"]

_HEADINGS: dict[str, SectionName] = {
    "findings": "findings",
    "finding": "findings",
    "report": "findings",
    "description": "findings",
    "impression": "impression",
    "impressions": "impression",
    "conclusion": "impression",
    "conclusions": "impression",
    "opinion": "impression",
    "result": "impression",
    "summary": "impression",
    "technique": "technique",
    "protocol": "technique",
    "procedure": "technique",
    "comparison": "comparison",
    "comparisons": "comparison",
    "compared with": "comparison",
    "clinical information": "clinical_information",
    "clinical history": "clinical_information",
    "clinical details": "clinical_information",
    "history": "clinical_information",
    "indication": "clinical_information",
    "indications": "clinical_information",
    "reason for exam": "clinical_information",
    "reason for examination": "clinical_information",
}
READ_SECTIONS: tuple[SectionName, ...] = ("findings", "impression")
"""Sections that speak of what the scan shows."""

# A heading opens a line, or stands in capitals after a full stop, and ends in a colon.
_NAMES = "|".join(sorted((re.escape(name) for name in _HEADINGS), key=len, reverse=True))
_HEADING = re.compile(
    rf"(?:^|(?<=\n))[ \t]*(?P<line>(?i:{_NAMES}))[ \t]*(?::|(?=\r?\n))"
    rf"|(?:(?<=[.!?\"])\s*)(?P<capital>{_NAMES.upper()})[ \t]*:"
)


@dataclass(frozen=True)
class Section:
    """A stretch of a report under one heading."""

    name: SectionName
    start: int
    """Offset of its first character behind the heading."""
    stop: int


def find_sections(text: str) -> list[Section]:
    """Part a report by its headings.

    Args:
        text: the whole report.

    Returns:
        Sections in order; text before the first heading counts as findings.
    """
    sections: list[Section] = []
    name: SectionName = "findings"
    start = 0
    for heading in _HEADING.finditer(text):
        if text[start : heading.start()].strip():
            sections.append(Section(name, start, heading.start()))
        name = _HEADINGS[(heading["line"] or heading["capital"]).lower()]
        start = heading.end()
    if text[start:].strip():
        sections.append(Section(name, start, len(text)))
    return sections
