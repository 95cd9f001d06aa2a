"""Raw reports -> label table: which of the 18 CT-RATE labels each report asserts."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ctprep.reports.filter import join_text
from ctprep.reports.labels.labeller import Judgement, Labeller
from ctprep.reports.labels.probabilities import encode_probabilities
from ctprep.reports.labels.rules_labeller import RulesLabeller
from ctprep.reports.studies import check_studies_told, find_studies, name_study
from ctprep.store.columns import check_faults
from ctprep.store.disk import write_together
from ctprep.store.errors import TableError, located
from ctprep.store.find_rows import find_doubtful
from ctprep.store.labels import CT_RATE_LABELS
from ctprep.store.manifest import load_manifest
from ctprep.store.outputs import check_outputs
from ctprep.store.table_bytes import check_table_name
from ctprep.store.tables import (
    LabelTable,
    RawReport,
    encode_labels,
    read_raw_reports,
)

Level = Literal["reconstruction", "scan"]
Judged = tuple[int, Judgement | None]
Watch = Callable[[Iterator[Judged], int], Iterable[Judged]]


@dataclass(frozen=True)
class LabelItem:
    """What became of one report, scan or reconstruction."""

    scan_id: str
    status: Literal["labelled", "refused", "unlisted"]
    """`unlisted`: a report of no scan in the scan table."""
    present: tuple[str, ...] = ()
    """Columns that are 1."""
    is_cut: bool = False
    """The end of its report was not read."""
    what: str | None = None
    mend: str | None = None


@dataclass(frozen=True)
class _Row:
    scan_id: str
    values: tuple[float, ...] | None
    """None where the report has no text of findings or impression."""
    probabilities: tuple[float, ...] = ()
    is_cut: bool = False


def label_reports(
    in_path: Path,
    out_path: Path,
    *,
    labeller: Labeller | None = None,
    dataset: str | None = None,
    scan_table: Path | None = None,
    level: Level = "reconstruction",
    probabilities: Path | None = None,
    watch: Watch = lambda judged, _: judged,
) -> Iterator[LabelItem]:
    """Label a table of reports, for the labels of CT-RATE or of a data set.

    The output is written when the last item has been taken: all of it, or nothing.

    Args:
        in_path: raw reports, CSV or Parquet, as `read_raw_reports` takes them.
        out_path: CSV or Parquet to write, as `read_labels` takes it.
        labeller: who tells the labels; the English rules where left out.
        dataset: take the columns, and their names, of this data set (`data_manifests/`); the 18
            of CT-RATE where left out.
        scan_table: write a row for each of its scans; one without a report of its own gets that
            of its study.
        level: `scan` writes a row a study instead, by its study id in the form of a scan id. The
            scan table tells the studies, else the names of the data set.
        probabilities: CSV or Parquet to write beside it, for a labeller that gives them.
        watch: passes on what the labeller yields, to show how far it is of so many reports.

    Yields:
        One item a row of the output or refusal, then one an unlisted report; all of them behind
        the labeller's work.

    Raises:
        TableError: a table is wrong, the data set is unknown, a scan table is needed, no report
            was left to write, or an output is not to be written (`check_paths`).
        PlaceError: likewise.
    """
    labeller = labeller or RulesLabeller()
    columns = _columns(dataset, labeller)
    if level == "scan":
        check_studies_told(scan_table, dataset)
    check_paths(in_path, out_path, scan_table=scan_table, probabilities=probabilities)
    reports = read_raw_reports(in_path)
    # Before the work, which may take hours: a fault in it is told at once.
    studies = None
    if scan_table is not None or level == "scan":
        reported = [report.scan_id for report in reports]
        with located(in_path.name):
            studies = find_studies(reported, scan_table=scan_table, dataset=dataset)
            if level == "scan":
                _check_names(studies)
    rows = _judge(reports, labeller, columns, watch)
    unlisted: list[str] = []
    refusals: list[LabelItem] = []
    if studies is not None:
        rows, refusals, unlisted = _by_scan(rows, studies, level)
    names = tuple(columns)
    written = [row for row in rows if row.values is not None]
    for row in rows:
        yield _to_item(row, names)
    yield from refusals
    yield from (LabelItem(scan_id, "unlisted") for scan_id in unlisted)
    if not written:
        raise TableError(
            "no report was left to write",
            mend="check that the scan ids of both tables agree, and that there is report text",
            where=in_path.name,
        )
    ids = tuple(row.scan_id for row in written)
    values = np.array([row.values for row in written], np.float64)
    files = {out_path: encode_labels(out_path, LabelTable(ids, names, values))}
    if probabilities is not None:
        told = [(row.scan_id, row.is_cut, row.probabilities) for row in written]
        files[probabilities] = encode_probabilities(probabilities, names, told)
    write_together(files)


def check_paths(
    in_path: Path,
    out_path: Path,
    *,
    scan_table: Path | None = None,
    probabilities: Path | None = None,
) -> None:
    """Refuse outputs of `label_reports` that could not be written, before a model is loaded.

    Raises:
        TableError: an output is an input or the other one, or its suffix is not that of a table.
        PlaceError: one cannot be written.
    """
    outs = [out for out in (out_path, probabilities) if out is not None]
    check_outputs(*outs, inputs=(in_path, scan_table))
    for out in outs:
        check_table_name(out)


def _columns(dataset: str | None, labeller: Labeller) -> dict[str, str]:
    """CT-RATE name of each column."""
    if dataset is None:
        columns = {name: name for name in CT_RATE_LABELS}
    else:
        manifest = load_manifest(dataset)
        columns = {label.name: label.ct_lite_name for label in manifest.labels}
    unknown = sorted(set(columns.values()) - set(labeller.labels))
    if unknown:
        raise TableError(
            f"the word lists {labeller.model} do not know the label {unknown[0]!r}",
            mend="add it to their file (docs/reports.md)",
        )
    return columns


def _judge(
    reports: Sequence[RawReport], labeller: Labeller, columns: Mapping[str, str], watch: Watch
) -> list[_Row]:
    rows = [_Row(report.scan_id, None) for report in reports]
    texts = [join_text(report) for report in reports]
    for place, judgement in watch(labeller.judge(texts), len(texts)):
        if judgement is not None:
            rows[place] = _Row(
                rows[place].scan_id,
                tuple(float(judgement.values[name]) for name in columns.values()),
                tuple(
                    judgement.probabilities[name]
                    for name in columns.values()
                    if judgement.probabilities
                ),
                judgement.is_cut,
            )
    return rows


def _by_scan(
    rows: Sequence[_Row], studies: Mapping[str, str | None], level: Level
) -> tuple[list[_Row], list[LabelItem], list[str]]:
    """Rows of the scans or studies of a table, those refused, and reports of neither."""
    own = {row.scan_id: row for row in rows}
    of_study = _reports_of_studies(own, studies)
    made: dict[str, _Row] = {}
    refusals: dict[str, LabelItem] = {}
    for scan_id, study in studies.items():
        name = name_study(scan_id, study) if level == "scan" else scan_id
        if study is None:
            candidates = [own[scan_id]] if scan_id in own else []
        else:
            candidates = of_study[study]
        # An empty report says as little as none.
        candidates = [row for row in candidates if row.values is not None] or candidates
        if level == "reconstruction" and scan_id in own and own[scan_id].values is not None:
            candidates = [own[scan_id]]
        told = {str(row.values) for row in candidates}
        if len(told) == 1:
            made[name] = replace(candidates[0], scan_id=name)
        else:
            refusals[name] = _refused(name, is_absent=not told)
    known = {*studies, *(name_study(*item) for item in studies.items())}
    return list(made.values()), list(refusals.values()), sorted(own.keys() - known)


def _reports_of_studies(
    own: Mapping[str, _Row], studies: Mapping[str, str | None]
) -> dict[str, list[_Row]]:
    """What is told of each study: by its scans, and under its own name."""
    doubtful = find_doubtful(studies)
    of_study: dict[str, dict[str, _Row]] = {}
    for scan_id, study in studies.items():
        if study is None:
            continue
        found = of_study.setdefault(study, {})
        key = name_study(scan_id, study)
        # What may as well be of another scan says nothing of the study.
        names = (scan_id,) if key in doubtful else (scan_id, key)
        found |= {name: own[name] for name in names if name in own}
    return {study: list(found.values()) for study, found in of_study.items()}


def _check_names(studies: Mapping[str, str | None]) -> None:
    """Refuse to write rows of studies that would be read as those of other scans."""
    check_faults(
        [
            f"a row of the study {key!r} would be read as another's: {why}"
            for key, why in find_doubtful(studies).items()
        ],
        mend="give the study another study_id, or leave out --level scan",
    )


def _refused(scan_id: str, *, is_absent: bool) -> LabelItem:
    if is_absent:
        what, mend = "the scan has no report", "add one, or take it off the scan table"
    else:
        what, mend = "the reports of its study differ in their labels", "give the study one report"
    return LabelItem(scan_id, "refused", what=what, mend=mend)


def _to_item(row: _Row, names: Sequence[str]) -> LabelItem:
    if row.values is None:
        return LabelItem(
            row.scan_id,
            "refused",
            what="the report has no text of findings or impression",
            mend="give its text, or take the scan off the table",
        )
    present = tuple(name for name, value in zip(names, row.values, strict=True) if value == 1)
    return LabelItem(row.scan_id, "labelled", present, row.is_cut)
