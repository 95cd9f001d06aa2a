"""The report has a line for every input, also when the run is cut short."""

import json
from pathlib import Path

from ctprep.engine import Item
from ctprep.report import beside, recorded


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
