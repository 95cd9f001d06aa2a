"""Verify one volume: every byte of its files, and what it says against what its store says."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal, get_args

import numpy as np

from ctprep.jobs import Item, VolumeJob
from ctprep.orientation import axis_codes
from ctprep.store.attributes import VolumeAttributes
from ctprep.store.chunks import decode_chunk
from ctprep.store.errors import PlaceError, StoreError
from ctprep.store.layout import (
    ARRAY,
    DTYPE,
    METADATA,
    OURS,
    SHARD,
    TWO_WRITERS,
    ArrayLayout,
    array_document,
    is_bound,
    is_unaltered,
    parse_array,
    volume_document,
)
from ctprep.store.place import Place
from ctprep.store.shard import CHECKSUM_BYTES, checksum, split_chunks
from ctprep.store.store import REPLACED_WAIT_S, VolumeStore

BrokenVerdict = Literal["damaged", "altered", "mismatched", "unknown-file", "unchecked"]
_WORST_FIRST: tuple[BrokenVerdict, ...] = get_args(BrokenVerdict)
IN_WORK = "in-work"
IN_WORK_TOLD = (
    "it is just being written, or its writer was killed less than a day ago",
    "verify again when nobody writes to the store",
)
FILES = (METADATA, f"{ARRAY}/{METADATA}", f"{ARRAY}/{SHARD}")


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a volume."""

    verdict: BrokenVerdict
    what: str


def verify_volume(job: VolumeJob, store: VolumeStore) -> Item:
    """Verify one volume, as a worker does it.

    Args:
        job: the volume.
        store: its store.

    Returns:
        `unchanged` where nothing is wrong, else `refused` with the verdict of the first fault.

    Raises:
        PlaceError: the bucket cannot be reached.
    """
    began = time.perf_counter()
    faults = find_faults(store, job.scan_id)
    if faults:
        # A writer may have put a new volume in place between two of our reads.
        time.sleep(REPLACED_WAIT_S)
        faults = find_faults(store, job.scan_id)
    if faults and store.place.is_in_work(job.scan_id):
        return Item("refused", job.name, job.scan_id, IN_WORK, *IN_WORK_TOLD)
    seconds = time.perf_counter() - began
    if not faults:
        return Item("unchanged", job.name, job.scan_id, seconds=seconds)
    what = "; ".join(fault.what for fault in faults)
    return Item(
        "refused", job.name, job.scan_id, verdict=faults[0].verdict, what=what, seconds=seconds
    )


def find_faults(store: VolumeStore, scan_id: str) -> tuple[Fault, ...]:
    """Find everything that is wrong with a volume, the worst first.

    Args:
        store: which has it.
        scan_id: of the volume.

    Returns:
        Its faults; none means that every byte is as it was written, and fits the store.
    """
    files = {name: _content(store.place, f"{scan_id}/{name}") for name in FILES}
    faults = [
        Fault("damaged", f"its {name} {trouble}")
        for name, trouble in files.items()
        if isinstance(trouble, str)
    ]
    shard, document = files[f"{ARRAY}/{SHARD}"], files[f"{ARRAY}/{METADATA}"]
    layout = None
    if isinstance(document, bytes):
        layout = _layout(document)
        if layout is None:
            faults.append(Fault("altered", "its array's zarr.json is none that we write"))
        else:
            faults += _array_faults(store, layout, document)
    if isinstance(shard, bytes):
        faults += _shard_faults(store, layout, shard)
    metadata = files[METADATA]
    if isinstance(metadata, bytes):
        faults += _metadata_faults(store, scan_id, metadata, shard)
        if isinstance(document, bytes) and is_unaltered(metadata):
            faults += _bound_faults(metadata, document)
    for key in unknown_in(store.place, scan_id):
        name = key.removeprefix(f"{scan_id}/").rstrip("/")
        faults.append(Fault("unknown-file", f"{name} is none of the files of a volume"))
    return tuple(sorted(faults, key=lambda fault: _WORST_FIRST.index(fault.verdict)))


def unknown_in(place: Place, scan_id: str) -> list[str]:
    """Find the keys in a volume that do not belong there, the deepest first."""
    files = [PurePosixPath(scan_id, name) for name in FILES]
    known = {str(file) for file in files}
    known |= {f"{folder}/" for file in files for folder in file.parents}
    return sorted(set(place.below(scan_id)) - known, reverse=True)


def _content(place: Place, key: str) -> bytes | str:
    try:
        return bytes(place.read(key))
    except FileNotFoundError:
        return "is missing"
    except PlaceError:
        # Nothing is known of a volume that cannot be reached.
        raise
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _layout(document: bytes) -> ArrayLayout | None:
    try:
        return parse_array(json.loads(document))
    except (ValueError, AttributeError, RecursionError):
        return None


