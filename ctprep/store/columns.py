"""Reading tables strictly: text columns from CSV or Parquet, and what is wrong with their names."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from ctprep.store.cells import tell_odd
from ctprep.store.csv_bytes import (
    SAVE_AS_CSV,
    check_kind,
    check_quotes,
    check_utf8,
    find_delimiter,
    read_bytes,
)
from ctprep.store.errors import TableError, located

SCAN_ID_PATTERN = r"^[a-z0-9_-][a-z0-9._-]{0,127}$"
ID_LENGTH = 128
"""Characters of a scan id at most."""
FAULTS_SHOWN = 8
MOST_TABLE_BYTES = 4 << 30
"""Of a table in memory; the reports of a million scans take less."""
ROWS_A_BATCH = 1024
QUOTE_CELLS = "give every row the cells of the header; a cell that holds a comma stands in quotes"
_VOLUME_SUFFIX = re.compile(r"(\.nii\.gz|\.nii|\.npz|\.nrrd|\.mha)$", re.IGNORECASE)


def to_scan_id(name: str) -> str:
    """Turn a volume name of a data set into a scan id.

    Args:
        name: a file name such as `valid_53_a_1.nii.gz`, or an accession number.

    Returns:
        The name in lower case without its volume suffix, other characters as `-`.

    Raises:
        TableError: nothing usable is left.
    """
    slug = _slug(name)
    if not re.fullmatch(SCAN_ID_PATTERN, slug):
        raise TableError(
            f"a name of {len(name)} characters gives no scan id: {why_no_id(slug)}",
            mend="name the scan with letters, digits, '.', '_' or '-', at most 128 of them",
        )
    return slug


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", _VOLUME_SUFFIX.sub("", name.strip()).lower())


def why_no_id(name: str) -> str:
    """Tell what is wrong with a name without showing it: in a hospital it may be a person's."""
    if not name:
        return "nothing is left of it"
    if odd := tell_odd(name):
        return f"it holds {odd}"
    if name.startswith("."):
        return "it begins with a dot"
    if len(name) > ID_LENGTH:
        return f"it is longer than {ID_LENGTH}"
    return "it ends as a file does"


def to_scan_ids(column: str, cells: Sequence[str]) -> tuple[str, ...]:
    """Turn a column of names into scan ids, each of another scan.

    Args:
        column: its name.
        cells: of the column; those of our own, `scan_id`, must hold ids already, since mending
            them here would part them from the store's.

    Raises:
        TableError: names are empty, unusable, numbers that a spreadsheet made of them, or two
            give one scan id.
    """
    check_no_numbers(column, cells)
    scan_ids: list[str] = []
    faults: list[str] = []
    # Rows as a spreadsheet numbers them: the header is 1.
    for number, cell in enumerate(cells):
        try:
            scan_ids.append(to_scan_id(cell))
        except TableError as error:
            told = f"{column} is empty" if not cell else f"{column}: {error.what}"
            faults.append(f"row {number + 2}: {told}")
            continue
        if column == "scan_id" and cell != scan_ids[-1]:
            told = f"scan_id of {len(cell)} characters is not [a-z0-9._-]: {why_no_id(cell)}"
            faults.append(f"row {number + 2}: {told}")
    check_faults(
        faults,
        mend="write scan ids as the store has them"
        if column == "scan_id"
        else "name each scan with letters, digits, '.', '_' or '-', at most 128 of them",
    )
    rows: dict[str, dict[str, int]] = {}
    for number, (scan_id, cell) in enumerate(zip(scan_ids, cells, strict=True)):
        rows.setdefault(scan_id, {}).setdefault(cell, number + 2)
    check_faults(
        [
            f"rows {' and '.join(map(str, same.values()))} spell one scan id in several ways"
            for same in rows.values()
            if len(same) > 1
        ],
        mend="keep one row a scan; where they are two scans, rename one, as case and signs other "
        "than '.', '_' and '-' are of no account",
    )
    check_unique(scan_ids)
    return tuple(scan_ids)


