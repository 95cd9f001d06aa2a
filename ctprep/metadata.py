"""Metadata tables of data sets: rescale, spacing and facts of every volume that they list."""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ctprep.sources.acquisition import KEPT_NUMBERS, KEPT_TEXT, allowed, allowed_number
from ctprep.store.cells import tell_cell
from ctprep.store.columns import (
    check_faults,
    check_unique,
    read_text_table,
    text_column,
    to_scan_id,
)
from ctprep.store.errors import TableError, located
from ctprep.store.manifest import MANIFESTS, DatasetManifest, read_manifest

MAX_SPACING_MM = 100
OTHER_TABLES = ("reports", "labels", "scans")
EMPTY = ("", "nan", "none")
SUCCESS = "success"
FAILURES = re.compile(
    r"(too|few|many|slices?|not|found|converted|conversion|failed|failure|error|missing|excluded"
    r"|skipped|corrupt(ed)?|incomplete|download|timeout|[\s_-])+",
    re.IGNORECASE,
)
"""Words of a status that are told; another may be anything."""
SHOWN = 30

Spacing = tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class MetadataRow:
    """What a table says of one volume.

    Args:
        path: its file, as the table names it.
        scan_id: what it is called in the store.
        slope: HU per stored value; None where empty.
        intercept: HU of the stored value 0; None where empty.
        spacing_mm: between slices, rows and columns; None where empty.
        facts: of the acquisition, from the allow-list.
        failed: what became of it when the data set was made, where that is no success.
    """

    path: str
    scan_id: str
    slope: float | None = None
    intercept: float | None = None
    spacing_mm: Spacing = (None, None, None)
    facts: tuple[tuple[str, str | float], ...] = ()
    failed: str = ""

    @property
    def has_rescale(self) -> bool:
        """Whether both slope and intercept are told."""
        return self.slope is not None and self.intercept is not None

    @property
    def parameters(self) -> dict[str, str | float]:
        """What of the row determines a stored volume; an equal row gives equal ones."""
        told: dict[str, str | float | None] = {
            "table_slope": self.slope,
            "table_intercept": self.intercept,
        }
        if any(self.spacing_mm):
            told["table_spacing_mm"] = " ".join(f"{mm or 0:.9g}" for mm in self.spacing_mm)
        if self.facts:
            text = json.dumps(self.facts)
            told["table_facts"] = hashlib.sha256(text.encode()).hexdigest()[:16]
        return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True)
class MetadataTable:
    """A metadata table, and the data set that it is of.

    Args:
        manifest: of the data set.
        rows: by the scan id of the file's name.
    """

    manifest: DatasetManifest
    rows: Mapping[str, MetadataRow]


def read_metadata(path: Path, manifest: DatasetManifest | None = None) -> MetadataTable:
    """Read the metadata table of a data set.

    Args:
        path: CSV or Parquet. CT-RATE's has `VolumeName`, `RescaleSlope`, `RescaleIntercept`,
            `XYSpacing` and `ZSpacing`; RAD-ChestCT's `Accession`, and `status` and
            `full_filename_npz` where it tells them. Empty cells are unknown.
        manifest: of the data set; None recognises it by the columns.

    Returns:
        A row a volume.

    Raises:
        TableError: the columns are of no metadata table of the data set, a volume is listed
            twice, or cells are no numbers; each is told with its line.
    """
    with located(path.name):
        table = read_text_table(path)
        if manifest is None:
            manifest = _recognise(table.column_names)
        key = _key_of(table.column_names, manifest)
        if key is None:
            expected = "; ".join(", ".join(columns) for _, columns in _layouts(manifest))
            raise TableError(
                f"the columns are of no metadata table of {manifest.title}",
                mend=f"it has the columns {expected or 'of none: leave --metadata out'}",
            )
        rows = _rows(table, key)
    return MetadataTable(manifest, rows)


def _recognise(columns: list[str]) -> DatasetManifest:
    manifests = [read_manifest(path) for path in sorted(MANIFESTS.glob("*.toml"))]
    fitting = [manifest for manifest in manifests if _key_of(columns, manifest) is not None]
    if len(fitting) == 1:
        return fitting[0]
    told = [f"{m.name} ({', '.join(_layouts(m)[0][1])})" for m in manifests if _layouts(m)]
    raise TableError(
        "no data set is known by the columns of this table",
        mend=f"name it with --dataset; those with such a table are {'; '.join(told)}",
    )


