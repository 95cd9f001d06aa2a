"""The fast reader: a volume's shard in one read, its chunks decoded straight into one array."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from ctprep.store.chunks import decode_chunk
from ctprep.store.errors import StoreError, located
from ctprep.store.jpeg import MEND_DATA
from ctprep.store.layout import ARRAY, DTYPE, METADATA, SHARD, ArrayLayout, parse_array
from ctprep.store.shard import checksum, split_chunks


def read_layout(volume: Path) -> ArrayLayout:
    """Read how the array of a volume is laid out.

    Raises:
        StoreError: the array's metadata is absent, damaged or not one of ours.
    """
    try:
        document = json.loads((volume / ARRAY / METADATA).read_bytes())
    except FileNotFoundError as error:
        raise StoreError("it has no array", mend=MEND_DATA) from error
    except (ValueError, RecursionError) as error:
        raise StoreError("its array's zarr.json is not JSON", mend=MEND_DATA) from error
    return parse_array(document)


def read_volume(
    volume: Path, *, out: Shaped[np.ndarray, "slice row column"] | None = None, threads: int = 1
) -> Shaped[np.ndarray, "slice row column"]:
    """Read the voxels of a volume, every chunk checked against its checksum.

    Args:
        volume: folder of the volume.
        out: contiguous array to fill; a new one by default.
        threads: that decode at once.

    Returns:
        `out`: uint8 gray levels, or int16 HU; bit for bit what zarr reads.

    Raises:
        StoreError: a file is missing or damaged, or `out` does not fit.
    """
    with located(volume.name):
        layout = read_layout(volume)
        voxels = _allocated(layout) if out is None else out
        _check_out(voxels, layout)
        try:
            shard = (volume / ARRAY / SHARD).read_bytes()
        except FileNotFoundError as error:
            raise StoreError("its shard is missing", mend=MEND_DATA) from error
        chunks = split_chunks(shard, layout.chunks)

        def fill(number: int) -> None:
            begin = number * layout.slices
            _fill(layout, number, chunks[number], voxels[begin : begin + layout.slices])

        if threads == 1:
            for number in range(layout.chunks):
                fill(number)
        else:
            with ThreadPoolExecutor(threads) as executor:
                list(executor.map(fill, range(layout.chunks)))
    return voxels


def _allocated(layout: ArrayLayout) -> Shaped[np.ndarray, "slice row column"]:
    try:
        return np.empty(layout.shape, DTYPE[layout.kind])
    except (MemoryError, ValueError) as error:
        raise StoreError(
            f"no memory for a volume of {layout.shape}", mend="check the grid of the store"
        ) from error


def _fill(
    layout: ArrayLayout,
    number: int,
    chunk: memoryview | None,
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


def _check_out(out: Shaped[np.ndarray, "..."], layout: ArrayLayout) -> None:
    fits = out.shape == layout.shape and out.dtype == DTYPE[layout.kind]
    if not (fits and out.flags.c_contiguous and out.flags.writeable):
        raise StoreError(
            f"an array of shape {out.shape} and type {out.dtype} cannot take a volume of "
            f"{layout.shape} and {DTYPE[layout.kind]}",
            mend="give a contiguous, writable array of the store's shape and type",
        )
