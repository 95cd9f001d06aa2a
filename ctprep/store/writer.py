"""What is written of a volume: its shard, the array's document and its own, by name of file."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from jaxtyping import Shaped

from ctprep.store.attributes import StoreAttributes, VolumeAttributes
from ctprep.store.chunks import decode_slices, encode_chunks
from ctprep.store.errors import StoreError
from ctprep.store.layout import (
    ARRAY,
    DTYPE,
    METADATA,
    SHARD,
    array_document,
    chunk_slices,
    volume_document,
)
from ctprep.store.shard import checksum, join_chunks, split_chunks

Describe = Callable[[Iterator[Shaped[np.ndarray, "row column"]], int], VolumeAttributes]
"""Gives the attributes of a volume, from its slices as decoded and the bytes of its shard."""
SHARD_FILE = f"{ARRAY}/{SHARD}"


def volume_files(
    scan_id: str,
    voxels: Shaped[np.ndarray, "slice row column"],
    attributes: VolumeAttributes | Describe,
    store: StoreAttributes,
) -> Mapping[str, bytes | memoryview]:
    """Encode a volume.

    Args:
        scan_id: slug of the volume.
        voxels: uint8 gray levels for a JPEG store, int16 HU for a hi-fi store, on its grid.
        attributes: of the volume, or what gives them.
        store: attributes of the store that it is for.

    Returns:
        What each of its files holds, in the order in which they are to be written.

    Raises:
        StoreError: the voxels or attributes do not fit the store.
    """
    _check_voxels(voxels, store)
    kind, grid, quality = store.kind, store.grid, store.quality
    slices = chunk_slices(grid.shape)
    shard = join_chunks(encode_chunks(voxels, kind, slices, quality), room=voxels.nbytes)
    chunks = split_chunks(shard, grid.shape[0] // slices)
    checksums = [None if chunk is None else checksum(chunk) for chunk in chunks]
    if not isinstance(attributes, VolumeAttributes):
        attributes = attributes(decode_slices(chunks, kind, grid.shape), len(shard))
    _check_own(scan_id, attributes)
    array = array_document(kind, grid, quality, checksums)
    return {
        SHARD_FILE: shard,
        f"{ARRAY}/{METADATA}": array,
        METADATA: volume_document(attributes, store, array),
    }


def _check_voxels(voxels: Shaped[np.ndarray, "..."], store: StoreAttributes) -> None:
    kind, shape = store.kind, store.grid.shape
    if voxels.dtype != DTYPE[kind] or voxels.shape != shape:
        raise StoreError(
            f"voxels of shape {voxels.shape} and type {voxels.dtype} do not fit a {kind} store "
            f"of {shape} and {DTYPE[kind]}",
            mend="bring the volume to the store's grid and type first",
        )


def _check_own(scan_id: str, attributes: VolumeAttributes) -> None:
    if attributes.scan_id != scan_id:
        raise StoreError(
            f"the attributes are those of scan {attributes.scan_id!r}",
            mend="write a volume with its own attributes",
        )
