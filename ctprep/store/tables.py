"""The tables beside a store: scans, labels, reports as delivered, reports as filtered."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float
from pydantic import Field, ValidationError, field_validator

from ctprep.store.attributes import Attributes
from ctprep.store.cells import tell_cell
from ctprep.store.columns import (
    SCAN_ID_PATTERN,
    check_columns,
    check_faults,
    check_no_numbers,
    check_unique,
    patient_key,
    read_text_table,
    text_column,
    to_scan_ids,
    why_no_id,
)
from ctprep.store.disk import write_atomically
from ctprep.store.errors import TableError, located
from ctprep.store.label_cells import read_label_cells
from ctprep.store.outputs import check_suffix
from ctprep.store.table_bytes import encode_table

SPLITS = ("train", "tune", "test")
ID_COLUMNS = ("scan_id", "VolumeName", "AccessionNo", "NoteAcc_DEID")
"""Columns that name the scan: ours, CT-RATE's two, RAD-ChestCT's; others' become scan ids."""

NO_LABELS = frozenset(
    (
        *ID_COLUMNS,
        *("patient_id", "study_id", "split", "path", "format"),
        *("findings", "impression", "report_text"),
        *("ClinicalInformation_EN", "Technique_EN", "Findings_EN", "Impressions_EN"),
    )
)
"""Columns of the other tables, which a label table may have, too."""

NOT_GIVEN = "Not given."
"""What CT-RATE writes for an empty section."""

REPORT_SCHEMA = pa.schema(
    [
        ("scan_id", pa.string()),
        ("text_full", pa.string()),
        ("text_positive", pa.string()),
        ("text_negative", pa.string()),
        ("kept_sentences", pa.list_(pa.int32())),
        ("backend", pa.string()),
        ("model", pa.string()),
        ("prompt_hash", pa.string()),
        ("flags", pa.list_(pa.string())),
    ]
)


class ScanRow(Attributes):
    """One scan of a source: who it is of, what it is for, where it lies."""

    scan_id: str = Field(pattern=SCAN_ID_PATTERN)
    patient_id: str = Field(min_length=1)
    split: Literal["train", "tune", "test"]
    path: str | None = Field(default=None, min_length=1)
    """File or DICOM series folder, relative to the source folder, with forward slashes. Ingest
    needs it; scans that are in a store do without."""
    study_id: str | None = None
    format: str | None = None

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str | None) -> str | None:
        if path is None:
            return path
        posix, windows = PurePosixPath(path), PureWindowsPath(path)
        if posix.is_absolute() or windows.drive or windows.root or ".." in windows.parts:
            raise ValueError("leaves the source folder")
        return path


class ReportRow(Attributes):
    """One filtered report."""

    scan_id: str = Field(pattern=SCAN_ID_PATTERN)
    text_full: str
    text_positive: str = Field(min_length=1)
    """Sentences that tell of something abnormal; never empty."""
    text_negative: str
    """Sentences that tell of something absent."""
    kept_sentences: tuple[int, ...]
    """Indices, from 0, of the sentences of `text_full` in `text_positive`."""
    backend: str
    model: str
    prompt_hash: str
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class RawReport:
    """A report as delivered: either sections, or one text; absent parts are empty."""

    scan_id: str
    findings: str = ""
    impression: str = ""
    report_text: str = ""


@dataclass(frozen=True)
class LabelTable:
    """Labels of scans: 1 present, 0 absent, NaN missing."""

    scan_ids: tuple[str, ...]
    names: tuple[str, ...]
    values: Float[np.ndarray, "scan label"]


def read_scans(path: Path) -> list[ScanRow]:
    """Read a scan table.

    Raises:
        TableError: a column, a value or a scan id is wrong, or a patient is in two splits.
    """
    with located(path.name):
        table = read_text_table(path)
        required, optional = ("scan_id", "patient_id", "split"), ("path", "study_id", "format")
        check_columns(table.column_names, required=required, optional=optional)
        columns = {name: text_column(table, name) for name in table.column_names}
        check_no_numbers("scan_id", columns["scan_id"])
        rows: list[ScanRow] = []
        faults: list[str] = []
        for number in range(table.num_rows):
            cells = {name: column[number] for name, column in columns.items()}
            given = {name: cell for name, cell in cells.items() if cell or name in required}
            try:
                rows.append(ScanRow.model_validate(given))
            except ValidationError as error:
                faults += _row_faults(number, error)
        check_faults(
            faults,
            mend="scan ids are [a-z0-9._-], splits train, tune or test, paths relative to the "
            "source folder",
        )
        _check_scans(rows)
    return rows


