"""Splitting dictated, often machine-translated report text into sentences, without changing it."""

import re
from dataclasses import dataclass

from ctprep.reports.reading.language import Rules, read_rules

_UNITS = r"(?:mm|cm|m|ml|cc|hu|x)\b"
_HARD_BREAK = re.compile(
    # CT-RATE sets quotation marks, one or many, where its reports had lines.
    r'["“”„]+|[\r\n]+|[•●▪◦]+|;(?=\s|$)'
)
_STOP = re.compile(
    # Possessive, and from the start of a run: a long run of stops would take its square of time.
    r"(?<![.!?])[.!?]++(?=\s|$|[\"“”)\]])"
    # A forgotten space: before a capital, and behind a whole word before anything.
    r"|(?<=[a-zß-öø-ÿ)\]\d])\.++(?=[A-ZÀ-ÖØ-ÞĞİŞ][^\W\d_A-Z]|A\s)"
    r"|(?<=[a-zß-öø-ÿ]{4})\.++(?=[a-zß-öø-ÿ]{2}|\d)"
)
_MARKER = re.compile(r"\s*(?:[-\u2013*>]+\s+|\(?\d{1,2}[.)](?=\s*[A-Za-z])\s*|\(?[a-h]\)\s+)*")
_EDGE = " \t\r\n\f\v\xa0-\u2013*,;:"


@dataclass(frozen=True)
class Sentence:
    """A sentence and where it stands."""

    text: str
    start: int
    """Offset of its first character in the report."""


def split_sentences(text: str, rules: Rules | None = None) -> list[Sentence]:
    """Split a report into sentences.

    Quotation marks, bullets, line breaks and semicolons separate, as does a full stop with a
    forgotten space behind it; decimals, abbreviations and numbers of a list do not.

    Args:
        text: the report, or a part of it.
        rules: word lists of its language; English where left out.

    Returns:
        Sentences in order; each is a substring of `text`, and none is empty.
    """
    abbreviations = (rules or read_rules()).abbreviations
    sentences: list[Sentence] = []
    begin = 0
    for gap in _HARD_BREAK.finditer(text):
        sentences += _split_line(text, begin, gap.start(), abbreviations)
        begin = gap.end()
    return sentences + _split_line(text, begin, len(text), abbreviations)


def _split_line(text: str, begin: int, end: int, abbreviations: frozenset[str]) -> list[Sentence]:
    sentences: list[Sentence] = []
    for stop in _STOP.finditer(text, begin, end):
        if _ends_sentence(text, begin, stop, end, abbreviations):
            sentences += _trimmed(text, begin, stop.end())
            begin = stop.end()
    return sentences + _trimmed(text, begin, end)


def _ends_sentence(
    text: str, begin: int, stop: re.Match[str], end: int, abbreviations: frozenset[str]
) -> bool:
    before = text[begin : stop.start()].strip()
    words = before.split()
    if not words or re.fullmatch(r"\(?\d{1,2}", before):
        return False
    last = words[-1].lower().lstrip("(")
    if last in abbreviations:
        return False
    # "A nodule of 3 mm. in the lung": a unit may be written with a full stop.
    if re.fullmatch(rf"\d*{_UNITS}", last) and re.match(r"\s+[^\W\d_A-Z]", text[stop.end() : end]):
        return False
    # A question mark in "(cyst?)" asks about the bracket, not the sentence.
    if (
        before.count("(") > before.count(")")
        and ")" in text[stop.end() : min(end, stop.end() + 80)]
    ):
        return False
    # Dictation puts a space into decimals: "9. 3 mm".
    decimal = re.match(rf"\s+\d+\s*{_UNITS}", text[stop.end() : end], re.IGNORECASE)
    return not (decimal and last[-1].isdigit() and stop.group() == ".")


def _trimmed(text: str, begin: int, end: int) -> list[Sentence]:
    marker = _MARKER.match(text, begin, end)
    begin = marker.end() if marker else begin
    part = text[begin:end]
    start = begin + len(part) - len(part.lstrip(_EDGE + ".)"))
    body = text[start:end].rstrip(_EDGE)
    return [Sentence(body, start)] if any(letter.isalnum() for letter in body) else []
