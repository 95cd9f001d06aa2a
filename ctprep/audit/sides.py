"""Filtered tables of the same reports, side by side: sentences, and which table keeps which.

How an audit goes, from tables to scores:

- `sides` reads one to four tables and holds them against each other; `agreement` counts over all
  reports that they have in common, `sample` draws some of these.
- `page` writes the drawn ones into one HTML file. All text is in the page itself and escaped; the
  script (`verdicts.js`, `page.js`) only adds keys and clicks, and a content policy keeps it from
  loading or sending anything.
- The judge's CSV says of every sentence of a judged report whether it ought to be kept. It names
  the text by a hash, so that it fits any table of the same reports, also one made later.
- `judgements` reads such files back, `score` gives precision and recall of each table by judge.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ctprep.reports.filter import IDENTIFIERS_REMOVED, REWRITTEN, join_sentences
from ctprep.reports.reading.language import Rules
from ctprep.reports.reading.sections import NumberedSentence, number_sentences
from ctprep.reports.reading.sentences import split_sentences
from ctprep.reports.rewriting.rewrite import says_no_more
from ctprep.store.columns import check_faults
from ctprep.store.errors import TableError, located
from ctprep.store.tables import ReportRow, read_reports

LETTERS = "ABCD"
HASH_LENGTH = 16


@dataclass(frozen=True)
class Side:
    """One table of filtered reports."""

    letter: str
    """What it is called on the page."""
    name: str
    """Of its file."""
    rows: Mapping[str, ReportRow]

    def filters(self) -> list[str]:
        """Tell who filtered it: backend, model and hash of the prompt or word lists."""
        return sorted(
            {
                f"{row.backend}, {row.model}, prompt or lists {row.prompt_hash[:12]}"
                for row in self.rows.values()
            }
        )


@dataclass(frozen=True)
class Report:
    """A report as its tables have it."""

    scan_id: str
    sentences: tuple[NumberedSentence, ...]
    rows: tuple[ReportRow, ...]
    """Of each side, in order."""

    @cached_property
    def kept(self) -> tuple[frozenset[int], ...]:
        """Numbers of the sentences that each side keeps."""
        return tuple(frozenset(row.kept_sentences) for row in self.rows)

    @property
    def flags(self) -> frozenset[str]:
        """Flags that any side gave."""
        return frozenset(flag for row in self.rows for flag in row.flags)

    @property
    def disagreements(self) -> tuple[int, ...]:
        """Numbers of the sentences that some sides keep and others drop."""
        return tuple(
            number
            for number in range(len(self.sentences))
            if 0 < sum(number in kept for kept in self.kept) < len(self.kept)
        )

    @property
    def text_hash(self) -> str:
        """Of its sentences, as they are numbered."""
        texts = json.dumps([sentence.text for sentence in self.sentences])
        return hashlib.sha256(texts.encode()).hexdigest()[:HASH_LENGTH]

    def rewritten(self, side: int) -> list[tuple[str, int | None]]:
        """Give the sentences that a model wrote again, each with the number of its source."""
        row = self.rows[side]
        if REWRITTEN not in row.flags or not row.kept_sentences:
            return []
        sources = [self.sentences[number].text for number in row.kept_sentences]
        written = [sentence.text for sentence in split_sentences(row.text_positive)]
        found = [
            next(
                (place for place, source in enumerate(sources) if says_no_more(text, source)), None
            )
            for text in written
        ]
        return [
            (text, None if place is None else row.kept_sentences[place])
            for text, place in zip(written, found, strict=True)
        ]


def read_sides(paths: Sequence[Path]) -> list[Side]:
    """Read tables of the same reports.

    Args:
        paths: one to four tables of `ctprep filter-reports`.

    Raises:
        TableError: there are too many, one is no such table, they have no report in common, or a
            report differs in its text.
    """
    if not 1 <= len(paths) <= len(LETTERS):
        raise TableError(
            f"{len(paths)} tables are too many", mend=f"give at most {len(LETTERS)} tables"
        )
    sides = [
        Side(letter, path.name, _read_rows(path))
        for letter, path in zip(LETTERS, paths, strict=False)
    ]
    common = common_ids(sides)
    if not common:
        raise TableError(
            "the table has no report" if len(sides) == 1 else "no report is in all tables",
            mend="give tables that `ctprep filter-reports` made from the same reports",
            where=_names(sides),
        )
    _check_texts(sides, common)
    return sides


def _read_rows(path: Path) -> dict[str, ReportRow]:
    return {
        record["scan_id"]: ReportRow.model_validate(
            {name: tuple(cell) if isinstance(cell, list) else cell for name, cell in record.items()}
        )
        for record in read_reports(path).to_pylist()
    }


def common_ids(sides: Sequence[Side]) -> list[str]:
    """Give the ids of the reports that are in every table, sorted."""
    return sorted(set[str].intersection(*(set(side.rows) for side in sides)))


def _check_texts(sides: Sequence[Side], common: Sequence[str]) -> None:
    first, *others = sides
    for other in others:
        differing = [
            scan_id
            for scan_id in common
            # Blanks aside: tables of earlier versions lack the mark of an impression.
            if first.rows[scan_id].text_full.split() != other.rows[scan_id].text_full.split()
        ]
        if not differing:
            continue
        scrubbed = {
            IDENTIFIERS_REMOVED in side.rows[scan_id].flags
            for side in (first, other)
            for scan_id in differing
        }
        raise TableError(
            f"{len(differing)} of {len(common)} reports have another text in each table, "
            f"such as {differing[0]!r}",
            mend="make both with --keep-identifiers, or both without"
            if scrubbed == {True, False}
            else "make both from the same reports",
            where=_names([first, other]),
        )


def _names(sides: Sequence[Side]) -> str:
    return " and ".join(side.name for side in sides)


def read_side_by_side(sides: Sequence[Side], rules: Rules) -> Iterator[Report]:
    """Give every report that all tables have, by scan id.

    Args:
        sides: the tables.
        rules: word lists of the reports' language, which part the text into sentences.

    Raises:
        TableError: a table counts other sentences than these word lists give.
    """
    for scan_id in common_ids(sides):
        rows = tuple(side.rows[scan_id] for side in sides)
        report = Report(scan_id, tuple(number_sentences(rows[0].text_full, rules)), rows)
        for side, row in zip(sides, rows, strict=True):
            with located(side.name):
                _check_numbers(row, report.sentences)
        yield report


def _check_numbers(row: ReportRow, sentences: Sequence[NumberedSentence]) -> None:
    """Refuse numbers that were counted by other rules: every mark would be on a wrong sentence."""
    read = {number for number, sentence in enumerate(sentences) if sentence.is_read}
    kept = row.kept_sentences
    fits = read.issuperset(kept)
    if fits and kept and REWRITTEN not in row.flags:
        fits = join_sentences([sentences[number].text for number in kept]) == row.text_positive
    check_faults(
        [] if fits else [f"the kept sentences of {row.scan_id!r} are not those of its text"],
        mend="give the --language that the table was made with, or filter the reports again",
    )
