"""The fast reader: a volume's shard in one read, its chunks decoded straight into one array."""

import json
from bisect import bisect_right
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter

import numpy as np
from jaxtyping import Shaped

from ctprep.store.chunks import decode_chunk
from ctprep.store.errors import StoreError
from ctprep.store.jpeg import MEND_DATA
from ctprep.store.layout import ARRAY, DTYPE, METADATA, SHARD, ArrayLayout, parse_array
from ctprep.store.place import Content, Place
from ctprep.store.shard import Extent, checksum, index_bytes, read_index, split_chunks


def read_layout(place: Place, name: str) -> ArrayLayout:
    """Read how the array of a volume is laid out.

    Args:
        place: where its store lives.
        name: of the volume.

    Raises:
        StoreError: the array's metadata is absent, damaged or not one of ours.
    """
    try:
        document = json.loads(bytes(place.read(f"{name}/{ARRAY}/{METADATA}")))
    except FileNotFoundError as error:
        raise StoreError("it has no array", mend=MEND_DATA) from error
    except (ValueError, RecursionError) as error:
        raise StoreError("its array's zarr.json is not JSON", mend=MEND_DATA) from error
    return parse_array(document)


def read_volume(
    place: Place,
    name: str,
    *,
    expected: tuple[int, int, int] | None = None,
    slices: tuple[int, int] | None = None,
    out: Shaped[np.ndarray, "slice row column"] | None = None,
    threads: int = 1,
) -> Shaped[np.ndarray, "slice row column"]:
    """Read the voxels of a volume, every chunk that is read checked against its checksum.

    Args:
        place: where its store lives.
        name: of the volume.
        expected: shape that the volume must have; None takes any.
        slices: begin and end of those to read; None reads all, in one piece.
        out: contiguous array to fill; a new one by default.
        threads: that decode at once.

    Returns:
        `out`: uint8 gray levels, or int16 HU; bit for bit what zarr reads.

    Raises:
        StoreError: a file is missing or damaged, or `slices` or `out` do not fit.
    """
    layout = read_layout(place, name)
    # Before memory is asked for: a damaged shape may be any.
    if expected is not None and layout.shape != expected:
        raise StoreError(
            f"its array is of shape {layout.shape}, the store's grid {expected}", mend=MEND_DATA
        )
    begin, end = _check_slices(slices, layout)
    shape = (end - begin, *layout.shape[1:])
    voxels = _allocated(shape, layout) if out is None else out
    _check_out(voxels, shape, layout)
    numbers = range(begin // layout.slices, -(-end // layout.slices))
    key = f"{name}/{ARRAY}/{SHARD}"
    try:
        if slices is None:
            chunks: Sequence[Content | None] = split_chunks(place.read(key), layout.chunks)
        else:
            chunks = _read_chunks(place, key, layout, numbers)
    except FileNotFoundError as error:
        raise StoreError("its shard is missing", mend=MEND_DATA) from error

    def fill(number: int) -> None:
        _fill(layout, number, chunks[number - numbers.start], voxels, begin)

    if threads == 1:
        for number in numbers:
            fill(number)
    else:
        with ThreadPoolExecutor(threads) as executor:
            list(executor.map(fill, numbers))
    return voxels


def _allocated(
    shape: tuple[int, ...], layout: ArrayLayout
) -> Shaped[np.ndarray, "slice row column"]:
    try:
        return np.empty(shape, DTYPE[layout.kind])
    except (MemoryError, ValueError) as error:
        raise StoreError(
            f"no memory for a volume of {shape}", mend="check the grid of the store"
        ) from error


def _read_chunks(
    place: Place, key: str, layout: ArrayLayout, numbers: range
) -> list[Content | None]:
    """Read the index, then the chunks of these numbers, neighbors in one piece."""
    index, size = place.read_end(key, index_bytes(layout.chunks))
    extents = read_index(index, layout.chunks, shard_bytes=size)[numbers.start : numbers.stop]
    pieces = join_extents([extent for extent in extents if extent is not None])
    contents = place.read_ranges(key, pieces) if pieces else []
    for (begin, end), content in zip(pieces, contents, strict=True):
        # Replaced by a shorter shard since its index was read.
        if len(content) != end - begin:
            raise StoreError("its shard ends within a chunk", mend=MEND_DATA)
    return [None if extent is None else _part(extent, pieces, contents) for extent in extents]


def join_extents(extents: Sequence[Extent]) -> list[Extent]:
    """Join what touches or overlaps.

    Args:
        extents: begin and end of each, in any order.

    Returns:
        The fewest extents that cover the same bytes, in order.
    """
    joined: list[Extent] = []
    for begin, end in sorted(extents):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def _part(extent: Extent, pieces: Sequence[Extent], contents: Sequence[Content]) -> memoryview:
    number = bisect_right(pieces, extent[0], key=itemgetter(0)) - 1
    first = pieces[number][0]
    return memoryview(contents[number])[extent[0] - first : extent[1] - first]


def _fill(
    layout: ArrayLayout,
    number: int,
    chunk: Content | None,
    out: Shaped[np.ndarray, "slice row column"],
    begin: int,
) -> None:
    """Decode a chunk into an array that begins with slice `begin` of the volume."""
    first = number * layout.slices - begin
    if first >= 0 and first + layout.slices <= len(out):
        _decode(layout, number, chunk, out[first : first + layout.slices])
        return
    # A chunk is decoded whole, also where only some of its slices are asked for.
    whole = np.empty((layout.slices, *out.shape[1:]), out.dtype)
    _decode(layout, number, chunk, whole)
    low, high = max(0, first), min(len(out), first + layout.slices)
    out[low:high] = whole[low - first : high - first]


def _decode(
    layout: ArrayLayout,
    number: int,
    chunk: Content | None,
    out: Shaped[np.ndarray, "slice row column"],
) -> None:
    known = None if layout.checksums is None else layout.checksums[number]
    found = None if chunk is None else checksum(chunk)
    if layout.checksums is not None and found != known:
        raise StoreError(f"chunk {number} does not match its checksum", mend=MEND_DATA)
    if chunk is None:
        out.fill(layout.fill_value)
        return
    try:
        decode_chunk(chunk, layout.kind, out)
    except StoreError as error:
        raise StoreError(f"chunk {number} {error.what}", mend=error.mend) from error


def _check_slices(slices: tuple[int, int] | None, layout: ArrayLayout) -> tuple[int, int]:
    begin, end = slices or (0, layout.shape[0])
    if not 0 <= begin < end <= layout.shape[0]:
        raise StoreError(
            f"slices {begin} to {end} are not in a volume of {layout.shape[0]}",
            mend="give the begin, and an end above it, of slices that there are",
        )
    return begin, end


def _check_out(out: Shaped[np.ndarray, "..."], shape: tuple[int, ...], layout: ArrayLayout) -> None:
    fits = out.shape == shape and out.dtype == DTYPE[layout.kind]
    if not (fits and out.flags.c_contiguous and out.flags.writeable):
        raise StoreError(
            f"an array of shape {out.shape} and type {out.dtype} cannot take a volume of "
            f"{shape} and {DTYPE[layout.kind]}",
            mend="give a contiguous, writable array of the store's shape and type",
        )
