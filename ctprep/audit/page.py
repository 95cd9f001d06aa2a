"""One HTML file to judge reports in: it loads nothing, sends nothing, and reads without scripts."""

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from itertools import groupby
from string import Template

from ctprep.audit.agreement import Agreement, Fourfold
from ctprep.audit.sides import HASH_LENGTH, Report, Side
from ctprep.reports.filter import NOTHING_ABNORMAL
from ctprep.reports.reading.language import Rules
from ctprep.reports.reading.rules import judge

ONE_TABLE = "Kept sentences carry a check mark and a bar, dropped ones are struck through."
MORE_TABLES = (
    "The marks before a sentence say for each table whether it keeps (\u2713) or drops (\u2717) "
    "it; a double bar and a dashed frame mean that they disagree."
)


def build_page(
    sides: Sequence[Side],
    reports: Sequence[Report],
    agreements: Sequence[Agreement],
    rules: Rules,
    *,
    how: str,
    only: str,
) -> str:
    """Build the page; the same input gives the same bytes.

    Args:
        sides: the tables.
        reports: to be judged, in order.
        agreements: of every two tables.
        rules: word lists of the reports' language, which tell what is negated.
        how: a sentence on how the reports were drawn.
        only: which reports they were drawn from; goes into the judge's file.

    Returns:
        HTML in which every text from a table is escaped.
    """
    style, script = _read("page.css"), _read("verdicts.js") + _read("page.js")
    policy = (
        f"default-src 'none'; script-src '{_csp_hash(script)}'; style-src '{_csp_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return Template(_read("page.html")).substitute(
        policy=policy,
        style=style,
        script=script,
        page=hash_page(sides, reports, only),
        only=escape(only),
        drawn=len(reports),
        how=escape(f"{how} {ONE_TABLE if len(sides) == 1 else MORE_TABLES}"),
        tables=_tables(sides),
        agreement="".join(map(_agreement, agreements)),
        reports="\n".join(
            _report(report, sides, rules, place, len(reports))
            for place, report in enumerate(reports)
        ),
    )


def hash_page(sides: Sequence[Side], reports: Sequence[Report], only: str) -> str:
    """Give the name of a page: another one wherever another text or decision is shown."""
    shown = [
        [report.scan_id, report.text_hash, [row.model_dump(mode="json") for row in report.rows]]
        for report in reports
    ]
    told = json.dumps([only, [side.name for side in sides], shown], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:HASH_LENGTH]


def _read(name: str) -> str:
    return files("ctprep.audit").joinpath(name).read_text(encoding="utf-8")


def _csp_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _tables(sides: Sequence[Side]) -> str:
    rows = [
        [side.letter, side.name, f"{len(side.rows):,}", "; ".join(side.filters())] for side in sides
    ]
    return _table(("table", "file", "reports", "filtered by"), rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in heads)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(text: str) -> str:
    look = ' class="count"' if text[:1].isdigit() else ""
    return f"<td{look}>{escape(text)}</td>"


def _agreement(found: Agreement) -> str:
    one, two = found.first, found.second
    heads = ("sentences", "both keep", f"only {one}", f"only {two}", "both drop", "agree", "kappa")
    counts = {"all": found.sentences, **found.sections}
    flags = [(flag, f"{a:,}", f"{b:,}") for flag, (a, b) in found.flags.items()]
    phrases = [
        (p.text, f"{p.first_only:,}", f"{p.second_only:,}", f"{p.agreed:,}") for p in found.phrases
    ]
    return "".join(
        [
            f"<h2>Agreement of {one} and {two}, over all reports that both have</h2>",
            f"<p>{found.identical_reports:,} of {found.reports:,} reports keep the same "
            f"sentences. Only in {one}: {found.missing[0]:,} reports; "
            f"only in {two}: {found.missing[1]:,}.</p>",
            _table(heads, [(name, *_cells(count)) for name, count in counts.items()]),
            _table(("flag", one, two), flags) if flags else "",
            "<h3>Most frequent disagreements; # stands for any number</h3>" if phrases else "",
            _table(("sentence", f"only {one}", f"only {two}", "agreed"), phrases)
            if phrases
            else "",
        ]
    )