def _row_faults(number: int, error: ValidationError) -> list[str]:
    # Line numbers as an editor shows them, where no cell holds a line break: the header is 1.
    return [
        f"line {number + 2}: {_cell_fault(str(fault['loc'][0]), str(fault['input']), fault['msg'])}"
        for fault in error.errors()
    ]


def _cell_fault(column: str, cell: str, message: str) -> str:
    if column == "scan_id" and cell:
        return f"scan_id: {why_no_id(cell)}"
    # A cell that slipped into a wrong column may be a name.
    shown = f" holds {tell_cell(cell, _OTHER_SPLITS)}" if column == "split" and cell else ""
    return f"{column}{shown}: {message.removeprefix('Value error, ')}"


_OTHER_SPLITS = ("val", "valid", "validation", "dev", "training", "testing", "eval")
"""What others call the sides."""


def _check_scans(rows: Sequence[ScanRow]) -> None:
    check_unique([row.scan_id for row in rows])
    first_of: dict[str, ScanRow] = {}
    scan_at: dict[str, str] = {}
    faults: list[str] = []
    for row in rows:
        first = first_of.setdefault(patient_key(row.patient_id), row)
        if first.split != row.split:
            faults.append(_straddles(first, row))
        if row.path is not None and scan_at.setdefault(row.path, row.scan_id) != row.scan_id:
            faults.append(f"scans {scan_at[row.path]!r} and {row.scan_id!r} have the same path")
    check_faults(faults, mend="split by patient, and give each scan its own file or folder")


def _straddles(first: ScanRow, row: ScanRow) -> str:
    told = f"the patient of scan {row.scan_id!r} is in {first.split!r} and in {row.split!r}"
    if first.patient_id != row.patient_id:
        told += f", spelled in another way at scan {first.scan_id!r}"
    return told


def write_scans(path: Path, rows: Iterable[ScanRow]) -> None:
    """Write a scan table, whole or not at all.

    Raises:
        TableError: a scan id or path is repeated, a patient is in two splits, or the file is called
            neither `.csv` nor `.parquet`.
    """
    rows = list(rows)
    with located(path.name):
        _check_scans(rows)
    names = ("scan_id", "patient_id", "split", "path", "study_id", "format")
    columns = [pa.array([getattr(row, name) for row in rows], pa.string()) for name in names]
    write_atomically(path, encode_table(path, pa.Table.from_arrays(columns, names)))


def read_labels(path: Path) -> LabelTable:
    """Read a label table: a column that names the scan, then a column a label.

    Args:
        path: CSV or Parquet; cells are 0, 1 or empty, or false, true and NaN. CT-RATE's
            `VolumeName`, RAD-ChestCT's `NoteAcc_DEID` and a nameless first column are taken as the
            scan's name; columns of scan and report tables (`NO_LABELS`) are left out, and those of
            one abnormality in several places (`nodule*left_upper`) are one label.

    Raises:
        TableError: no column names the scan, a cell is something else, or a scan is repeated.
    """
    with located(path.name):
        table = read_text_table(path)
        id_column, scan_ids = scan_id_column(table, nameless=True)
        names, values = read_label_cells(table, scan_ids, {id_column, *NO_LABELS})
    return LabelTable(scan_ids, names, values)


def write_labels(path: Path, labels: LabelTable) -> None:
    """Write a label table, whole or not at all."""
    write_atomically(path, encode_labels(path, labels))


def encode_labels(path: Path, labels: LabelTable) -> bytes:
    """Give the content of a label table.

    Args:
        path: where it will be; its suffix, `.csv` or `.parquet`, says the format.
        labels: of the table.

    Raises:
        TableError: a scan is repeated, or the suffix is another one.
    """
    with located(path.name):
        check_unique(labels.scan_ids)
    # A missing label is an empty cell.
    cells = np.ma.masked_invalid(labels.values)
    columns = [
        pa.array(column.filled(0).astype(np.int8), mask=np.ma.getmaskarray(column))
        for column in cells.T
    ]
    scan_ids = pa.array(labels.scan_ids, pa.string())
    table = pa.Table.from_arrays([scan_ids, *columns], ["scan_id", *labels.names])
    return encode_table(path, table)


def read_raw_reports(path: Path) -> list[RawReport]:
    """Read reports as delivered, from CSV or Parquet; other columns are ignored.

    Args:
        path: a table with `scan_id`, `VolumeName` or `AccessionNo`, and either `report_text`, or
            `findings` and `impression` (`Findings_EN`, `Impressions_EN`). Where both are there,
            `report_text` counts where the sections are empty.

    Raises:
        TableError: no column names the scan, none holds a report, or a scan is repeated.
    """
    with located(path.name):
        table = read_text_table(path)
        _, scan_ids = scan_id_column(table)
        names = _report_columns(table.column_names)
        check_columns(
            table.column_names,
            required=names,
            extra_allowed=True,
            mend=_mend_reports(table.column_names),
        )
        cells = [[_given(cell) for cell in text_column(table, name)] for name in names]
        whole = [""] * table.num_rows
        if len(names) == 1:
            whole, cells = cells[0], [whole, whole]
        elif WHOLE in table.column_names:
            # Beside sections it is read where they are empty.
            texts = zip(map(_given, text_column(table, WHOLE)), *cells, strict=True)
            whole = ["" if findings or impression else text for text, findings, impression in texts]
    return [
        RawReport(scan_id, findings=findings, impression=impression, report_text=text)
        for scan_id, findings, impression, text in zip(scan_ids, *cells, whole, strict=True)
    ]


