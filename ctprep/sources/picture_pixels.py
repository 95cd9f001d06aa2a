"""One gray picture: its size from its header, its pixels once that size is known to be sane."""

import struct
import warnings
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import simplejpeg
from jaxtyping import UInt8
from PIL import Image

from ctprep.sources.files import SourceFile
from ctprep.store.errors import SourceError

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"
START_BYTES = 1 << 16
MAX_SIDE = 4096
"""Rows or columns of a slice; CT is at most 2048 wide."""
MAX_FILE_BYTES = 4 * MAX_SIDE * MAX_SIDE
PNG_GRAY, PNG_RGB = 0, 2
EXIF_ORIENTATION = 0x0112
EXIF_UPRIGHT = 1
# What the picture library raises on damaged metadata, by its own admission anything of these.
FAULTS = (OSError, ValueError, SyntaxError, EOFError, TypeError, KeyError, struct.error)


@dataclass(frozen=True)
class PictureHeader:
    """What the beginning of a picture promises."""

    shape: tuple[int, int]
    """Rows and columns."""
    is_png: bool
    is_color: bool


def read_picture_header(path: SourceFile) -> PictureHeader:
    """Read the size of a picture, and refuse what no slice can be.

    Args:
        path: a JPEG or PNG file.

    Raises:
        SourceError: `undecodable`, `not-gray`, `sixteen-bit` or `oversized`.
    """
    with path.open() as file:
        start = file.read(START_BYTES)
        if start.startswith(PNG_MAGIC):
            header = _png_header(start)
        elif start.startswith(JPEG_MAGIC):
            # A color profile or a thumbnail may come before the size.
            found = _jpeg_header(start) or _jpeg_header(start + file.read(MAX_FILE_BYTES))
            if found is None:
                raise _undecodable("no whole JPEG header")
            header = found
        else:
            raise _undecodable("neither JPEG nor PNG, whatever its name says")
    if not 0 < min(header.shape) <= max(header.shape) <= MAX_SIDE:
        raise SourceError(
            f"a picture of {header.shape[0]} x {header.shape[1]} pixels is no slice of a CT",
            verdict="oversized",
            mend=f"give slices of at most {MAX_SIDE} rows and columns",
        )
    return header


def decode_picture(path: SourceFile, header: PictureHeader) -> UInt8[np.ndarray, "row column"]:
    """Decode a picture whose header has been checked.

    JPEG is decoded with the accurate DCT. The picture is taken as it is stored.

    Args:
        path: the same file.
        header: of the same file.

    Returns:
        Gray levels 0 to 255.

    Raises:
        SourceError: `undecodable` when damaged or truncated, `not-gray` when the channels of a
            color picture differ, `rotated` when it asks to be turned, `changed`.
    """
    with path.open() as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise _undecodable(f"a slice of over {MAX_FILE_BYTES} bytes")
    again = _png_header(data) if data.startswith(PNG_MAGIC) else _jpeg_header(data)
    if again != header:
        raise SourceError(
            "a picture is another than when it was found", verdict="changed", mend="run again"
        )
    pixels = _decode_png(data, header) if header.is_png else _decode_jpeg(data, header)
    _check_upright(data)
    if not header.is_color:
        return pixels.reshape(header.shape)
    gray: UInt8[np.ndarray, "row column"] = pixels[:, :, 0]
    if not (pixels == gray[:, :, None]).all():
        raise _not_gray("the color channels of a picture differ")
    return np.ascontiguousarray(gray)


def _png_header(start: bytes) -> PictureHeader:
    """Read the IHDR chunk, which a PNG file begins with.

    Source:
        PNG specification (third edition), 11.2.1.
    """
    if len(start) < 33 or start[12:16] != b"IHDR":
        raise _undecodable("no PNG header")
    columns, rows, bits, color_type = struct.unpack(">IIBB", start[16:26])
    if bits == 16:
        raise SourceError(
            "a PNG of 16 bits: what HU its levels stand for is not known",
            verdict="sixteen-bit",
            mend="convert the stack to NIfTI with its HU, or export windowed pictures of 8 bits",
        )
    if bits != 8 or color_type not in (PNG_GRAY, PNG_RGB):
        raise _not_gray(f"a PNG of {bits} bits and color type {color_type}")
    return PictureHeader((rows, columns), is_png=True, is_color=color_type == PNG_RGB)


def _jpeg_header(start: bytes) -> PictureHeader | None:
    try:
        rows, columns, colorspace, _ = simplejpeg.decode_jpeg_header(start)
    except ValueError:
        return None
    if colorspace not in ("Gray", "YCbCr", "RGB"):
        raise _not_gray(f"a JPEG in {colorspace}")
    return PictureHeader((rows, columns), is_png=False, is_color=colorspace != "Gray")


def _decode_jpeg(data: bytes, header: PictureHeader) -> UInt8[np.ndarray, "row column channel"]:
    try:
        pixels: UInt8[np.ndarray, "row column channel"] = simplejpeg.decode_jpeg(
            data,
            colorspace="RGB" if header.is_color else "GRAY",
            fastdct=False,
            fastupsample=False,
        )
    except ValueError as error:
        raise _undecodable(str(error)) from error
    return pixels


def _decode_png(data: bytes, header: PictureHeader) -> UInt8[np.ndarray, "row column *channel"]:
    _check_chunks(data)
    try:
        with Image.open(BytesIO(data), formats=("PNG",)) as image:
            if getattr(image, "is_animated", False):
                raise _undecodable("an animated PNG")
            pixels: UInt8[np.ndarray, "row column *channel"] = np.asarray(image)
    except SourceError:
        raise
    except FAULTS as error:
        raise _undecodable("its pixels do not unpack") from error
    if pixels.shape[:2] != header.shape:
        raise _undecodable("its pixels are of another size than its header says")
    return pixels


def _check_chunks(data: bytes) -> None:
    # The library skips the checksums of the pixels, so that a flipped bit would pass unnoticed.
    place, kind = len(PNG_MAGIC), b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", data[place : place + 8].ljust(8, b"\0"))
        end = place + 8 + length
        if end + 4 > len(data):
            raise _undecodable("the file ends early")
        if zlib.crc32(data[place + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise _undecodable("a checksum is wrong")
        place = end + 4


def _check_upright(data: bytes) -> None:
    try:
        with warnings.catch_warnings():
            # Its warnings quote metadata.
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(data), formats=("JPEG", "PNG")) as image:
                exif: Any = image.getexif()
                turn = exif.get(EXIF_ORIENTATION, EXIF_UPRIGHT)
    except FAULTS as error:
        raise _undecodable("its metadata is damaged") from error
    if turn != EXIF_UPRIGHT:
        raise SourceError(
            "a picture asks to be turned before it is shown (EXIF orientation)",
            verdict="rotated",
            mend="save the pictures upright, so that the axis codes mean what is seen",
        )


def _undecodable(what: str) -> SourceError:
    return SourceError(
        f"a picture cannot be decoded: {what}", verdict="undecodable", mend="export it again"
    )


def _not_gray(what: str) -> SourceError:
    return SourceError(
        f"no gray picture of 8 bits: {what}",
        verdict="not-gray",
        mend="export gray pictures without palette, transparency or colored marks",
    )