def _cells(count: Fourfold) -> list[str]:
    numbers = (count.both, count.first_only, count.second_only, count.neither)
    return [
        *(f"{number:,}" for number in numbers),
        tell_share(count.agreement),
        "not defined" if count.kappa is None else f"{count.kappa:.3f}",
    ]


def tell_share(share: float | None) -> str:
    """Tell a share in percent."""
    return "none" if share is None else f"{100 * share:.2f} %"


def _report(report: Report, sides: Sequence[Side], rules: Rules, place: int, total: int) -> str:
    parts = []
    numbered = enumerate(report.sentences)
    for section, group in groupby(numbered, key=lambda pair: pair[1].section):
        sentences = list(group)
        is_read = sentences[0][1].is_read
        rows = "".join(_sentence(report, sides, rules, number) for number, _ in sentences)
        name = escape(section.replace("_", " ")) + ("" if is_read else ", not read by the filter")
        parts.append(
            f'<section class="{"read" if is_read else "unread"}"><h3>{name}</h3>'
            f"<ol>{rows}</ol></section>"
        )
    rewrites = "".join(_rewrite(report, side, number) for number, side in enumerate(sides))
    columns = f'<div class="columns{" two" if rewrites else ""}">'
    return (
        f'<article class="report" data-scan="{escape(report.scan_id)}" '
        f'data-text="{report.text_hash}" '
        f'data-flagged="{"yes" if report.flags - {NOTHING_ABNORMAL} else "no"}" '
        f'aria-labelledby="report-{place}">'
        f'<h2 id="report-{place}"><span class="place">{place + 1} of {total}</span> '
        f"{escape(report.scan_id)}</h2>{_flags(report, sides)}"
        f"{columns}<div>{''.join(parts)}</div>{rewrites}</div></article>"
    )


def _flags(report: Report, sides: Sequence[Side]) -> str:
    told = [
        f"{side.letter}: {', '.join(row.flags)}"
        for side, row in zip(sides, report.rows, strict=True)
        if row.flags
    ]
    return f'<p class="flags">Flags of {escape("; ".join(told))}</p>' if told else ""


def _sentence(report: Report, sides: Sequence[Side], rules: Rules, number: int) -> str:
    sentence = report.sentences[number]
    keeps = [number in kept for kept in report.kept]
    decided = "split" if len(set(keeps)) > 1 else "keep" if keeps[0] else "drop"
    look = {"split": "split", "keep": "kept", "drop": "dropped"}[decided]
    marks = "".join(
        _mark(side.letter if len(sides) > 1 else "", is_kept)
        for side, is_kept in zip(sides, keeps, strict=True)
    )
    # Struck through by the style sheet, and by the tag where there is none.
    tag = "s" if decided == "drop" and sentence.is_read else "span"
    is_negated = sentence.is_read and decided != "keep" and judge(sentence.text, rules).is_absence
    return (
        f'<li class="sentence {look}" data-n="{number}" data-decided="{decided}">'
        f'<span class="number">{number}</span>'
        f'<span class="marks">{marks if sentence.is_read else ""}</span>'
        f'<{tag} class="text">{escape(sentence.text)}</{tag}>'
        f"{_tag('negated') if is_negated else ''}{_tag('disagree') if decided == 'split' else ''}"
        '<span class="verdict"></span></li>'
    )


def _tag(word: str) -> str:
    return f'<span class="tag">{word}</span>'


def _mark(letter: str, is_kept: bool) -> str:
    look, sign, word = ("keep", "\u2713", "keeps") if is_kept else ("drop", "\u2717", "drops")
    told = f"{letter} {word}" if letter else "kept" if is_kept else "dropped"
    return (
        f'<span class="mark {look}"><span aria-hidden="true">{letter}{sign}</span>'
        f'<span class="sr">{told}: </span></span>'
    )


def _rewrite(report: Report, side: Side, number: int) -> str:
    rows = "".join(
        f'<li><span class="number">{"?" if source is None else source}</span> {escape(text)}</li>'
        for text, source in report.rewritten(number)
    )
    if not rows:
        return ""
    return (
        f'<section class="rewrite"><h3>as {side.letter} wrote it again, each with the number of '
        f"its source</h3><ol>{rows}</ol></section>"
    )
