"""A shard: the encoded chunks of a volume one after the other, and an index at the end."""

from collections.abc import Iterable

import google_crc32c
import numpy as np
from jaxtyping import UInt8

from ctprep.store.errors import StoreError

ABSENT = 2**64 - 1
"""Offset and length of a chunk that is all fill value."""

CHECKSUM_BYTES = 4
MEND = "the volume is damaged: make it again"


def join_chunks(chunks: Iterable[bytes | None], *, room: int = 0) -> memoryview:
    """Lay out encoded chunks as zarr does, each as soon as it comes.

    Args:
        chunks: in the order of their slices; None where all voxels are the fill value.
        room: bytes to begin with; what is not used costs nothing, more is taken when needed.

    Returns:
        The bytes of the shard.

    Source:
        Zarr v3 codec `sharding_indexed` 1.0, index at the end, codecs `bytes` and `crc32c`.
    """
    # One array of large pages: chunks kept until they are joined lie in small ones, each of which
    # the system has to clear.
    shard = np.empty(room, np.uint8)
    end = 0
    index: list[tuple[int, int]] = []
    for chunk in chunks:
        if chunk is None:
            index.append((ABSENT, ABSENT))
        else:
            index.append((end, len(chunk)))
            shard, end = _appended(shard, end, chunk)
    encoded = np.array(index, "<u8").tobytes()
    crc = google_crc32c.value(encoded).to_bytes(CHECKSUM_BYTES, "little")
    shard, end = _appended(shard, end, encoded + crc)
    return shard[:end].data


def _appended(
    shard: UInt8[np.ndarray, " room"], end: int, part: bytes
) -> tuple[UInt8[np.ndarray, " new_room"], int]:
    needed = end + len(part)
    if needed > len(shard):
        larger = np.empty(max(needed, 2 * len(shard)), np.uint8)
        larger[:end] = shard[:end]
        shard = larger
    shard[end:needed] = np.frombuffer(part, np.uint8)
    return shard, needed


Extent = tuple[int, int]
"""Begin and end of a chunk in its shard."""


def split_chunks(shard: bytes | memoryview, count: int) -> list[memoryview | None]:
    """Find the encoded chunks in a shard, without copying.

    Args:
        shard: the whole shard.
        count: number of chunks it must hold.

    Returns:
        As `join_chunks` took them.

    Raises:
        StoreError: the index is damaged or points outside the shard.
    """
    view = memoryview(shard)
    index = view[max(0, len(view) - index_bytes(count)) :]
    return [
        None if extent is None else view[slice(*extent)]
        for extent in read_index(index, count, shard_bytes=len(view))
    ]


def index_bytes(count: int) -> int:
    """Tell the bytes at the end of a shard of so many chunks that are its index."""
    return 16 * count + CHECKSUM_BYTES


def read_index(index: bytes | memoryview, count: int, *, shard_bytes: int) -> list[Extent | None]:
    """Read where in a shard its chunks are.

    Args:
        index: the last `index_bytes(count)` bytes of the shard, or all of a shorter one.
        count: number of chunks it must hold.
        shard_bytes: of the whole shard.

    Returns:
        Begin and end of every chunk in the shard; None where all voxels are the fill value.

    Raises:
        StoreError: the index is damaged or points outside the shard.
    """
    if len(index) < index_bytes(count):
        raise StoreError(f"its shard is cut off at {shard_bytes} bytes", mend=MEND)
    encoded, known = index[:-CHECKSUM_BYTES], index[-CHECKSUM_BYTES:]
    if checksum(encoded).to_bytes(CHECKSUM_BYTES, "little") != known:
        raise StoreError("its shard's index does not match the index's checksum", mend=MEND)
    end = shard_bytes - len(index)
    extents: list[Extent | None] = []
    for begin, length in np.frombuffer(encoded, "<u8").reshape(count, 2).tolist():
        if begin == length == ABSENT:
            extents.append(None)
        elif length == 0:
            raise StoreError(f"chunk {len(extents)} is empty", mend=MEND)
        elif begin + length > end:
            raise StoreError(f"chunk {len(extents)} lies outside its shard", mend=MEND)
        else:
            extents.append((begin, begin + length))
    return extents


def checksum(chunk: bytes | memoryview) -> int:
    """Give the CRC-32C of an encoded chunk."""
    # The library refuses a memoryview, but not an array that looks at the same bytes.
    value: int = google_crc32c.value(np.frombuffer(chunk, np.uint8))
    return value
