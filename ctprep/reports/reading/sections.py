"""Finding the sections of a report: findings, impression, technique, comparison, history."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ctprep.reports.reading.language import Rules, SectionName, read_rules
from ctprep.reports.reading.sentences import split_sentences

READ_SECTIONS: tuple[SectionName, ...] = ("findings", "impression")
"""Sections that speak of what the scan shows."""


IMPRESSION_MARK = "\f"
"""Line before an impression that came in a column of its own. A heading would be a word that the
report does not have, and another one in each language; a form feed is a blank to all readers."""


@dataclass(frozen=True)
class Section:
    """A stretch of a report under one heading."""

    name: SectionName
    start: int
    """Offset of its first character behind the heading."""
    stop: int


def find_sections(text: str, rules: Rules | None = None) -> list[Section]:
    """Part a report by its headings.

    Args:
        text: the whole report.
        rules: word lists of its language; English where left out.

    Returns:
        Sections in order; text before the first heading counts as findings, and text behind
        `IMPRESSION_MARK` as impression until a heading says otherwise. Technique, comparison
        and history reach to the next heading only where one of findings follows; otherwise
        nobody says where they end, and all after their first sentence counts as findings.
    """
    rules = rules or read_rules()
    sections: list[Section] = []
    name: SectionName = "findings"
    start = 0
    for begin, end, section_name in _find_headings(text, rules):
        # A heading may have taken the mark before it along.
        if begin >= start:
            sections.append(Section(name, start, begin))
            name, start = section_name, end
    sections.append(Section(name, start, len(text)))
    last_findings = max(
        number
        for number, section in enumerate(sections)
        if section.name == "findings" or not number
    )
    certain = [
        part
        for number, section in enumerate(sections)
        for part in ([section] if number < last_findings else _cut(text, section, rules))
    ]
    return [section for section in certain if text[section.start : section.stop].strip()]


def _find_headings(text: str, rules: Rules) -> list[tuple[int, int, SectionName]]:
    """Give begin, end and section of each heading and mark, in order."""
    found: list[tuple[int, int, SectionName]] = [
        (match.start(), match.end(), "impression") for match in re.finditer(IMPRESSION_MARK, text)
    ]
    for heading in rules.heading.finditer(text):
        name = rules.headings[(heading["line"] or heading["capital"]).lower()]
        found.append((heading.start(), heading.end(), name))
    return sorted(found)


@dataclass(frozen=True)
class NumberedSentence:
    """A sentence and the section it stands in; `kept_sentences` counts these from 0."""

    text: str
    section: SectionName

    @property
    def is_read(self) -> bool:
        """Whether its section speaks of the scan."""
        return self.section in READ_SECTIONS


def number_sentences(text: str, rules: Rules | None = None) -> list[NumberedSentence]:
    """Number the sentences of a report.

    Args:
        text: `text_full` of a report.
        rules: word lists of its language; English where left out.

    Returns:
        All sentences, of all sections, in order; their positions are what `kept_sentences` counts.
    """
    return [
        NumberedSentence(sentence.text, section.name)
        for section in find_sections(text, rules)
        for sentence in split_sentences(text[section.start : section.stop], rules)
    ]


def is_placeholder(sentences: Sequence[str], rules: Rules) -> bool:
    """Tell whether sentences stand where no report is: "report pending", "n/a".

    Args:
        sentences: of one report, those that are read.
        rules: word lists of its language.

    Returns:
        Whether there is any sentence, and each is of that kind.
    """
    plain = [" ".join(sentence.lower().split()) for sentence in sentences]
    return bool(plain) and all(rules.placeholder.search(sentence) for sentence in plain)


def _cut(text: str, section: Section, rules: Rules) -> list[Section]:
    if section.name in READ_SECTIONS:
        return [section]
    sentences = split_sentences(text[section.start : section.stop], rules)
    if len(sentences) < 2:
        return [section]
    end = section.start + sentences[0].start + len(sentences[0].text)
    return [
        Section(section.name, section.start, end),
        Section("findings", end, section.stop),
    ]
