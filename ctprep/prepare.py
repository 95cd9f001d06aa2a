"""A few scans, read as an archive is, into a store that is gone afterwards."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ctprep.compress import compress_store
from ctprep.ingest import ingest
from ctprep.jobs import Item
from ctprep.scratch import scratch_folder
from ctprep.store.attributes import Grid, Window
from ctprep.store.store import VolumeStore

QUALITY = 90


@dataclass(frozen=True)
class Prepared:
    """What became of a source."""

    store: VolumeStore
    """With the volumes that could be read."""
    items: tuple[Item, ...]
    """One an input, stored or refused; a stored one tells the name of its `scan_id`."""


@contextmanager
def prepared(
    source: Path,
    *,
    grid: Grid,
    window: Window | None = None,
    quality: int | None = None,
    hu_policy: str = "auto",
    tolerant: bool = False,
) -> Iterator[Prepared]:
    """Read scans as `ctprep ingest` does, and compress them as `ctprep compress` does.

    So a model sees a new scan as it saw those that it was trained on. Scan ids are drawn anew
    each time, and hold for this time alone.

    Args:
        source: folder or file of scans, of any kind that `ingest` takes.
        grid: common sampling, that of the model.
        window: HU of the gray levels of a JPEG store; None gives a hi-fi store.
        quality: of its JPEG; None takes 90.
        hu_policy: auto, rescale or already.
        tolerant: mend what can be mended.

    Yields:
        The store, and what became of each input.

    Raises:
        SourceError: there is no such source, or nothing in it.
    """
    with scratch_folder() as folder:
        hifi, jpeg = folder / "hifi.zarr", folder / "jpeg.zarr"
        items = tuple(
            ingest(
                source,
                hifi,
                grid=grid,
                key=secrets.token_bytes(32),
                scan_ids="pseudonym",
                hu_policy=hu_policy,
                tolerant=tolerant,
            )
        )
        if window is None:
            yield Prepared(VolumeStore.open(hifi), items)
            return
        compressed = compress_store(hifi, jpeg, quality=quality or QUALITY, window=window)
        names = {item.scan_id: item.name for item in items}
        # What the second step refuses is refused, under the name that its user knows.
        failed = {
            item.scan_id: replace(item, name=names.get(item.scan_id, item.name))
            for item in compressed
            if item.status == "refused"
        }
        yield Prepared(
            VolumeStore.open(jpeg), tuple(failed.get(item.scan_id, item) for item in items)
        )
