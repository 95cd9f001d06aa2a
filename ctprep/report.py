"""The report of a run: a line of JSON for every input, beside the store."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from ctprep.engine import Item
from ctprep.store.place import Where, find_place


def beside(store: Where, suffix: str) -> Path:
    """Name a file that belongs to a store, next to it; in the current folder for a bucket's.

    Args:
        store: such as `corpora/hifi.zarr`, or `s3://bucket/corpora/hifi.zarr`.
        suffix: such as `.report.jsonl`, which gives `corpora/hifi.report.jsonl`, or
            `hifi.report.jsonl` here.
    """
    place = find_place(store)
    name = place.name.removesuffix(".zarr") + suffix
    return Path(name) if place.path is None else place.path.with_name(name)


def recorded(items: Iterable[Item], store: Where) -> Iterator[Item]:
    """Pass items on, each written to the store's report first.

    Args:
        items: what the run yields.
        store: the store being written; the report of its last run is replaced.
    """
    path = beside(store, ".report.jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for item in items:
            file.write(json.dumps(asdict(item)) + "\n")
            # Flushed by line, so that a killed run has told what it did.
            file.flush()
            yield item
