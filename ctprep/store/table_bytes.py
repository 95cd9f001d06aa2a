"""A table as the bytes of a file, in the format that the file's name says."""

import csv
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ctprep.store.outputs import check_suffix

TABLE_SUFFIXES = (".csv", ".parquet")


def check_table_name(path: Path) -> None:
    """Refuse a name of a table that does not say how it is written.

    Raises:
        TableError: it ends in neither `.csv` nor `.parquet`.
    """
    check_suffix(path, TABLE_SUFFIXES, "tables are")


def encode_table(path: Path, table: pa.Table) -> bytes:
    """Encode a table as CSV in UTF-8 or as Parquet.

    Args:
        path: of the file, which is not written; its suffix says the format.
        table: of text, whole numbers and floats; the latter have six decimals in CSV.

    Raises:
        TableError: the suffix is another one.
    """
    check_table_name(path)
    if path.suffix.lower() == ".parquet":
        packed = io.BytesIO()
        pq.write_table(table, packed, compression="zstd")
        return packed.getvalue()
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    columns = (map(_cell, column.to_pylist()) for column in table.columns)
    writer.writerows(zip(*columns, strict=True))
    return text.getvalue().encode("utf-8")


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6f}" if isinstance(value, float) else str(value)
