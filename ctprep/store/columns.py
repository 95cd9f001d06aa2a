"""Reading tables strictly: text columns from CSV or Parquet, and what is wrong with their names."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from ctprep.store.errors import TableError

SCAN_ID_PATTERN = r"^[a-z0-9_-][a-z0-9._-]{0,127}$"
FAULTS_SHOWN = 8
MOST_TABLE_BYTES = 4 << 30
"""Of a table in memory; the reports of a million scans take less."""
PACKED_SUFFIXES = (".gz", ".bz2", ".lz4", ".zst")
"""What Arrow unpacks by the file's name."""
ROWS_A_BATCH = 1024
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
    slug = re.sub(r"[^a-z0-9._-]+", "-", _VOLUME_SUFFIX.sub("", name.strip()).lower())
    if not re.fullmatch(SCAN_ID_PATTERN, slug):
        raise TableError(
            f"{name!r} gives no scan id",
            mend="name the scan with letters, digits, '.', '_' or '-', at most 128 of them",
        )
    return slug


def read_text_table(path: Path) -> pa.Table:
    """Read a CSV table as text; Parquet columns keep their types.

    Args:
        path: `.csv` or `.parquet`; quoted cells may hold line breaks.

    Raises:
        TableError: the file is absent, not a table, or repeats a column.
    """
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
    parse = pa_csv.ParseOptions(newlines_in_values=True)
    # One block for the whole file: a quoted report longer than a block would be an error.
    try:
        size = _unpacked_size(path)
        read = pa_csv.ReadOptions(block_size=max(1, min(size + 1, 2**31 - 2)))
        with pa_csv.open_csv(path, read_options=read, parse_options=parse) as head:
            names = head.schema.names
        convert = pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        )
        return pa_csv.read_csv(
            path, read_options=read, parse_options=parse, convert_options=convert
        )
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise TableError(
            f"not a CSV table in UTF-8: {_reason(error)}",
            mend="save it as comma-separated UTF-8 with a header line",
            where=path.name,
        ) from None  # the cause quotes the row


def _unpacked_size(path: Path) -> int:
    if path.suffix.lower() not in PACKED_SUFFIXES:
        return path.stat().st_size
    size = 0
    with pa.input_stream(str(path)) as stream:
        while chunk := stream.read(1 << 20):
            size += len(chunk)
            _check_size(path, size)
    return size


def _reason(error: BaseException) -> str:
    # Arrow quotes the offending row, which may hold report text: take only known phrases.
    known = re.search(
        r"Expected \d+ columns, got \d+|Empty CSV file|invalid UTF-?8 data|'utf-8' codec",
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
    if not extra_allowed:
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
