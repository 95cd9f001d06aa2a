"""Cataloging: the catalog made from the volumes, also of a store that others write to."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import pyarrow as pa

from ctprep.store.attributes import VolumeAttributes
from ctprep.store.catalog import Row, encode_catalog, row_of
from ctprep.store.errors import StoreError
from ctprep.store.layout import CATALOG, is_scan_id
from ctprep.store.listing import Seen
from ctprep.store.place import Place

ROUNDS = 8
"""How often the catalog is mended for what others write meanwhile; they write it after us."""

ReadEach = Callable[[Sequence[str]], Iterable[tuple[str, VolumeAttributes | StoreError]]]
"""Gives the attributes of some volumes, or what is wrong with them."""


@dataclass(frozen=True)
class Catalog:
    """The catalog of a store as its volumes are, and those that it cannot list."""

    table: pa.Table
    encoded: bytes
    """Its Parquet file."""
    faults: tuple[StoreError, ...]
    """A fault a volume that is left out, each with its scan id as `where`."""


def make_catalog(place: Place, read_each: ReadEach) -> Catalog:
    """Make the catalog of the volumes that are there.

    Args:
        place: where the store lives.
        read_each: reads the attributes of volumes.
    """
    there = _there(place)
    return _encoded(_rows(there, there, read_each))


def write_catalog(place: Place, read_each: ReadEach) -> tuple[StoreError, ...]:
    """Write the catalog whole or not at all, unless it is there as it should be.

    Having written, it looks whether a volume has come, gone or been replaced since its row was
    made, and then writes it once more. So of several runs into one store the last one to end leaves
    the catalog of what is there.

    Args:
        place: where the store lives.
        read_each: reads the attributes of volumes.

    Returns:
        What is wrong with volumes that are left out, each with its scan id as `where`.
    """
    seen: dict[str, Seen] = {}
    rows: dict[str, Row | StoreError] = {}
    catalog = None
    for _ in range(ROUNDS):
        there = _there(place)
        if catalog is not None and there == seen:
            break
        same = {
            scan_id: row for scan_id, row in rows.items() if seen[scan_id] == there.get(scan_id)
        }
        rows = same | _rows(there, there.keys() - same.keys(), read_each)
        seen, catalog = there, _encoded(rows)
        if not _replace(place, catalog.encoded):
            break
    return () if catalog is None else catalog.faults


def _there(place: Place) -> dict[str, Seen]:
    return {name: seen for name, seen in place.survey().items() if is_scan_id(name)}


def _rows(
    there: Mapping[str, Seen], scan_ids: Iterable[str], read_each: ReadEach
) -> dict[str, Row | StoreError]:
    rows: dict[str, Row | StoreError] = {}
    for scan_id, attributes in read_each(sorted(scan_ids)):
        nbytes = there[scan_id].nbytes
        if isinstance(attributes, StoreError):
            rows[scan_id] = attributes
        elif nbytes is None:
            rows[scan_id] = _fault(scan_id, "its shard is missing")
        elif attributes.scan_id != scan_id:
            rows[scan_id] = _fault(scan_id, f"it says that it is scan {attributes.scan_id!r}")
        else:
            rows[scan_id] = row_of(attributes, nbytes)
    return rows


def _encoded(rows: Mapping[str, Row | StoreError]) -> Catalog:
    listed = [rows[scan_id] for scan_id in sorted(rows)]
    table, encoded, misfits = encode_catalog(
        [row for row in listed if not isinstance(row, StoreError)]
    )
    faults = [row for row in listed if isinstance(row, StoreError)]
    faults += [_fault(scan_id, "its attributes do not fit the catalog") for scan_id in misfits]
    return Catalog(table, encoded, tuple(faults))


def _replace(place: Place, encoded: bytes) -> bool:
    """Write the file, unless it is there; tell whether it was written."""
    with suppress(FileNotFoundError):
        if place.read(CATALOG) == encoded:
            return False
    place.replace(CATALOG, encoded)
    return True


def _fault(scan_id: str, what: str) -> StoreError:
    return StoreError(what, mend="make it again", where=scan_id)
