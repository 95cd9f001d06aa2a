"""How right filtered tables are by what judges said, and how far judges agree."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ctprep.audit.agreement import Fourfold, count_fourfold
from ctprep.audit.judgements import JudgedReport, read_judgements
from ctprep.audit.shares import Share, estimate_share
from ctprep.audit.sides import Report, Side, read_side_by_side, read_sides
from ctprep.reports.reading.language import read_rules
from ctprep.store.errors import TableError


@dataclass(frozen=True)
class Score:
    """One table by one judge; sentences of which he is unsure do not count."""

    judge: str
    table: str
    filters: tuple[str, ...]
    """Backend, model and hash of prompt or lists."""
    reports: int
    right_reports: int
    """Without a wrong decision."""
    sentences: Fourfold
    """Ought to be kept (first) and is kept (second)."""
    precision: Share
    """Of the kept sentences, those that ought to be."""
    recall: Share
    """Of the sentences that ought to be kept, those that are."""
    missed_unread: int
    """Sentences that ought to be kept and stand in sections that the filter does not read."""


@dataclass(frozen=True)
class Judge:
    """What one judge did."""

    name: str
    reports: int
    seconds_a_report: float
    unsure: int
    """Sentences."""
    unlisted: int
    """Judged reports that are not in every table; they do not count."""


@dataclass(frozen=True)
class Raters:
    """How far two judges agree about the sentences of the reports that both judged."""

    first: str
    second: str
    reports: int
    sentences: Fourfold
    """Ought to be kept, by the one and by the other; without those of which either is unsure."""


@dataclass(frozen=True)
class Audited:
    """Scores of all tables by all judges."""

    judges: tuple[Judge, ...]
    scores: tuple[Score, ...]
    raters: tuple[Raters, ...]
    drawn_from: tuple[str, ...]
    """What `--only` was on the pages; anything but `all` is no fair sample of the table."""


def score_tables(
    tables: Sequence[Path], judgements: Sequence[Path], *, language: str | Path = "english"
) -> Audited:
    """Score filtered tables by what judges said.

    Args:
        tables: of the reports that were judged; they need not be those of the page.
        judgements: files that pages saved, of any number of judges.
        language: word lists that the tables were made with, by name or a TOML file.

    Raises:
        TableError: a file is wrong, or judged texts are not those of the tables.
    """
    judged = read_judgements(judgements)
    sides = read_sides(tables)
    reports = {r.scan_id: r for r in read_side_by_side(sides, read_rules(language))}
    _check_texts(judged, reports, sides)
    names = sorted({report.judge for report in judged})
    by_judge = {name: [report for report in judged if report.judge == name] for name in names}
    return Audited(
        judges=tuple(_tell_judge(by_judge[name], reports) for name in names),
        scores=tuple(
            _score(side, number, by_judge[name], reports)
            for name in names
            for number, side in enumerate(sides)
        ),
        raters=tuple(
            _compare(by_judge[one], by_judge[two])
            for place, one in enumerate(names)
            for two in names[place + 1 :]
        ),
        drawn_from=tuple(sorted({report.only for report in judged})),
    )


def _check_texts(
    judged: Sequence[JudgedReport], reports: dict[str, Report], sides: Sequence[Side]
) -> None:
    listed = [report for report in judged if report.scan_id in reports]
    where = " and ".join(side.name for side in sides)
    if not listed:
        raise TableError(
            "none of the judged reports is in the table",
            mend="give a table of the reports that the page showed",
            where=where,
        )
    other = [
        report.scan_id
        for report in listed
        if report.text_hash != reports[report.scan_id].text_hash
        or len(report.verdicts) != len(reports[report.scan_id].sentences)
    ]
    if other:
        raise TableError(
            f"{len(other)} of {len(listed)} judged reports have another text in the table, "
            f"such as {other[0]!r}",
            mend="give a table of the same reports, and the --language that the page was made "
            "with; of a file that was cut off, take out its last report",
            where=where,
        )


def _tell_judge(judged: Sequence[JudgedReport], reports: dict[str, Report]) -> Judge:
    return Judge(
        name=judged[0].judge,
        reports=len(judged),
        seconds_a_report=sum(report.seconds for report in judged) / len(judged),
        unsure=sum(v == "unsure" for report in judged for v in report.verdicts.values()),
        unlisted=sum(report.scan_id not in reports for report in judged),
    )


def _score(
    side: Side, number: int, judged: Sequence[JudgedReport], reports: dict[str, Report]
) -> Score:
    found = [
        (reports[one.scan_id], _decided(one, reports[one.scan_id].kept[number]))
        for one in judged
        if one.scan_id in reports
    ]
    counts = [count_fourfold(pairs.values()) for _, pairs in found]
    return Score(
        judge=judged[0].judge,
        table=side.name,
        filters=tuple(side.filters()),
        reports=len(found),
        right_reports=sum(not count.first_only and not count.second_only for count in counts),
        sentences=count_fourfold(pair for _, pairs in found for pair in pairs.values()),
        precision=estimate_share([(c.both, c.both + c.second_only) for c in counts]),
        recall=estimate_share([(c.both, c.both + c.first_only) for c in counts]),
        missed_unread=sum(
            ought and not report.sentences[place].is_read
            for report, pairs in found
            for place, (ought, _) in pairs.items()
        ),
    )


def _decided(judged: JudgedReport, kept: frozenset[int]) -> dict[int, tuple[bool, bool]]:
    return {
        number: (verdict == "keep", number in kept)
        for number, verdict in judged.verdicts.items()
        if verdict != "unsure"
    }


def _compare(one: Sequence[JudgedReport], two: Sequence[JudgedReport]) -> Raters:
    others = {(report.scan_id, report.text_hash): report for report in two}
    both = [
        (report, others[report.scan_id, report.text_hash])
        for report in one
        if (report.scan_id, report.text_hash) in others
    ]
    return Raters(
        first=one[0].judge,
        second=two[0].judge,
        reports=len(both),
        sentences=count_fourfold(
            (a.verdicts[number] == "keep", b.verdicts[number] == "keep")
            for a, b in both
            for number in a.verdicts
            if "unsure" not in (a.verdicts[number], b.verdicts[number])
        ),
    )
