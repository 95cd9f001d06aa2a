"""The zarr codec `jpeg` for gray chunks, and the two functions it is made of."""

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np
import simplejpeg
from jaxtyping import UInt8
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer

from ctprep.store.errors import StoreError

DEFAULT_QUALITY = 90
LONGEST_SIDE = 65500
"""Most rows or columns that libjpeg takes."""

MEND_CODEC = "the codec takes 2-D uint8 chunks, and `quality` alone; put `reshape` before it"
MEND_DATA = "the volume is damaged: make it again"


def encode_gray(gray: UInt8[np.ndarray, "row column"], quality: int) -> bytes:
    """Compress one gray picture as baseline JPEG.

    Args:
        gray: levels 0 to 255.
        quality: libjpeg's scale, 1 to 100.

    Raises:
        StoreError: the picture is empty, or longer than JPEG allows.
    """
    if not 0 < min(gray.shape) <= max(gray.shape) <= LONGEST_SIDE:
        raise StoreError(
            f"a JPEG cannot be {gray.shape} in size", mend=f"keep sides from 1 to {LONGEST_SIDE}"
        )
    picture = np.ascontiguousarray(gray)[:, :, None]
    data: bytes = simplejpeg.encode_jpeg(
        picture, quality=max(1, quality), colorspace="GRAY", colorsubsampling="Gray"
    )
    return data


def decode_gray(data: bytes | memoryview, out: UInt8[np.ndarray, "row column"]) -> None:
    """Decompress one gray JPEG with the accurate DCT.

    Args:
        data: the JPEG.
        out: contiguous array of exactly the picture's size; it is filled.

    Raises:
        StoreError: not a whole gray JPEG, or of another size than `out`.
    """
    try:
        rows, columns, colorspace, _ = simplejpeg.decode_jpeg_header(data)
        # Before decoding: a smaller picture would leave the rest of `out` as it was, unnoticed.
        _check_picture((rows, columns), colorspace, out.shape)
        simplejpeg.decode_jpeg(
            data, colorspace="GRAY", fastdct=False, fastupsample=False, buffer=out
        )
    except StoreError:
        raise
    except ValueError as error:
        raise StoreError(f"holds no valid JPEG ({error})", mend=MEND_DATA) from error


def _check_picture(shape: tuple[int, int], colorspace: str, expected: tuple[int, ...]) -> None:
    if shape != expected or colorspace != "Gray":
        raise StoreError(
            f"holds a {colorspace} JPEG of shape {shape} in place of a gray one of {expected}",
            mend=MEND_DATA,
        )


@dataclass(frozen=True)
class JpegCodec(ArrayBytesCodec):
    """A 2-D gray chunk as one JPEG.

    Source:
        zarr-extensions pull request 66 (draft), the grayscale part.
    """

    is_fixed_size = False

    quality: int = DEFAULT_QUALITY

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "JpegCodec":
        """Read the codec from an array's metadata.

        Raises:
            StoreError: the configuration asks for color, or is not one of `jpeg`.
        """
        configuration = data.get("configuration", {})
        quality = (
            configuration.get("quality", DEFAULT_QUALITY)
            if isinstance(configuration, dict) and set(configuration) <= {"quality"}
            else None
        )
        if type(quality) is not int or not 0 <= quality <= 100:
            raise StoreError(f"codec `jpeg` is configured as {configuration!r}", mend=MEND_CODEC)
        return cls(quality)

    def to_dict(self) -> dict[str, Any]:
        """Give the codec as array metadata holds it."""
        return {"name": "jpeg", "configuration": {"quality": self.quality}}

    def _encode_sync(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        _check_chunk(chunk_spec)
        data = encode_gray(chunk_data.as_numpy_array(), self.quality)
        return chunk_spec.prototype.buffer.from_bytes(data)

    def _decode_sync(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        _check_chunk(chunk_spec)
        gray = np.empty(chunk_spec.shape, np.uint8)
        decode_gray(chunk_data.to_bytes(), gray)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(gray)

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        return await asyncio.to_thread(self._encode_sync, chunk_data, chunk_spec)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)

    def compute_encoded_size(self, input_byte_length: int, _chunk_spec: ArraySpec) -> int:
        """A JPEG's size depends on its content.

        Raises:
            NotImplementedError: always, which is how zarr is told.
        """
        raise NotImplementedError


def _check_chunk(spec: ArraySpec) -> None:
    # Not in `evolve_from_array_spec`: zarr shows that one the shape from before `reshape`.
    dtype = spec.dtype.to_native_dtype()
    if len(spec.shape) != 2 or dtype != np.uint8:
        raise StoreError(
            f"codec `jpeg` was given a chunk of shape {spec.shape} and type {dtype}",
            mend=MEND_CODEC,
        )
