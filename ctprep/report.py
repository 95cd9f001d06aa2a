"""The report of a run: a line of JSON for every input, beside the store."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from ctprep.engine import Item


def beside(store: Path, suffix: str) -> Path:
    """Name a file that belongs to a store, next to it.

    Args:
        store: such as `corpora/hifi.zarr`.
        suffix: such as `.report.jsonl`, which gives `corpora/hifi.report.jsonl`.
    """
    return store.with_name(store.name.removesuffix(".zarr") + suffix)


def recorded(items: Iterable[Item], store: Path) -> Iterator[Item]:
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
