"""Compress: a hi-fi store into a JPEG store, and what that has cost each volume."""

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Literal

import numpy as np
from jaxtyping import Int16, UInt8

from ctprep.engine import run
from ctprep.jobs import PROCESS_BYTES, Item, VolumeJob, refused
from ctprep.quality import write_measured
from ctprep.report import cataloged, recorded
from ctprep.store.attributes import LUNG, StoreAttributes, VolumeAttributes, Window
from ctprep.store.errors import CtError, PlaceError, SourceError, StoreError, located
from ctprep.store.place import (
    Where,
    absolute,
    check_apart,
    find_place,
    is_same_place,
    paths_of,
)
from ctprep.store.store import VolumeStore
from ctprep.versions import installed_versions, jpeg_encoder
from ctprep.window import to_gray

PEAK_BYTES_A_VOXEL = 6
"""HU, gray, the encoded form, and room for what is measured."""


@dataclass(frozen=True)
class CompressSettings:
    """What holds for every volume of a run."""

    source: VolumeStore
    target: VolumeStore | None
    """None where there is none yet, in a dry run."""
    window: Window
    dry_run: bool


def compress_store(
    hifi: Where,
    jpeg: Where,
    *,
    quality: int = 90,
    window: Window = LUNG,
    workers: int = 1,
    encode_at: Literal["resampled", "native"] = "resampled",
    scheduler: str | None = None,
    dry_run: bool = False,
    only: Collection[str] | None = None,
) -> Iterator[Item]:
    """Window and JPEG-compress every volume, and measure what was kept.

    Run again, it does only what is missing or has changed. At the end it writes the catalog, and
    `<jpeg store>.report.jsonl` beside the store, or in the current folder for one in a bucket.

    Args:
        hifi: store of HU volumes: a folder, or a URL in a bucket.
        jpeg: store to make, or to finish.
        quality: JPEG quality, 1 to 100.
        window: HU that become gray 0 to 255; padding becomes 0.
        workers: processes; 1 stays in this one.
        encode_at: `resampled`; slices on their native sampling are no longer in a hi-fi store.
        scheduler: address of a running dask cluster to use instead.
        dry_run: write nothing.
        only: scan ids to look at; None means all. One that the hi-fi store lacks is left out.

    Yields:
        What became of each volume; a damaged one is refused, and the others go on.

    Raises:
        StoreError: `hifi` is no hi-fi store, both paths are one, or `encode_at` is `native`.
        StoreMismatchError: `jpeg` is there with other parameters.
    """
    if encode_at == "native":
        raise StoreError(
            "a hi-fi store no longer has the native slices",
            mend="ingest the source into a JPEG store, with `native`",
        )
    # Workers of a running cluster have folders of their own that they are in.
    read, written = (absolute(find_place(store)) for store in (hifi, jpeg))
    check_apart(written)
    if is_same_place(read, written):
        raise StoreError(
            "the store to read is the store to write", mend="give the JPEG store its own path"
        )
    source = VolumeStore.open(read, kind="hifi")
    open_target = VolumeStore.look if dry_run else VolumeStore.create
    target = open_target(
        written,
        StoreAttributes(
            kind="jpeg",
            grid=source.attributes.grid,
            orientation=source.attributes.orientation,
            hu_range=source.attributes.hu_range,
            window=window,
            quality=quality,
            encode_at=encode_at,
            encoder=jpeg_encoder(),
            versions=installed_versions(),
        ),
    )
    voxels = int(np.prod(source.attributes.grid.shape))
    peak_bytes = PROCESS_BYTES + PEAK_BYTES_A_VOXEL * voxels
    settings = CompressSettings(source, target, window, dry_run)
    jobs = _jobs(settings, peak_bytes, only)
    work = partial(compress_volume, settings=settings)
    items = run(
        work,
        jobs,
        workers=1 if dry_run else workers,
        scheduler=scheduler,
        places=paths_of(read, *([] if dry_run else [written])),
    )
    if dry_run or target is None:
        yield from items
        return
    yield from recorded(chain(items, cataloged(target)), written)


def _jobs(
    settings: CompressSettings, peak_bytes: int, only: Collection[str] | None
) -> Iterator[VolumeJob | Item]:
    """Yield the volumes to compress, and the items of those that need no worker to be told."""
    source, target = settings.source, settings.target
    scan_ids = (scan_id for scan_id in source.scan_ids() if only is None or scan_id in only)
    at_once = max(store.place.at_once for store in (source, target) if store is not None)
    while some := list(islice(scan_ids, at_once)):
        current = set() if target is None else _current(target, source, some)
        for scan_id in some:
            if scan_id in current:
                yield Item("unchanged", scan_id, scan_id)
            else:
                yield VolumeJob(scan_id, peak_bytes)


def compress_volume(job: VolumeJob, settings: CompressSettings) -> Item:
    """Compress one volume, unless the JPEG store has it already.

    Args:
        job: the volume.
        settings: those of the run.

    Returns:
        What became of it; a volume that cannot be read is a refused item.

    Raises:
        PlaceError: the JPEG store cannot be written, which is no fault of the volume.
    """
    began = time.perf_counter()
    try:
        with located(job.scan_id):
            return _compress(job, settings, began)
    except PlaceError:
        raise
    except CtError as error:
        seconds = time.perf_counter() - began
        return refused(job.name, error, scan_id=job.scan_id, seconds=seconds)


def _compress(job: VolumeJob, settings: CompressSettings, began: float) -> Item:
    hifi = settings.source
    attributes = hifi.read_attributes(job.scan_id)
    if settings.dry_run or settings.target is None:
        return Item("planned", job.name, job.scan_id, seconds=time.perf_counter() - began)
    hu = hifi.read(job.scan_id)
    if hifi.read_attributes(job.scan_id) != attributes:
        raise SourceError(
            "the volume was replaced while it was read",
            verdict="changed",
            mend="run again while nothing else writes to the hi-fi store",
        )
    gray = window_volume(hu, settings.window, attributes)
    nbytes = write_measured(settings.target, gray, gray, attributes)
    return Item("stored", job.name, job.scan_id, nbytes=nbytes, seconds=time.perf_counter() - began)


def _current(target: VolumeStore, source: VolumeStore, scan_ids: Sequence[str]) -> set[str]:
    """Give those of some volumes that the target has as they are in the source."""
    # None is there, or a damaged one, which is as good as none: it will be replaced.
    stored = {
        scan_id: attributes
        for scan_id, attributes in target.each_attributes(scan_ids)
        # Without figures it was written by something else.
        if isinstance(attributes, VolumeAttributes) and attributes.quality is not None
    }
    return {
        scan_id
        for scan_id, attributes in source.each_attributes(tuple(stored))
        if attributes == stored[scan_id].model_copy(update={"quality": None})
    }


def window_volume(
    hu: Int16[np.ndarray, "slice row column"], window: Window, attributes: VolumeAttributes
) -> UInt8[np.ndarray, "slice row column"]:
    """Window a stored volume, with its padding at gray 0.

    Air at the padding's -1024 HU is a gray of its own in most windows; padding is not air.

    Args:
        hu: the volume, on its store's grid.
        window: HU that are kept.
        attributes: those of the volume; `content` tells scan from padding.
    """
    gray = np.zeros(hu.shape, np.uint8)
    # Without `content` nothing is known to be padding.
    bounds = attributes.content or tuple((0, length) for length in hu.shape)
    box = tuple(slice(begin, end) for begin, end in bounds)
    to_gray(hu[box], window, out=gray[box])
    return gray
