"""Encode a volume to the chunks of its shard, and decode them into one array."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Shaped
from numcodecs import blosc

from ctprep.store.attributes import Kind
from ctprep.store.errors import StoreError
from ctprep.store.jpeg import MEND_DATA, decode_gray, encode_gray
from ctprep.store.layout import BLOSC, DTYPE, FILL_VALUE

_COMPRESSOR = blosc.Blosc(
    cname=BLOSC["cname"], clevel=BLOSC["clevel"], shuffle=blosc.BITSHUFFLE, blocksize=0
)


def encode_chunks(
    voxels: Shaped[np.ndarray, "slice row column"], kind: Kind, slices: int, quality: int | None
) -> Iterator[bytes | None]:
    """Encode a volume, a few slices at a time.

    Args:
        voxels: gray levels for a JPEG store, HU for a hi-fi store.
        kind: of the store.
        slices: of a chunk; divides those of the volume.
        quality: of JPEG.

    Yields:
        The encoded chunks; None where every voxel is the fill value.
    """
    # A worker thread, as zarr uses one: on the main thread blosc would start threads of its own
    # and lay out its blocks in the order in which they finish.
    with ThreadPoolExecutor(1) as executor:
        yield from executor.map(
            lambda begin: _encode(voxels[begin : begin + slices], kind, quality),
            range(0, len(voxels), slices),
        )


def _encode(
    chunk: Shaped[np.ndarray, "slice row column"], kind: Kind, quality: int | None
) -> bytes | None:
    # By slice, since most often the first one tells.
    if not any((plane != FILL_VALUE[kind]).any() for plane in chunk):
        return None
    if kind == "jpeg":
        return encode_gray(chunk.reshape(-1, chunk.shape[2]), quality or 0)
    encoded: bytes = _COMPRESSOR.encode(np.ascontiguousarray(chunk, "<i2"))
    return encoded


def decode_slices(
    chunks: Sequence[bytes | memoryview | None], kind: Kind, shape: tuple[int, int, int]
) -> Iterator[Shaped[np.ndarray, "row column"]]:
    """Decode a volume that has just been encoded, a chunk at a time.

    Args:
        chunks: all that `encode_chunks` gives.
        kind: of the store.
        shape: of the volume.

    Yields:
        Its slices, in order; each is overwritten later.
    """
    part = np.empty((shape[0] // len(chunks), *shape[1:]), DTYPE[kind])
    for chunk in chunks:
        if chunk is None:
            part.fill(FILL_VALUE[kind])
        else:
            decode_chunk(chunk, kind, part)
        yield from part


def decode_chunk(
    data: bytes | memoryview, kind: Kind, out: Shaped[np.ndarray, "slice row column"]
) -> None:
    """Decode one chunk into its place.

    Args:
        data: the encoded chunk.
        kind: of the store.
        out: contiguous slices of the volume; they are filled.

    Raises:
        StoreError: the data is damaged, or holds another number of voxels.
    """
    if kind == "jpeg":
        decode_gray(data, out.reshape(-1, out.shape[2]))
        return
    # Blosc's header; a smaller content would leave the rest of `out` as it was.
    if len(data) < 16 or int.from_bytes(data[4:8], "little") != out.nbytes:
        raise StoreError(f"does not hold {out.nbytes} bytes of voxels", mend=MEND_DATA)
    try:
        blosc.decompress(data, out)
    except (RuntimeError, ValueError) as error:
        raise StoreError(f"holds no valid blosc data ({error})", mend=MEND_DATA) from error
