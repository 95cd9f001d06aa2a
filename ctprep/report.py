"""The report of a run: a line of JSON for every input, beside the store."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from ctprep.jobs import Item
from ctprep.store.disk import writing
from ctprep.store.place import Where, find_place
from ctprep.store.store import VolumeStore


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

    Raises:
        PlaceError: the disk is full, read-only or fails.
    """
    path = beside(store, ".report.jsonl")
    with writing(path.name):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    for item in items:
        # Not `asdict`, whose copies of what is flat cost more than the writing.
        append_line(path, vars(item))
        yield item


def cataloged(store: VolumeStore) -> Iterator[Item]:
    """End a run: clean up after workers that were killed, write the catalog, tell its faults.

    Args:
        store: that the run has written.

    Raises:
        PlaceError: it cannot be written.
    """
    if store.place.path is not None:
        # In a bucket, what may be of a living writer goes a day later.
        store.place.clean()
    # A folder by its name, as everywhere in a report; a bucket is not found by that.
    shown = store.name if store.place.path is not None else store.url
    for error in store.write_catalog():
        yield Item(
            "refused",
            f"{store.name}/{error.where}",
            error.where,
            verdict="damaged-volume",
            what=f"the catalog leaves this volume of the store out: {error.what}",
            mend=f"`ctprep verify {shown} --repair` moves it away, and tells how to make it again",
        )


def append_line(path: Path, content: object) -> None:
    """Write one line of JSON at the end of a file, which a killed run has then told.

    Raises:
        PlaceError: the disk is full, read-only or fails.
    """
    # Opened anew, so that what a full disk leaves in a buffer fails here and not on closing.
    with writing(path.name), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(content) + "\n")