def check_no_numbers(column: str, cells: Sequence[str]) -> None:
    """Refuse ids that a spreadsheet or pandas has turned into numbers.

    Raises:
        TableError: ids are `1.23457E+12`, whose digits are lost, or all are such as `12345.0`.
    """
    rounded = [cell for cell in cells if _ROUNDED.fullmatch(cell)]
    given = [cell for cell in cells if cell]
    is_float = bool(given) and all(map(_FLOAT.fullmatch, given))
    if rounded or is_float:
        # By its row, and not by itself: it may be a patient's.
        row = cells.index((rounded or given)[0]) + 2
        form = "1.2E+12" if rounded else "12.0"
        raise TableError(
            f"{column} holds numbers in place of names, in row {row} one like {form}: digits and "
            "leading zeros may be lost",
            mend="export it again as text (Excel: format the column as text; pandas: dtype=str)",
        )


_ROUNDED = re.compile(r"[0-9]([.,][0-9]+)?[eE]\+[0-9]+")
_FLOAT = re.compile(r"[0-9]+\.0")


def study_key(study_id: str) -> str:
    """Spell a study as the tables that name it do, whose rows have the form of scan ids."""
    try:
        return to_scan_id(study_id)
    except TableError:
        return study_id


def patient_key(patient_id: str) -> str:
    """Spell a patient without what programs change: case, leading zeros, the point of a float."""
    key = patient_id.casefold()
    number = re.fullmatch(r"0*([0-9]+)(\.0)?", key)
    return number[1] if number else key


def read_text_table(path: Path) -> pa.Table:
    """Read a CSV table as text; Parquet columns keep their types.

    Args:
        path: `.csv` or `.parquet`; quoted cells may hold line breaks.

    Raises:
        TableError: the file is absent, a folder, no table, or repeats a column.
    """
    if path.is_dir():
        raise TableError(
            "it is a folder, not a table", mend="name the file of the table", where=path.name
        )
    if not path.is_file():
        raise TableError("there is no such table", mend="check the path", where=path.name)
    table = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    repeated = [name for name, count in Counter(table.column_names).items() if count > 1]
    if repeated:
        raise TableError(
            f"column {repeated[0]!r} appears twice", mend="keep one of them", where=path.name
        )
    return table


def _read_parquet(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            rows, size = file.metadata.num_rows, 0
            _check_size(path, rows)
            batches = []
            # A page may unpack to thousands of times its size, so the sum is watched.
            for batch in map(_plain, file.iter_batches(ROWS_A_BATCH)):
                size += batch.nbytes
                _check_size(path, size)
                batches.append(batch)
            schema = batches[0].schema if batches else file.schema_arrow
            table = pa.Table.from_batches(batches, schema)
        # Text of a damaged file need not be UTF-8, nor need the names.
        table.validate(full=True)
        list(table.column_names)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise TableError(
            f"not a Parquet file: {_reason(error)}", mend="write it again", where=path.name
        ) from error
    return table


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    # A dictionary hides how much text its rows are.
    columns = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _check_size(path: Path, size: int) -> None:
    if size > MOST_TABLE_BYTES:
        raise TableError(
            f"the table is larger than {MOST_TABLE_BYTES >> 30} GiB",
            mend="split it, or leave columns out",
            where=path.name,
        )


def _read_csv(path: Path) -> pa.Table:
    with located(path.name):
        try:
            data = read_bytes(path, lambda size: _check_size(path, size))
        except OSError as error:
            raise TableError(
                "it cannot be read", mend="check that the file is whole and may be read"
            ) from error
        check_kind(data)
        delimiter = find_delimiter(data)
        check_quotes(data, delimiter)
        try:
            return _without_empty_end(_parse_csv(data, delimiter))
        except (pa.ArrowException, UnicodeDecodeError) as error:
            check_utf8(data)
            reason = _reason(error)
            raise TableError(
                f"not a CSV table in UTF-8: {reason}",
                mend=QUOTE_CELLS if "Expected" in reason else SAVE_AS_CSV,
            ) from None  # the cause quotes the row


def _parse_csv(data: bytes, delimiter: str) -> pa.Table:
    parse = pa_csv.ParseOptions(newlines_in_values=True, delimiter=delimiter)
    # One block for the whole file: a quoted report longer than a block would be an error.
    # Without threads an error tells the row.
    size = max(1, min(len(data) + 1, 2**31 - 2))
    read = pa_csv.ReadOptions(block_size=size, use_threads=False)
    buffer = _to_arrow(data)
    with pa_csv.open_csv(pa.BufferReader(buffer), read_options=read, parse_options=parse) as head:
        names = head.schema.names
    convert = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
    )
    table = pa_csv.read_csv(
        pa.BufferReader(buffer), read_options=read, parse_options=parse, convert_options=convert
    )
    return table.rename_columns([name.strip() for name in names])


