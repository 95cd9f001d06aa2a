"""Raw reports -> report table: keep the sentences that tell of something abnormal."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ctprep.reports.backend import Backend, parse_answer
from ctprep.reports.cache import AnswerCache, answer_key
from ctprep.reports.language import Rules, read_rules
from ctprep.reports.rules import RulesBackend, judge
from ctprep.reports.sections import READ_SECTIONS, find_sections
from ctprep.reports.sentences import split_sentences
from ctprep.store.errors import TableError
from ctprep.store.tables import (
    RawReport,
    ReportRow,
    read_raw_reports,
    read_scans,
    write_reports,
)

NORMAL_SENTENCE = "No abnormal finding."
BATCH = 64
NOTHING_ABNORMAL = "nothing-abnormal"
ANSWERED_BY_RULES = "answered-by-rules"


@dataclass(frozen=True)
class ReportItem:
    """What became of one report."""

    scan_id: str
    status: Literal["filtered", "refused", "unlisted"]
    """`unlisted`: of a scan that is not in the scan table."""
    kept_sentences: tuple[int, ...] = ()
    sentence_count: int = 0
    """Sentences of the whole report."""
    flags: tuple[str, ...] = ()
    what: str | None = None
    mend: str | None = None


def filter_reports(
    in_path: Path,
    out_path: Path,
    *,
    backend: str | Backend = "rules",
    normal_sentence: str = NORMAL_SENTENCE,
    scan_table: Path | None = None,
    language: str | Path = "english",
) -> Iterator[ReportItem]:
    """Filter a table of reports down to what is abnormal.

    The output is written when the last item has been taken, whole or not at all; answers are
    cached beside it, so running it again after a stop goes on.

    Args:
        in_path: raw reports, CSV or Parquet, as `read_raw_reports` takes them.
        out_path: Parquet to write, with the columns of `REPORT_SCHEMA`.
        backend: `rules`, or an object that answers.
        normal_sentence: what a report with nothing abnormal becomes.
        scan_table: take only the scans in it, and refuse those of them without a report.
        language: word lists by name, or a TOML file of them.

    Yields:
        One item a report, in the order of the table; then one a listed scan without a report.

    Raises:
        TableError: a table is wrong, the backend is unknown, or no report was left to write.
    """
    chosen = build_backend(backend, language)
    rules = read_rules(language)
    if not normal_sentence.strip():
        raise TableError("the normal sentence is empty", mend=f"use {NORMAL_SENTENCE!r}")
    reports = read_raw_reports(in_path)
    listed = None if scan_table is None else {row.scan_id for row in read_scans(scan_table)}
    cache = AnswerCache(out_path.with_name(out_path.name + ".answers.jsonl"))
    rows: list[ReportRow] = []
    for start in range(0, len(reports), BATCH):
        batch = reports[start : start + BATCH]
        wanted = [report for report in batch if listed is None or report.scan_id in listed]
        made = {
            row.scan_id: (row, count)
            for row, count in filter_batch(wanted, chosen, cache, normal_sentence, rules)
        }
        rows += (row for row, _ in made.values())
        yield from (_to_item(report, made.get(report.scan_id), listed) for report in batch)
    for scan_id in sorted((listed or set()) - {report.scan_id for report in reports}):
        yield _refused(scan_id, "the scan has no report", "add one, or take it off the scan table")
    if not rows:
        raise TableError(
            "no report was left to write",
            mend="check that the scan ids of both tables agree, and that there is report text",
            where=in_path.name,
        )
    write_reports(out_path, rows)


def build_backend(backend: str | Backend, language: str | Path = "english") -> Backend:
    """Make the backend of a name; an object is given back.

    Raises:
        TableError: no backend has this name.
    """
    if not isinstance(backend, str):
        return backend
    if backend != "rules":
        raise TableError(f"there is no report backend {backend!r}", mend="use 'rules'")
    return RulesBackend(language)


def filter_batch(
    reports: Sequence[RawReport],
    backend: Backend,
    cache: AnswerCache,
    normal_sentence: str,
    rules: Rules | None = None,
) -> list[tuple[ReportRow, int]]:
    """Filter some reports; those without findings and impression give no row.

    Args:
        reports: as delivered.
        backend: who answers.
        cache: answers already given; gets the new ones.
        normal_sentence: what a report with nothing abnormal becomes.
        rules: word lists of the reports' language; English where left out.

    Returns:
        Each row, and how many sentences its report has.
    """
    rules = rules or read_rules()
    texts = [join_text(report) for report in reports]
    sentences = [read_sentences(text, rules) for text in texts]
    questions = [[text for text, is_read in report if is_read] for report in sentences]
    answers = _ask(questions, backend, cache)
    return [
        (
            _to_row(report.scan_id, text, numbered, answer, backend, rules, normal_sentence),
            len(numbered),
        )
        for report, text, numbered, answer in zip(reports, texts, sentences, answers, strict=True)
        if any(is_read for _, is_read in numbered)
    ]


def join_text(report: RawReport) -> str:
    """Give the whole text of a report: findings, a line break, impression.

    Source:
        CT-CLIP joins the two without a separator, which glues a sentence of each together.
    """
    parts = (report.report_text, report.findings, report.impression)
    return "\n".join(part for part in parts if part)


def read_sentences(text: str, rules: Rules | None = None) -> list[tuple[str, bool]]:
    """Number the sentences of a report.

    Args:
        text: `text_full` of a report.
        rules: word lists of its language; English where left out.

    Returns:
        Each sentence, and whether it stands in a section that speaks of the scan; their
        positions are what `kept_sentences` counts.
    """
    return [
        (sentence.text, section.name in READ_SECTIONS)
        for section in find_sections(text, rules)
        for sentence in split_sentences(text[section.start : section.stop], rules)
    ]


def _ask(
    questions: Sequence[Sequence[str]], backend: Backend, cache: AnswerCache
) -> list[tuple[int, ...] | None]:
    """Answers from the cache or the backend; None where it failed twice."""
    keys = [answer_key(question, backend) for question in questions]
    # A report without sentences needs no answer.
    answers = [
        ()
        if not q
        else None
        if (cached := cache.get(key)) is None
        else parse_answer(json.dumps(cached), len(q))
        for key, q in zip(keys, questions, strict=True)
    ]
    for _ in range(2):
        open_ = [number for number, answer in enumerate(answers) if answer is None]
        if not open_:
            break
        replies = backend.answer([questions[number] for number in open_])
        # Fewer replies than questions: which is whose cannot be known.
        if len(replies) == len(open_):
            for number, reply in zip(open_, replies, strict=True):
                answers[number] = parse_answer(reply, len(questions[number]))
        fresh = [(keys[number], answers[number]) for number in open_]
        cache.add((key, answer) for key, answer in fresh if answer is not None)
    return answers


def _to_row(
    scan_id: str,
    text: str,
    numbered: Sequence[tuple[str, bool]],
    answer: tuple[int, ...] | None,
    backend: Backend,
    rules: Rules,
    normal_sentence: str,
) -> ReportRow:
    read = [number for number, (_, is_read) in enumerate(numbered) if is_read]
    judged = {number: judge(numbered[number][0], rules) for number in read}
    if answer is None:
        kept = [number for number in read if not judged[number].is_normal]
    else:
        kept = [read[place] for place in answer]
    absent = [number for number in read if number not in kept and judged[number].is_absence]
    flags = [NOTHING_ABNORMAL] if not kept else []
    return ReportRow(
        scan_id=scan_id,
        text_full=text,
        text_positive=_join(numbered, kept) or normal_sentence,
        text_negative=_join(numbered, absent),
        kept_sentences=tuple(kept),
        backend=backend.name,
        model=backend.model,
        prompt_hash=backend.prompt_hash,
        flags=tuple([*flags, ANSWERED_BY_RULES] if answer is None else flags),
    )


def _join(numbered: Sequence[tuple[str, bool]], numbers: Sequence[int]) -> str:
    # Headlines and dictated lines lack the full stop that keeps them apart once joined.
    bodies = (numbered[number][0].rstrip(" .,;:") for number in numbers)
    return " ".join(body if body.endswith(("?", "!")) else f"{body}." for body in bodies)


def _to_item(
    report: RawReport, made: tuple[ReportRow, int] | None, listed: set[str] | None
) -> ReportItem:
    if made is not None:
        row, count = made
        return ReportItem(row.scan_id, "filtered", row.kept_sentences, count, row.flags)
    if listed is not None and report.scan_id not in listed:
        return ReportItem(report.scan_id, "unlisted")
    return _refused(
        report.scan_id,
        "the report has no findings",
        "give its text, or take the scan off the table",
    )


def _refused(scan_id: str, what: str, mend: str) -> ReportItem:
    return ReportItem(scan_id, "refused", what=what, mend=mend)
