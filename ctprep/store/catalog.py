"""The catalog: one row a volume, so that a reader can choose without opening any."""

import hashlib
import io

import pyarrow as pa
import pyarrow.parquet as pq

from ctprep.store.attributes import VolumeAttributes
from ctprep.store.errors import StoreError

CATALOG_MEND = "it is rebuilt at the end of `ctprep ingest` and `ctprep compress`: run that again"

CATALOG_SCHEMA = pa.schema(
    [
        ("scan_id", pa.string()),
        ("patient_id", pa.string()),
        ("source_format", pa.string()),
        ("source_sha256", pa.string()),
        ("original_shape", pa.list_(pa.int32())),
        ("original_spacing_mm", pa.list_(pa.float64())),
        ("original_axis_codes", pa.string()),
        ("hu_decision", pa.string()),
        ("kernel", pa.string()),
        ("manufacturer", pa.string()),
        ("kvp", pa.float64()),
        ("verdicts", pa.list_(pa.string())),
        ("mends", pa.list_(pa.string())),
        ("nbytes", pa.int64()),
        ("ratio", pa.float64()),
        ("psnr_db", pa.float64()),
        ("ssim", pa.float64()),
    ]
)


Row = dict[str, object]
"""A row of the catalog by its columns."""


def encode_catalog(rows: list[Row]) -> tuple[pa.Table, bytes, list[str]]:
    """Lay out the rows of a catalog.

    Args:
        rows: sorted by scan id.

    Returns:
        The table; the bytes of its Parquet file, which hold no time: equal rows give equal bytes;
        and the scan ids of rows that are left out, as they hold what no column takes.
    """
    misfits: list[str] = []
    table = _table(rows)
    if table is None:
        misfits = [str(row["scan_id"]) for row in rows if _table([row]) is None]
        table = _table([row for row in rows if row["scan_id"] not in misfits])
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return table, buffer.getvalue(), misfits


def _table(rows: list[Row]) -> pa.Table | None:
    try:
        return pa.Table.from_pylist(rows, CATALOG_SCHEMA)
    except (OverflowError, UnicodeEncodeError, pa.ArrowException):
        return None


def row_of(attributes: VolumeAttributes, nbytes: int) -> Row:
    """Give the row of a volume.

    Args:
        attributes: of the volume.
        nbytes: of its shard.
    """
    original, quality, facts = attributes.original, attributes.quality, attributes.acquisition
    return {
        "scan_id": attributes.scan_id,
        "patient_id": attributes.patient_id,
        "source_format": attributes.source_format,
        "source_sha256": source_digest(attributes.source_sha256),
        "original_shape": original.shape,
        "original_spacing_mm": original.spacing_mm,
        "original_axis_codes": original.axis_codes,
        "hu_decision": attributes.hu.decision,
        "kernel": _text(facts.get("ConvolutionKernel")),
        "manufacturer": _text(facts.get("Manufacturer")),
        "kvp": _number(facts.get("KVP")),
        "verdicts": attributes.verdicts,
        "mends": attributes.mends,
        "nbytes": nbytes,
        "ratio": None if quality is None else quality.ratio,
        "psnr_db": None if quality is None else quality.psnr_db,
        "ssim": None if quality is None else quality.ssim,
    }


def source_digest(sha256: tuple[str, ...]) -> str:
    """Give one SHA-256 for all source files: a single file's own, else that of their list."""
    if len(sha256) == 1:
        return sha256[0]
    return hashlib.sha256("\n".join(sha256).encode()).hexdigest()


def _text(value: str | float | None) -> str | None:
    return None if value is None else str(value)


def _number(value: str | float | None) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def read_catalog(content: bytes | memoryview) -> pa.Table:
    """Read a catalog.

    Args:
        content: of its file.

    Raises:
        StoreError: it is damaged, or has other columns.
    """
    try:
        table = pq.read_table(pa.BufferReader(content))
        table.validate(full=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise StoreError("the catalog is damaged", mend=CATALOG_MEND) from error
    if not table.schema.equals(CATALOG_SCHEMA):
        raise StoreError("the catalog has other columns", mend=CATALOG_MEND)
    return table
