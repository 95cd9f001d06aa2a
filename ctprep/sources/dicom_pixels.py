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
            return pixel_array(dataset, index=header.frame or 0)

    return native if dataset.file_meta.TransferSyntaxUID in NATIVE_SYNTAXES else compressed


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