def _to_arrow(data: bytes) -> pa.Buffer:
    """Copy bytes into memory of Arrow's own.

    A thread of Arrow lets go of the buffer some time after the table is read; where that means
    to let go of a Python object while the program ends, the process aborts with 134.
    """
    sink = pa.BufferOutputStream()
    sink.write(data)
    return sink.getvalue()


def _without_empty_end(table: pa.Table) -> pa.Table:
    """Leave out the rows of nothing that spreadsheets write behind the last."""
    rows = table.num_rows
    while rows and not any(column[rows - 1].as_py().strip() for column in table.columns):
        rows -= 1
    return table.slice(0, rows)


def _reason(error: BaseException) -> str:
    # Arrow quotes the offending row, which may hold report text: take only known phrases.
    known = re.search(
        r"(Row #\d+: )?Expected \d+ columns, got \d+|Empty CSV file",
        str(error),
        re.IGNORECASE,
    )
    return known.group() if known else "it cannot be parsed"


def text_column(table: pa.Table, name: str) -> list[str]:
    """Give a column as stripped strings; a missing cell is the empty string."""
    return ["" if cell is None else str(cell).strip() for cell in table.column(name).to_pylist()]


def check_columns(
    found: Sequence[str],
    *,
    required: Collection[str],
    optional: Collection[str] = (),
    extra_allowed: bool = False,
    mend: str | None = None,
) -> None:
    """Refuse a table whose column names are not the expected ones.

    Args:
        found: column names of the table.
        required: names that must be there.
        optional: names that may be there.
        extra_allowed: whether columns of other names are ignored.
        mend: what else to do than to rename or add columns.

    Raises:
        TableError: names each missing and unknown column, and the nearest expected name.
    """
    missing = [name for name in required if name not in found]
    known = [*required, *optional]
    unknown = [name for name in found if name not in known]
    faults = [f"column {name!r} is missing{_nearest(name, unknown, 'is it')}" for name in missing]
    if not extra_allowed and unknown == list(found):
        # Without a header the names are the cells of the first row.
        faults.append("the first row names none of the columns, and is no header")
    elif not extra_allowed:
        faults += [
            f"column {name!r} is unknown{_nearest(name, known, 'nearest expected name')}"
            for name in unknown
        ]
    renaming = f"the columns are {', '.join(known)}; rename or remove the others"
    if extra_allowed:
        renaming = f"add what is missing, or give the right table; it needs {', '.join(required)}"
    check_faults(faults, mend=mend or renaming)


def check_faults(faults: Sequence[str], *, mend: str) -> None:
    """Raise all faults of a table as one error, if there are any.

    Raises:
        TableError: `faults` is not empty; the first few are shown.
    """
    if not faults:
        return
    more = len(faults) - FAULTS_SHOWN
    shown = "; ".join(faults[:FAULTS_SHOWN]) + (f"; and {more} more" if more > 0 else "")
    raise TableError(shown, mend=mend)


def check_unique(scan_ids: Sequence[str]) -> None:
    """Refuse a table that names a scan twice.

    Raises:
        TableError: names the repeated scan ids.
    """
    repeated = [scan_id for scan_id, count in Counter(scan_ids).items() if count > 1]
    check_faults(
        [f"scan {scan_id!r} has more than one row" for scan_id in repeated],
        mend="keep one row a scan",
    )


def _nearest(name: str, candidates: Sequence[str], label: str) -> str:
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    close = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f" ({label} {by_lower[close[0]]!r}?)" if close else ""
