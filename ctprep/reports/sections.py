"""Finding the sections of a report: findings, impression, technique, comparison, history."""

import re
from dataclasses import dataclass
from typing import Literal

from ctprep.reports.sentences import split_sentences

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
        Sections in order; text before the first heading counts as findings. Technique, comparison
        and history reach to the next heading only where one of findings follows; otherwise
        nobody says where they end, and all after their first sentence counts as findings.
    """
    sections: list[Section] = []
    name: SectionName = "findings"
    start = 0
    for heading in _HEADING.finditer(text):
        sections.append(Section(name, start, heading.start()))
        name = _HEADINGS[(heading["line"] or heading["capital"]).lower()]
        start = heading.end()
    sections.append(Section(name, start, len(text)))
    last_findings = max(
        number
        for number, section in enumerate(sections)
        if section.name == "findings" or not number
    )
    certain = [
        part
        for number, section in enumerate(sections)
        for part in ([section] if number < last_findings else _cut(text, section))
    ]
    return [section for section in certain if text[section.start : section.stop].strip()]


def _cut(text: str, section: Section) -> list[Section]:
    if section.name in READ_SECTIONS:
        return [section]
    sentences = split_sentences(text[section.start : section.stop])
    if len(sentences) < 2:
        return [section]
    end = section.start + sentences[0].start + len(sentences[0].text)
    return [
        Section(section.name, section.start, end),
        Section("findings", end, section.stop),
    ]