def _layouts(manifest: DatasetManifest) -> list[tuple[str, tuple[str, ...]]]:
    """Key and all columns of each table that may tell of the volumes."""
    return [
        (described.key, (described.key, *described.columns))
        for name, described in manifest.tables.items()
        if name not in OTHER_TABLES
    ]


def _key_of(columns: list[str], manifest: DatasetManifest) -> str | None:
    fitting = [key for key, layout in _layouts(manifest) if set(layout) <= set(columns)]
    return fitting[0] if fitting else None


def _rows(table: pa.Table, key: str) -> dict[str, MetadataRow]:
    wanted = (
        *(key, "RescaleSlope", "RescaleIntercept", "XYSpacing", "ZSpacing"),
        *("status", "full_filename_npz", *KEPT_TEXT, *KEPT_NUMBERS),
    )
    # Age, sex and dates are in these tables too; they are not even looked at.
    columns = {name: text_column(table, name) for name in wanted if name in table.column_names}
    rows: list[tuple[str, MetadataRow]] = []
    faults: list[str] = []
    for number in range(table.num_rows):
        cells = _Cells({name: column[number] for name, column in columns.items()})
        try:
            rows.append(_row(cells, key))
        except TableError as error:
            # Lines as an editor shows them, where no cell holds a line break: the header is 1.
            faults.append(f"line {number + 2}: {error.what}")
    check_faults(faults, mend="correct these cells; an empty one says that it is unknown")
    check_unique([row.scan_id for _, row in rows])
    repeated = [name for name, count in Counter(name for name, _ in rows).items() if count > 1]
    check_faults([f"file {name!r} is listed twice" for name in repeated], mend="keep one row each")
    return dict(rows)


def _row(cells: "_Cells", key: str) -> tuple[str, MetadataRow]:
    name = cells.text(key)
    scan_id = to_scan_id(name)
    status = cells.text("status")
    file_name = cells.text("full_filename_npz") or name
    row_mm, column_mm = cells.pair_mm("XYSpacing")
    slope = cells.number("RescaleSlope")
    if slope == 0:
        raise TableError("RescaleSlope is 0", mend="")
    row = MetadataRow(
        path=file_name,
        scan_id=scan_id,
        slope=slope,
        intercept=cells.number("RescaleIntercept"),
        spacing_mm=(cells.spacing_mm("ZSpacing"), row_mm, column_mm),
        facts=cells.facts(),
        failed="" if status.lower() in ("", SUCCESS) else _failure(status),
    )
    return to_scan_id(file_name), row


def _failure(status: str) -> str:
    return status if len(status) <= SHOWN and FAILURES.fullmatch(status) else "no success"


@dataclass(frozen=True)
class _Cells:
    """One row's cells, by column; an absent column is empty everywhere."""

    by_column: dict[str, str]

    def text(self, column: str) -> str:
        cell = self.by_column.get(column, "")
        return "" if cell.lower() in EMPTY else cell

    def number(self, column: str) -> float | None:
        text = self.text(column)
        return _finite(text, column) if text else None

    def spacing_mm(self, column: str) -> float | None:
        text = self.text(column)
        return _spacing(text, column) if text else None

    def pair_mm(self, column: str) -> tuple[float | None, float | None]:
        """Spacing between rows, then between columns, from a cell such as `[0.68, 0.68]`.

        Source:
            DICOM PS3.3 10.7.1.3: Pixel Spacing gives the rows first.
        """
        text = self.text(column)
        if not text:
            return None, None
        inside = re.fullmatch(r"[\[(]([^,]+),([^,]+)[\])]", text)
        if inside is None:
            raise TableError(f"{column} holds {tell_cell(text)}, and not [mm, mm]", mend="")
        return _spacing(inside[1], column), _spacing(inside[2], column)

    def facts(self) -> tuple[tuple[str, str | float], ...]:
        found: list[tuple[str, str | float]] = []
        for column in KEPT_TEXT:
            text = allowed(column, self.text(column))
            if text is not None:
                found.append((column, text))
        for column in KEPT_NUMBERS:
            try:
                told = self.number(column)
            except TableError:
                continue  # informative only: a broken one spoils no row
            number = None if told is None else allowed_number(column, told)
            if number is not None:
                found.append((column, number))
        return tuple(found)


def _spacing(text: str, column: str) -> float:
    spacing_mm = _finite(text, column)
    if not 0 < spacing_mm <= MAX_SPACING_MM:
        raise TableError(f"{column} holds {tell_cell(text.strip())}: no spacing in mm", mend="")
    return spacing_mm


def _finite(text: str, column: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise TableError(f"{column} holds {tell_cell(text.strip())}: no number", mend="")
    return number
