"""The report has a line for every input, also when the run is cut short."""

import json
from pathlib import Path

import pytest

from ctprep.jobs import Item
from ctprep.report import beside, cataloged, recorded
from ctprep.store.attributes import StoreAttributes
from ctprep.store.errors import StoreError
from ctprep.store.grids import load_grid
from ctprep.store.store import VolumeStore


def test_names_beside_a_store() -> None:
    """Only the store's own suffix is taken off."""
    assert beside(Path("corpora/hifi.zarr"), ".key") == Path("corpora/hifi.key")
    assert beside(Path("ct.rate.v1"), ".key") == Path("ct.rate.v1.key")


def test_a_line_an_item_written_before_it_is_shown(tmp_path: Path) -> None:
    """A consumer that stops early has every line up to where it stopped."""
    items = iter([Item("stored", "a", "scan-a"), Item("refused", "b", verdict="unreadable")])
    run = recorded(items, tmp_path / "hifi.zarr")
    report = tmp_path / "hifi.report.jsonl"

    next(run)
    assert [json.loads(line)["name"] for line in report.read_text().splitlines()] == ["a"]
    list(run)
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert [(line["status"], line["verdict"]) for line in lines] == [
        ("stored", None),
        ("refused", "unreadable"),
    ]


@pytest.mark.parametrize("is_bucket", [False, True])
def test_a_damaged_volume_is_repaired_where_its_store_is(tmp_path: Path, is_bucket: bool) -> None:
    """A bucket by its URL; a folder by its name, since a report tells no absolute path."""
    where = "memory://bucket/told/hifi.zarr" if is_bucket else str(tmp_path / "hifi.zarr")
    store = VolumeStore.create(where, StoreAttributes(kind="hifi", grid=load_grid("phantom")))
    fault = StoreError("damaged", mend="make it again", where="scan-1")
    store.write_catalog = lambda: (fault,)

    (item,) = cataloged(store)

    assert f"`ctprep verify {where if is_bucket else 'hifi.zarr'} --repair`" in item.mend
