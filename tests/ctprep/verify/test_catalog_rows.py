"""Verify compares the catalog with the volumes, row by row and byte by byte."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctprep.store.catalog import CATALOG_SCHEMA
from ctprep.verify.verify import verify_store
from tests.ctprep.verify.damage import flip, verdicts


def change_catalog(store: Path, change) -> None:
    """Write the rows of the catalog again, changed."""
    table = pq.read_table(store / "catalog.parquet")
    rows = table.to_pylist()
    pq.write_table(type(table).from_pylist(change(rows), CATALOG_SCHEMA), store / "catalog.parquet")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda rows: rows[1:], {"scan-0": "unlisted"}),
        (lambda rows: [*rows, rows[0] | {"scan_id": "scan-9"}], {"scan-9": "missing"}),
        (lambda rows: [rows[0] | {"kvp": 80.0}, *rows[1:]], {"scan-0": "stale"}),
        (lambda rows: [*rows, rows[0]], {None: "catalog-damaged"}),
        (lambda rows: rows[::-1], {None: "catalog-damaged"}),
    ],
)
def test_rows_of_the_catalog_are_compared(place, change, expected) -> None:
    """Lacking, additional, stale, repeated and out of order; repair settles all but a loss."""
    store = place / "hifi.zarr"
    change_catalog(store, change)

    assert verdicts(verify_store(store)) == expected
    left = [f for f in verify_store(store, repair=True) if not f.settled]
    assert [f.verdict for f in left] == [v for v in expected.values() if v == "missing"]
    assert verdicts(verify_store(store)) == {}


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(offset=st.integers(0, 10**6), mask=st.integers(1, 255))
def test_a_flipped_byte_of_the_catalog_never_hides_a_wrong_row(made, offset, mask) -> None:
    """It is found, unless the table that it holds is still the right one."""
    path = made / "hifi.zarr/catalog.parquet"
    whole = path.read_bytes()
    right = pq.read_table(path)
    try:
        flip(path, offset, mask)
        found = verdicts(verify_store(made / "hifi.zarr"))
        harmless = not found and pq.read_table(path).equals(right)
    finally:
        path.write_bytes(whole)

    assert found or harmless


def test_a_missing_catalog_is_found_and_rebuilt(place) -> None:
    """Byte for byte what it was."""
    catalog = place / "hifi.zarr/catalog.parquet"
    whole = catalog.read_bytes()
    catalog.unlink()

    assert verdicts(verify_store(place / "hifi.zarr")) == {None: "no-catalog"}
    assert all(finding.settled for finding in verify_store(place / "hifi.zarr", repair=True))
    assert catalog.read_bytes() == whole


def test_a_volume_without_checksums_hides_no_stale_row(place) -> None:
    """Nothing else is known to be wrong with it, and a repair settles the row."""
    path = place / "hifi.zarr/scan-0/zarr.json"
    document = json.loads(path.read_bytes())
    del document["attributes"]["ctprep_crc32c"]
    path.write_text(json.dumps(document))
    change_catalog(place / "hifi.zarr", lambda rows: [rows[0] | {"kvp": 80.0}, *rows[1:]])

    found = [f.verdict for f in verify_store(place / "hifi.zarr") if f.verdict != "sound"]

    assert found == ["unchecked", "stale"]