def _report_columns(found: Sequence[str]) -> tuple[str, ...]:
    for fits in (all, any):
        for names in _REPORT_COLUMNS:
            if fits(name in found for name in names):
                return names
    return _REPORT_COLUMNS[0]


def _mend_reports(found: Sequence[str]) -> str:
    if set(REPORT_SCHEMA.names) <= set(found):
        return "give the reports themselves: this table was made by `ctprep filter-reports`"
    return (
        "call a column of whole reports, or the only one there is, report_text; parts that stand "
        f"apart, {' and '.join(_REPORT_COLUMNS[0])}"
    )


WHOLE = "report_text"
_REPORT_COLUMNS = (
    ("findings", "impression"),
    ("Findings_EN", "Impressions_EN"),
    (WHOLE,),
)


def _given(cell: str) -> str:
    return "" if cell == NOT_GIVEN else cell


def read_reports(path: Path) -> pa.Table:
    """Read a table of filtered reports, with the columns of `REPORT_SCHEMA`.

    Raises:
        TableError: a column is missing, unknown or of another type, or a scan is repeated.
    """
    with located(path.name):
        table = read_text_table(path)
        check_columns(
            table.column_names,
            required=REPORT_SCHEMA.names,
            mend="make the table with `ctprep filter-reports`",
        )
        table = table.select(REPORT_SCHEMA.names)
        faults = [
            f"column {field.name!r} is {table.schema.field(field.name).type}, not {field.type}"
            for field in REPORT_SCHEMA
            if not _same_type(table.schema.field(field.name).type, field.type)
        ]
        check_faults(faults, mend="make the table with `ctprep filter-reports`")
        table = table.cast(REPORT_SCHEMA)
        holes = [name for name in table.column_names if table.column(name).null_count]
        check_faults(
            [f"column {name!r} has empty cells" for name in holes],
            mend="make the table with `ctprep filter-reports`",
        )
        check_unique(text_column(table, "scan_id"))
    return table


def _same_type(found: pa.DataType, expected: pa.DataType) -> bool:
    # Writers name the item of a list differently, and may choose large strings.
    if pa.types.is_list(expected):
        return pa.types.is_list(found) and _same_type(found.value_type, expected.value_type)
    return bool(found == expected or (expected == pa.string() and found == pa.large_string()))


def check_report_table_name(path: Path) -> None:
    """Refuse a name of a table of filtered reports that does not say how it is written.

    Raises:
        TableError: it does not end in `.parquet`: cells are lists, which CSV has not.
    """
    check_suffix(path, (".parquet",), "filtered reports are")


def write_reports(path: Path, rows: Iterable[ReportRow]) -> None:
    """Write a table of filtered reports as Parquet, whole or not at all.

    Raises:
        TableError: a scan is repeated, or the file is not called `.parquet`.
    """
    check_report_table_name(path)
    records = [row.model_dump() for row in rows]
    with located(path.name):
        check_unique([record["scan_id"] for record in records])
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records, REPORT_SCHEMA), buffer, compression="zstd")
    write_atomically(path, buffer.getvalue())


def scan_id_column(table: pa.Table, *, nameless: bool = False) -> tuple[str, tuple[str, ...]]:
    """Find the column that names the scan, and the scan ids in it.

    Args:
        table: with one of `ID_COLUMNS`.
        nameless: take a column without a name, too.

    Raises:
        TableError: there is none, or its cells are no ids (`to_scan_ids`).
    """
    candidates = (*ID_COLUMNS, "") if nameless else ID_COLUMNS
    name = next((name for name in candidates if name in table.column_names), None)
    if name is None:
        lower = {column.lower() for column in table.column_names}
        meant = next((name for name in ID_COLUMNS if name.lower() in lower), ID_COLUMNS[0])
        check_columns(
            table.column_names,
            required=(meant,),
            extra_allowed=True,
            mend=f"name the scan in a column called {' or '.join(ID_COLUMNS)}",
        )
        raise TableError("no column names the scan", mend=f"add one of {', '.join(ID_COLUMNS)}")
    return name, to_scan_ids(name, text_column(table, name))