def _array_faults(store: VolumeStore, layout: ArrayLayout, document: bytes) -> Iterator[Fault]:
    attributes = store.attributes
    if (layout.kind, layout.shape) != (attributes.kind, attributes.grid.shape):
        yield Fault(
            "mismatched",
            f"a {layout.kind} array of {layout.shape} in a {attributes.kind} store of "
            f"{attributes.grid.shape}",
        )
        return
    checksums = [] if layout.checksums is None else list(layout.checksums)
    if layout.checksums is None:
        yield Fault("unchecked", "its array's zarr.json holds no checksums of the chunks")
    elif document != array_document(
        attributes.kind, attributes.grid, attributes.quality, checksums
    ):
        yield Fault("altered", "its array's zarr.json is not the one that the store writes")


def _shard_faults(store: VolumeStore, layout: ArrayLayout | None, shard: bytes) -> Iterator[Fault]:
    if layout is None:
        # Without the array's metadata neither chunks nor checksums are known.
        return
    try:
        chunks = split_chunks(shard, layout.chunks)
    except StoreError as error:
        yield Fault("damaged", error.what)
        return
    damaged = {}
    part = np.empty((layout.slices, *layout.shape[1:]), DTYPE[layout.kind])
    for number, chunk in enumerate(chunks):
        found = None if chunk is None else checksum(chunk)
        if layout.checksums is not None and found != layout.checksums[number]:
            damaged[number] = "does not match its checksum"
        elif chunk is not None:
            try:
                decode_chunk(chunk, layout.kind, part)
            except StoreError as error:
                damaged[number] = error.what
    for number, reason in damaged.items():
        yield Fault("damaged", f"chunk {number} {reason}")
    joined = b"".join(chunk for chunk in chunks if chunk is not None)
    index_bytes = 16 * len(chunks) + CHECKSUM_BYTES
    if not damaged and (len(joined) + index_bytes != len(shard) or not shard.startswith(joined)):
        yield Fault("damaged", "its shard holds bytes that belong to no chunk")


def _metadata_faults(
    store: VolumeStore, scan_id: str, document: bytes, shard: bytes | str
) -> Iterator[Fault]:
    unaltered = is_unaltered(document)
    if unaltered is None:
        yield Fault("unchecked", "its zarr.json has no checksum: an earlier version wrote it")
    elif not unaltered:
        yield Fault("altered", "its zarr.json was altered after it was written")
        return
    try:
        attributes = store.read_attributes(scan_id)
    except StoreError as error:
        yield Fault("mismatched", error.what)
        return
    if attributes.scan_id != scan_id:
        yield Fault("mismatched", f"it says that it is scan {attributes.scan_id!r}")
    if isinstance(shard, bytes):
        yield from _quality_faults(store, attributes, len(shard))
    yield from _place_faults(store, attributes, json.loads(document)["attributes"])


def _bound_faults(metadata: bytes, array: bytes) -> Iterator[Fault]:
    bound = is_bound(json.loads(metadata)["attributes"], array)
    if bound is None:
        yield Fault("unchecked", "its zarr.json has no checksum of its array's")
    elif not bound:
        yield Fault("mismatched", TWO_WRITERS)


def _quality_faults(
    store: VolumeStore, attributes: VolumeAttributes, nbytes: int
) -> Iterator[Fault]:
    quality = attributes.quality
    if quality is not None and store.attributes.kind == "hifi":
        yield Fault("mismatched", "figures of a compression in a store without one")
    if quality is not None and quality.nbytes != nbytes:
        yield Fault("mismatched", f"says {quality.nbytes} bytes, where its shard has {nbytes}")


def _place_faults(
    store: VolumeStore, attributes: VolumeAttributes, document: dict[str, Any]
) -> Iterator[Fault]:
    grid, affine = store.attributes.grid, np.array(attributes.affine_ras)
    bounds = zip(attributes.content or (), grid.shape, strict=False)
    if any(not 0 <= begin < end <= length for (begin, end), length in bounds):
        yield Fault("mismatched", f"its content {attributes.content} is no part of the grid")
    lengths = np.linalg.norm(affine[:3, :3], axis=0) / grid.spacing_mm
    # A voxel may be larger than the grid's by less than one more voxel along the axis.
    if not (np.isfinite(affine).all() and (lengths > 0.999).all() and (lengths < 2.001).all()):
        yield Fault("mismatched", "its affine does not have the spacing of the grid")
    elif axis_codes(affine) != store.attributes.orientation:
        yield Fault("mismatched", f"its affine does not run along {store.attributes.orientation}")
    else:
        # The array's checksum aside, which `_bound_faults` compares.
        written = json.loads(volume_document(attributes, store.attributes, b""))["attributes"]
        if {key: document.get(key) for key in ("ome", OURS)} != {
            key: written[key] for key in ("ome", OURS)
        }:
            yield Fault("mismatched", "its OME-Zarr metadata are not those of its affine")
