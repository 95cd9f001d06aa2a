"""Verify the catalog: row by row against the volumes, and byte by byte against a new one."""

from collections.abc import Iterator
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ctprep.store.cataloging import make_catalog
from ctprep.store.errors import PlaceError, StoreError
from ctprep.store.layout import CATALOG
from ctprep.store.place import Content
from ctprep.store.store import VolumeStore

CatalogVerdict = Literal["no-catalog", "catalog-damaged", "missing", "unlisted", "stale"]
Row = tuple[str | None, CatalogVerdict, str]
"""Scan id, verdict and what is wrong."""


def find_catalog_faults(store: VolumeStore) -> Iterator[Row]:
    """Compare the catalog with the volumes.

    Volumes without usable metadata are left out: they are faults of their own.

    Args:
        store: whose catalog it is.

    Yields:
        A row a volume that is `missing`, `unlisted` or `stale`, or one for the file.

    Raises:
        PlaceError: the bucket cannot be reached.
    """
    catalog = make_catalog(store.place, store.each_attributes)
    expected, encoded = catalog.table, catalog.encoded
    try:
        content = store.place.read(CATALOG)
        if content == encoded:
            return
        found = store.catalog()
        found.validate(full=True)
    except FileNotFoundError:
        yield None, "no-catalog", "the store has no catalog"
        return
    except PlaceError:
        raise
    except (StoreError, OSError, pa.ArrowException):
        yield None, "catalog-damaged", "the catalog is damaged"
        return
    rows = list(_row_faults(store, found, expected))
    yield from rows
    if not rows and not _same_rows(found, expected):
        yield None, "catalog-damaged", "the catalog's rows are repeated or in another order"
    elif not rows and found.equals(expected) and _same_writer(content, encoded):
        yield None, "catalog-damaged", "the catalog's file is not the one that was written"


def _row_faults(store: VolumeStore, found: pa.Table, expected: pa.Table) -> Iterator[Row]:
    listed = {row["scan_id"]: row for row in found.to_pylist()}
    there = {row["scan_id"]: row for row in expected.to_pylist()}
    for scan_id in sorted(listed.keys() | there.keys(), key=str):
        if scan_id not in there:
            # Or it is one without usable metadata.
            if scan_id is None or scan_id not in store:
                yield scan_id, "missing", "the catalog lists it, but the store does not have it"
        elif scan_id not in listed:
            yield scan_id, "unlisted", "the store has it, but the catalog does not list it"
        elif listed[scan_id] != there[scan_id]:
            columns = [
                name for name in there[scan_id] if listed[scan_id][name] != there[scan_id][name]
            ]
            what = f"the catalog has another {', '.join(columns)} than the volume"
            yield scan_id, "stale", what


def _same_rows(found: pa.Table, expected: pa.Table) -> bool:
    known = expected["scan_id"].combine_chunks()
    # Those of volumes that have no usable metadata are not judged.
    judged = found.filter(pc.is_in(found["scan_id"], value_set=known))
    return bool(judged.equals(expected))


def _same_writer(one: Content, other: bytes) -> bool:
    # Another pyarrow writes the same table in other bytes.
    writers = {pq.read_metadata(pa.BufferReader(content)).created_by for content in (one, other)}
    return len(writers) == 1
