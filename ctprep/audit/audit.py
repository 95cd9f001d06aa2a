"""From filtered tables to a page for a judge, and the agreement of the tables."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ctprep.audit.agreement import Agreement, measure_agreement
from ctprep.audit.page import build_page
from ctprep.audit.sample import draw_sample
from ctprep.audit.sides import Report, read_side_by_side, read_sides
from ctprep.reports.filter import NOTHING_ABNORMAL
from ctprep.reports.language import read_rules
from ctprep.store.disk import write_atomically
from ctprep.store.errors import TableError

Only = Literal["all", "flagged", "disagreeing", "nothing-abnormal"]
SAMPLE = 100

_BELONGS: Mapping[Only, Callable[[Report], bool]] = {
    "all": lambda report: True,
    "flagged": lambda report: bool(report.flags - {NOTHING_ABNORMAL}),
    "disagreeing": lambda report: bool(report.disagreements),
    "nothing-abnormal": lambda report: NOTHING_ABNORMAL in report.flags,
}
_TOLD: Mapping[Only, str] = {
    "all": "in every table",
    "flagged": "in every table and flagged in one, other than nothing-abnormal",
    "disagreeing": "in every table and not kept alike",
    "nothing-abnormal": "in every table and without a kept sentence in one",
}


@dataclass(frozen=True)
class Audit:
    """What went onto a page."""

    drawn: int
    candidates: int
    """Reports that were drawn from."""
    reports: int
    """Reports that every table has."""
    agreements: tuple[Agreement, ...]
    """Over all these reports."""


def write_audit(
    tables: Sequence[Path],
    page: Path,
    *,
    sample: int = SAMPLE,
    seed: int = 0,
    only: Only = "all",
    language: str | Path = "english",
) -> Audit:
    """Write a page to judge a sample of filtered reports in.

    Args:
        tables: one to four tables of the same reports.
        page: HTML file to write; it holds report text.
        sample: how many reports to draw.
        seed: same reports and seed, same draw.
        only: which reports to draw from.
        language: word lists that the tables were made with, by name or a TOML file.

    Raises:
        TableError: the tables do not fit each other or the word lists, or no report is left.
    """
    rules = read_rules(language)
    sides = read_sides(tables)
    if only == "disagreeing" and len(sides) == 1:
        raise TableError("one table alone disagrees with none", mend="give two tables")
    reports = {report.scan_id: report for report in read_side_by_side(sides, rules)}
    candidates = [scan_id for scan_id, report in reports.items() if _BELONGS[only](report)]
    if not candidates:
        raise TableError(
            f"no report is {_TOLD[only]}", mend="leave --only out", where=sides[0].name
        )
    drawn = draw_sample(candidates, sample, seed)
    agreements = measure_agreement(sides, list(reports.values()))
    html = build_page(
        sides,
        [reports[scan_id] for scan_id in drawn],
        agreements,
        rules,
        how=f"{len(drawn):,} of {len(candidates):,} reports that are {_TOLD[only]}, drawn at "
        f"random with seed {seed}, in random order: the first ones are a fair sample, too.",
        only=only,
    )
    write_atomically(page, html.encode())
    return Audit(len(drawn), len(candidates), len(reports), tuple(agreements))
