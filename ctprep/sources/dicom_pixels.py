"""DICOM pixels: the stored values of each slice, into one array."""

import warnings
from collections import defaultdict
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO

import numpy as np
from jaxtyping import Int16, Int32, Shaped
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from ctprep.sources.dicom_decoder import DecodeError, decode_compressed
from ctprep.sources.dicom_header import PIXEL_TAGS, Header, headers_of, read_dataset
from ctprep.sources.files import SourceFile
from ctprep.sources.source import Found, changed_source
from ctprep.store.errors import SourceError

Stored = Int16[np.ndarray, "slice row column"] | Int32[np.ndarray, "slice row column"]
Decode = Callable[[Header], Shaped[np.ndarray, "row column"]]
MOST_BYTES_A_PIXEL = 4
NATIVE_SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)


def read_slices(found: Found) -> tuple[tuple[Header, ...], Stored, tuple[str, ...]]:
    """Read every file of a series once: its header, its pixels and its hash are of the same bytes.

    Args:
        found: of format `dicom`.

    Returns:
        The header of each slice; stored values, before rescale; the SHA-256 of each file.

    Raises:
        SourceError: a slice cannot be decoded (`undecodable`), or is not what it was when it was
            found (`changed`).
    """
    wanted: dict[int, list[tuple[int, int | None]]] = defaultdict(list)
    for slot, (where, frame) in enumerate(found.frames):
        wanted[where].append((slot, frame))
    headers: list[Header] = [None] * len(found.frames)  # type: ignore[list-item]
    stored: Stored | None = None
    hashes = []
    for number, file in enumerate(found.paths):
        content = file.read_bytes()
        hashes.append(sha256(content).hexdigest())
        dataset = read_dataset(BytesIO(content), specific_tags=PIXEL_TAGS)
        if dataset is None:
            raise changed_source()
        frames = {header.frame: header for header in headers_of(file, dataset)}
        decode = _decoder(dataset, content)
        for slot, frame in wanted[number]:
            header = frames.get(frame)
            if header is None:
                raise changed_source()
            headers[slot] = header
            if stored is None:
                stored = np.empty((len(headers), *header.shape), np.int16)
            stored = _wide_enough(stored, header)
            stored[slot] = _checked(_decode(decode, header), stored, header)
    if stored is None:
        raise changed_source()
    return tuple(headers), stored, tuple(hashes)


def decode_header(header: Header) -> Shaped[np.ndarray, "row column"]:
    """Decode the pixels that a header describes.

    Args:
        header: of one slice.

    Raises:
        SourceError: they cannot be decoded (`undecodable`).
    """
    content = header.file.read_bytes()
    dataset = read_dataset(BytesIO(content), specific_tags=PIXEL_TAGS)
    if dataset is None:
        raise _undecodable(header.file, "it has no pixels")
    return _decode(_decoder(dataset, content), header)


def _wide_enough(stored: Stored, header: Header) -> Stored:
    if header.shape != stored.shape[1:]:
        raise changed_source()
    # 16 unsigned bits do not fit the common case, and are rare.
    return stored if header.fits_int16 else stored.astype(np.int32, copy=False)


def _checked(
    pixels: Shaped[np.ndarray, "row column"], stored: Stored, header: Header
) -> Shaped[np.ndarray, "row column"]:
    low, high = int(pixels.min()), int(pixels.max())
    limits = np.iinfo(stored.dtype)
    # An assignment would wrap without an error.
    if low < limits.min or high > limits.max:
        raise SourceError(
            f"the pixels of {header.file.basename} run from {low} to {high}, "
            "beyond what its header says",
            verdict="undecodable",
            mend="export the series again",
        )
    return pixels


def _decoder(dataset: Dataset, content: bytes) -> Decode:
    """Prepare to decode the frames of one file; what is compressed is decompressed once."""
    whole: list[Shaped[np.ndarray, "..."]] = []

    def compressed(header: Header) -> Shaped[np.ndarray, "row column"]:
        if not whole:
            rows, columns = header.shape
            pixels = decode_compressed(content, rows * columns * header.frames * MOST_BYTES_A_PIXEL)
            whole.append(pixels if header.frames > 1 else pixels[None])
        frame: Shaped[np.ndarray, "row column"] = whole[0][header.frame or 0]
        return frame

    def native(header: Header) -> Shaped[np.ndarray, "row column"]:
        rows, columns = header.shape
        promised = rows * columns * header.frames * header.bytes_allocated
        held = len(dataset.get("PixelData", b""))
        # The library takes the first pixels of too many, and so slants or cuts the picture.
        if held >= promised + columns * header.bytes_allocated:
            raise DecodeError(f"it holds {held} bytes, the header says {promised}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pixel_array(dataset, index=header.frame or 0, correct_unused_bits=False)

    syntax = dataset.file_meta.TransferSyntaxUID
    decode = native if syntax in NATIVE_SYNTAXES else compressed
    is_raw = syntax in (*NATIVE_SYNTAXES, RLELossless)
    return lambda header: _stored_values(decode(header), header, is_raw=is_raw)


def _stored_values(
    pixels: Shaped[np.ndarray, "row column"], header: Header, *, is_raw: bool
) -> Shaped[np.ndarray, "row column"]:
    """Take the bits that are stored out of those that are allocated.

    What stands in the others, such as an overlay, is no part of the value.

    Args:
        pixels: as they were decoded, of the sign that the header tells.
        header: of the slice.
        is_raw: whether they are the allocated bits as they were; most encodings hold values.

    Raises:
        DecodeError: it cannot be told which bits they are.

    Source:
        DICOM PS3.5, section 8.1.1.
    """
    bits, lowest = 8 * pixels.dtype.itemsize, header.high_bit + 1 - header.bits_stored
    highest = 1 << (header.bits_stored - (pixels.dtype.kind == "i"))
    below = -highest if pixels.dtype.kind == "i" else 0
    if (lowest == 0 or not is_raw) and pixels.min() >= below and pixels.max() < highest:
        return pixels
    if lowest > 0 and not is_raw:
        # Whether they are values or allocated bits is for no single slice to tell.
        raise DecodeError(f"its values go beyond {header.bits_stored} bits, and HighBit is odd")
    to_top = np.left_shift(pixels, bits - 1 - header.high_bit)
    values: Shaped[np.ndarray, "row column"] = np.right_shift(to_top, bits - header.bits_stored)
    if lowest > 0 or header.padding is None:
        return values
    # Writers mark pixels without data also by a number, mostly -2000, beyond the stored bits.
    first, last = header.padding
    signed = pixels.view(f"i{pixels.dtype.itemsize}")
    return np.where((signed >= first) & (signed <= last), signed, values)


def _decode(decode: Decode, header: Header) -> Shaped[np.ndarray, "row column"]:
    try:
        pixels = decode(header)
    except DecodeError as error:
        raise _undecodable(header.file, str(error)) from error
    except Exception as error:  # each decoder fails in its own way
        raise _undecodable(header.file, type(error).__name__) from error
    if pixels.shape != header.shape:
        reason = f"decoded to {pixels.shape}, the header says {header.shape}"
        raise _undecodable(header.file, reason)
    return pixels


def _undecodable(file: SourceFile, reason: str) -> SourceError:
    return SourceError(
        f"the pixels of {file.basename} cannot be decoded: {reason}",
        verdict="undecodable",
        mend="export the series again, uncompressed",
    )
