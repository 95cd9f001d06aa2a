"""From filtered tables to a page for a judge, and the agreement of the tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ctprep.audit.agreement import Agreement, measure_agreement
from ctprep.audit.only import Only
from ctprep.audit.page import build_page
from ctprep.audit.sample import draw_sample
from ctprep.audit.sides import Report, read_side_by_side, read_sides
from ctprep.reports.filter import NOTHING_ABNORMAL
from ctprep.reports.reading.language import read_rules
from ctprep.store.disk import write_atomically
from ctprep.store.errors import TableError
from ctprep.store.outputs import check_outputs

SAMPLE = 100


def belongs(report: Report, only: Only) -> bool:
    """Tell whether a report is of those that are to be drawn from."""
    if only == "disagreeing":
        return bool(report.disagreements)
    if only == "flagged":
        return bool(report.flags - {NOTHING_ABNORMAL})
    return only == "all" or only in report.flags


def _tell(only: Only) -> str:
    told = {
        "all": "",
        "disagreeing": " and not kept alike",
        "flagged": f" and flagged in one, other than {NOTHING_ABNORMAL}",
    }
    return "in every table" + told.get(only, f" and flagged {only} in one")


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
        TableError: the tables do not fit each other or the word lists, no report is left, or the
            page would not be called `.html`.
        PlaceError: the page cannot be written, which is told before the tables are read.
    """
    if page.suffix.lower() not in (".html", ".htm"):
        # Who forgets the page would have it written over the last table.
        raise TableError(
            f"the page {page.name!r} is not called .html", mend="name the page last: audit.html"
        )
    check_outputs(page, inputs=tables)
    rules = read_rules(language)
    sides = read_sides(tables)
    if only == "disagreeing" and len(sides) == 1:
        raise TableError("one table alone disagrees with none", mend="give two tables")
    reports = {report.scan_id: report for report in read_side_by_side(sides, rules)}
    candidates = [scan_id for scan_id, report in reports.items() if belongs(report, only)]
    if not candidates:
        raise TableError(
            f"no report is {_tell(only)}", mend="leave --only out", where=sides[0].name
        )
    drawn = draw_sample(candidates, sample, seed)
    agreements = measure_agreement(sides, list(reports.values()))
    html = build_page(
        sides,
        [reports[scan_id] for scan_id in drawn],
        agreements,
        rules,
        how=f"{len(drawn):,} of {len(candidates):,} reports that are {_tell(only)}, drawn at "
        f"random with seed {seed}, in random order: the first ones are a fair sample, too.",
        only=only,
    )
    write_atomically(page, html.encode())
    return Audit(len(drawn), len(candidates), len(reports), tuple(agreements))
