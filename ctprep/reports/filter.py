"""Raw reports -> report table: keep the sentences that tell of something abnormal."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ctprep.reports.backends.asking import ask_numbers, ask_rewrites
from ctprep.reports.backends.backend import Backend, ChatBackend
from ctprep.reports.backends.build import build_backend
from ctprep.reports.backends.cache import AnswerCache, RewriteCache
from ctprep.reports.backends.prompt import Mode
from ctprep.reports.identifiers.scrub import Scrubbed, scrub
from ctprep.reports.reading.coverage import Coverage
from ctprep.reports.reading.language import Rules, read_rules
from ctprep.reports.reading.rules import judge
from ctprep.reports.reading.sections import IMPRESSION_MARK, is_placeholder, number_sentences
from ctprep.reports.rewriting.rewrite import Rewrite
from ctprep.reports.studies import find_studies, name_study
from ctprep.store.errors import TableError, located
from ctprep.store.outputs import beside, check_outputs
from ctprep.store.tables import (
    RawReport,
    ReportRow,
    check_report_table_name,
    read_raw_reports,
    write_reports,
)

NORMAL_SENTENCE = "No abnormal finding."
BATCH = 64
NOTHING_ABNORMAL = "nothing-abnormal"
ANSWERED_BY_RULES = "answered-by-rules"
REWRITTEN = "rewritten"
REWRITE_REFUSED = "rewrite-refused"
IDENTIFIERS_REMOVED = "identifiers-removed"
ANSWERS, REWRITES = ".answers.jsonl", ".rewrites.jsonl"
"""Behind the name of the table: what a language model has said so far."""

logger = logging.getLogger(__name__)


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
    removed: dict[str, int] = field(default_factory=dict)
    """How many identifiers were taken out, by kind (`scrub`)."""
    what: str | None = None
    mend: str | None = None


def filter_reports(
    in_path: Path,
    out_path: Path,
    *,
    backend: str | Backend = "rules",
    mode: Mode = "extractive",
    keep_identifiers: bool = False,
    normal_sentence: str = NORMAL_SENTENCE,
    scan_table: Path | None = None,
    language: str | Path = "english",
    raw: Sequence[RawReport] | None = None,
) -> Iterator[ReportItem]:
    """Filter a table of reports down to what is abnormal.

    The output is written when the last item has been taken, whole or not at all; answers are
    cached beside it, so running it again after a stop goes on.

    Args:
        in_path: raw reports, CSV or Parquet, as `read_raw_reports` takes them.
        out_path: Parquet to write, with the columns of `REPORT_SCHEMA`.
        backend: `rules`, or an object that answers.
        mode: `generative` has a language model write the report again; what says more than the
            report is refused, and the report filtered by its sentences.
        keep_identifiers: leave in the texts what `scrub` takes out.
        normal_sentence: what a report with nothing abnormal becomes.
        scan_table: take only the reports of its scans, or of their studies, and refuse scans that
            have neither.
        language: word lists by name, or a TOML file of them.
        raw: the reports of `in_path`, where they have been read already.

    Yields:
        One item a report, in the order of the table; then one a listed scan without a report.

    Raises:
        TableError: a table is wrong, the backend is unknown, no report was left to write, or the
            output is not to be written (`check_paths`).
        PlaceError: likewise.
    """
    rules = read_rules(language)
    chosen = backend
    if isinstance(chosen, str):
        chosen = build_backend(chosen, language=language)
    check_mode(chosen, mode)
    if not normal_sentence.strip():
        raise TableError("the normal sentence is empty", mend=f"use {NORMAL_SENTENCE!r}")
    check_paths(in_path, out_path, scan_table=scan_table)
    reports = read_raw_reports(in_path) if raw is None else raw
    told = {report.scan_id for report in reports}
    studies = {}
    if scan_table is not None:
        with located(in_path.name):
            found = find_studies(told, scan_table=scan_table)
        studies = {scan_id: name_study(scan_id, study) for scan_id, study in found.items()}
    listed = None if scan_table is None else {*studies, *studies.values()}
    cache = AnswerCache(beside(out_path, ANSWERS))
    rewrites = RewriteCache(beside(out_path, REWRITES))
    rows: list[ReportRow] = []
    coverage = Coverage(rules)
    begin = time.monotonic()
    step = chosen.chunk if isinstance(chosen, ChatBackend) else BATCH
    for start in range(0, len(reports), step):
        batch = reports[start : start + step]
        wanted = [report for report in batch if listed is None or report.scan_id in listed]
        made = {
            done.row.scan_id: done
            for done in filter_batch(
                wanted,
                chosen,
                cache,
                normal_sentence,
                rules=rules,
                rewrites=rewrites if mode == "generative" else None,
                keep_identifiers=keep_identifiers,
                coverage=coverage,
            )
        }
        rows += (done.row for done in made.values())
        _log_progress(start + len(batch), len(reports), time.monotonic() - begin)
        yield from (_to_item(report, made.get(report.scan_id), listed) for report in batch)
    coverage.warn()
    for scan_id in sorted(scan for scan, study in studies.items() if not {scan, study} & told):
        yield _refused(scan_id, "the scan has no report", "add one, or take it off the scan table")
    if not rows:
        raise TableError(
            "no report was left to write",
            mend="check that the scan ids of both tables agree, and that there is report text",
            where=in_path.name,
        )
    write_reports(out_path, rows)


def check_paths(in_path: Path, out_path: Path, *, scan_table: Path | None = None) -> None:
    """Refuse an output of `filter_reports` that could not be written, before a model is loaded.

    Raises:
        TableError: it is an input, or is not called `.parquet`.
        PlaceError: it, or the answers beside it, cannot be written.
    """
    outs = (out_path, *(beside(out_path, end) for end in (ANSWERS, REWRITES)))
    check_outputs(*outs, inputs=(in_path, scan_table))
    check_report_table_name(out_path)


def check_mode(backend: Backend, mode: Mode) -> None:
    """Refuse to have a report written again by what cannot write.

    Raises:
        TableError: the mode is generative, and the backend no language model.
    """
    if mode == "generative" and not isinstance(backend, ChatBackend):
        raise TableError(
            f"the backend {backend.name!r} cannot write a report again",
            mend="use `--backend transformers` or `openai`, or `--mode extractive`",
        )


@dataclass(frozen=True)
class Filtered:
    """A row of the table, and what it was made of."""

    row: ReportRow
    sentence_count: int
    removed: dict[str, int]


def filter_batch(
    reports: Sequence[RawReport],
    backend: Backend,
    cache: AnswerCache,
    normal_sentence: str,
    *,
    rules: Rules | None = None,
    rewrites: RewriteCache | None = None,
    keep_identifiers: bool = False,
    coverage: Coverage | None = None,
) -> list[Filtered]:
    """Filter some reports; those without findings and impression give no row.

    Args:
        reports: as delivered.
        backend: who answers.
        cache: answers already given; gets the new ones.
        normal_sentence: what a report with nothing abnormal becomes.
        rules: word lists of the reports' language; English where left out.
        rewrites: reports already written again, in generative mode.
        keep_identifiers: leave in the texts what `scrub` takes out.
        coverage: counts how many of the sentences the word lists know.

    Returns:
        Each row, with how many sentences its report has and what was taken out of it.
    """
    rules = rules or read_rules()
    # Before anything else: what is taken out reaches no backend, table or cache.
    texts = [
        Scrubbed(text, {}) if keep_identifiers else scrub(text) for text in map(join_text, reports)
    ]
    sentences = [read_sentences(text.text, rules) for text in texts]
    questions = [[text for text, is_read in report if is_read] for report in sentences]
    if coverage is not None:
        for question in questions:
            coverage.add(question)
    written: list[Rewrite | None] = [None] * len(questions)
    if rewrites is not None and isinstance(backend, ChatBackend):
        written = ask_rewrites(questions, backend, rewrites)
    # What was written again needs no numbers.
    open_ = [
        question if rewrite is None else []
        for question, rewrite in zip(questions, written, strict=True)
    ]
    answers = ask_numbers(open_, backend, cache)
    made = []
    for place, report in enumerate(reports):
        if not questions[place]:
            continue
        numbered, rewrite = sentences[place], written[place]
        row = _to_row(
            report.scan_id,
            texts[place].text,
            numbered,
            answers[place],
            backend,
            rules,
            normal_sentence,
        )
        if rewrite is not None:
            row = _with_rewrite(row, rewrite, numbered, rules, normal_sentence)
        elif rewrites is not None:
            row = row.model_copy(update={"flags": (*row.flags, REWRITE_REFUSED)})
        if texts[place].counts:
            row = row.model_copy(update={"flags": (*row.flags, IDENTIFIERS_REMOVED)})
        made.append(Filtered(row, len(numbered), texts[place].counts))
    return made


def join_text(report: RawReport) -> str:
    """Give the whole text of a report: findings, a line with `IMPRESSION_MARK`, impression.

    Source:
        CT-CLIP joins the two without a separator, which glues a sentence of each together.
    """
    # A page break of the source is no such mark.
    text, findings, impression = (
        part.replace(IMPRESSION_MARK, " ")
        for part in (report.report_text, report.findings, report.impression)
    )
    marked = f"{IMPRESSION_MARK}\n{impression}" if impression else ""
    return "\n".join(part for part in (text, findings, marked) if part)


def read_sentences(text: str, rules: Rules | None = None) -> list[tuple[str, bool]]:
    """Number the sentences of a report.

    Args:
        text: `text_full` of a report.
        rules: word lists of its language; English where left out.

    Returns:
        Each sentence, and whether it stands in a section that speaks of the scan and is more than
        a placeholder; their positions are what `kept_sentences` counts.
    """
    rules = rules or read_rules()
    numbered = number_sentences(text, rules)
    is_report = not is_placeholder([part.text for part in numbered if part.is_read], rules)
    return [(part.text, part.is_read and is_report) for part in numbered]


def _to_row(
    scan_id: str,
    text: str,
    numbered: Sequence[tuple[str, bool]],
    answer: tuple[int, ...] | None,
    backend: Backend,
    rules: Rules,
    normal_sentence: str,
) -> ReportRow:
    read = _read_numbers(numbered)
    if answer is None:
        kept = [number for number in read if not judge(numbered[number][0], rules).is_normal]
    else:
        kept = [read[place] for place in answer]
    flags = [NOTHING_ABNORMAL] if not kept else []
    return ReportRow(
        scan_id=scan_id,
        text_full=text,
        text_positive=_join_numbered(numbered, kept) or normal_sentence,
        text_negative=_join_numbered(numbered, _find_absent(numbered, kept, rules)),
        kept_sentences=tuple(kept),
        backend=backend.name,
        model=backend.model,
        prompt_hash=backend.prompt_hash,
        flags=tuple([*flags, ANSWERED_BY_RULES] if answer is None else flags),
    )


def _with_rewrite(
    row: ReportRow,
    rewrite: Rewrite,
    numbered: Sequence[tuple[str, bool]],
    rules: Rules,
    normal_sentence: str,
) -> ReportRow:
    read = _read_numbers(numbered)
    kept = sorted({read[source] for source in rewrite.sources})
    return row.model_copy(
        update={
            "text_positive": join_sentences(rewrite.sentences) or normal_sentence,
            "text_negative": _join_numbered(numbered, _find_absent(numbered, kept, rules)),
            "kept_sentences": tuple(kept),
            "flags": (REWRITTEN,) if kept else (NOTHING_ABNORMAL, REWRITTEN),
        }
    )


def _read_numbers(numbered: Sequence[tuple[str, bool]]) -> list[int]:
    return [number for number, (_, is_read) in enumerate(numbered) if is_read]


def _find_absent(
    numbered: Sequence[tuple[str, bool]], kept: Sequence[int], rules: Rules
) -> list[int]:
    return [
        number
        for number in _read_numbers(numbered)
        if number not in kept and judge(numbered[number][0], rules).is_absence
    ]


def _join_numbered(numbered: Sequence[tuple[str, bool]], numbers: Sequence[int]) -> str:
    return join_sentences([numbered[number][0] for number in numbers])


def _log_progress(done: int, total: int, seconds: float) -> None:
    logger.info("%d of %d reports, %.1f a second", done, total, done / max(seconds, 1e-9))


def join_sentences(sentences: Sequence[str]) -> str:
    """Join sentences to a text, each with the full stop that keeps it apart."""
    # Headlines and dictated lines lack the full stop that keeps them apart once joined.
    bodies = (sentence.rstrip(" .,;:") for sentence in sentences)
    return " ".join(body if body.endswith(("?", "!")) else f"{body}." for body in bodies)


def _to_item(report: RawReport, made: Filtered | None, listed: set[str] | None) -> ReportItem:
    if made is not None:
        row = made.row
        return ReportItem(
            row.scan_id,
            "filtered",
            row.kept_sentences,
            made.sentence_count,
            row.flags,
            made.removed,
        )
    if listed is not None and report.scan_id not in listed:
        return ReportItem(report.scan_id, "unlisted")
    return _refused(
        report.scan_id,
        "the report has no text of findings or impression",
        "give its text, or take the scan off the table",
    )


def _refused(scan_id: str, what: str, mend: str) -> ReportItem:
    return ReportItem(scan_id, "refused", what=what, mend=mend)
