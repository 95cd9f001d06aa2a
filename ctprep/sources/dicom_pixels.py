"""DICOM pixels: the stored values of each slice, into one array."""

import warnings
from collections.abc import Sequence
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from ctprep.sources.dicom_decoder import DecodeError, decode_compressed
from ctprep.sources.dicom_header import Header, read_dataset
from ctprep.store.errors import SourceError

MOST_BYTES_A_PIXEL = 4
NATIVE_SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)


def decode_stack(
    slices: Sequence[Header],
) -> tuple[Shaped[np.ndarray, "slice row column"], tuple[str, ...]]:
    """Decode the slices of a stack one by one.

    Args:
        slices: headers in reading order, of one shape.

    Returns:
        Stored values, before rescale; and the SHA-256 of every file.

    Raises:
        SourceError: a slice cannot be decoded (`undecodable`).
    """
    # 16 unsigned bits do not fit the common case, and are rare.
    dtype = np.int16 if all(header.fits_int16 for header in slices) else np.int32
    stored = np.empty((len(slices), *slices[0].shape), dtype)
    hashes = []
    for index, header in enumerate(slices):
        content = header.path.read_bytes()
        hashes.append(sha256(content).hexdigest())
        pixels = decode_slice(header.path, content, header.shape)
        _check_range(pixels, dtype, header.path)
        stored[index] = pixels
    return stored, tuple(hashes)


def _check_range(
    pixels: Shaped[np.ndarray, "row column"], dtype: type[np.signedinteger], path: Path
) -> None:
    low, high = int(pixels.min()), int(pixels.max())
    limits = np.iinfo(dtype)
    # An assignment would wrap without an error.
    if low < limits.min or high > limits.max:
        raise SourceError(
            f"the pixels of {path.name} run from {low} to {high}, beyond what its header says",
            verdict="undecodable",
            mend="export the series again",
        )


def decode_slice(
    path: Path, content: bytes, shape: tuple[int, int]
) -> Shaped[np.ndarray, "row column"]:
    """Decode the pixels of one file.

    Args:
        path: its name, for the error.
        content: its bytes.
        shape: rows and columns the header promises.

    Raises:
        SourceError: the pixels cannot be decoded (`undecodable`).
    """
    dataset = read_dataset(BytesIO(content))
    reason = "it has no pixels"
    if dataset is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                pixels: Shaped[np.ndarray, "row column"] = (
                    decode_compressed(content, shape[0] * shape[1] * MOST_BYTES_A_PIXEL)
                    if _is_compressed(dataset)
                    else dataset.pixel_array
                )
            except DecodeError as error:
                reason = str(error)
            except Exception as error:  # each decoder fails in its own way
                reason = type(error).__name__
            else:
                if pixels.shape == shape:
                    return pixels
                reason = f"decoded to {pixels.shape}, the header says {shape}"
    raise SourceError(
        f"the pixels of {path.name} cannot be decoded: {reason}",
        verdict="undecodable",
        mend="export the series again, uncompressed",
    )


def _is_compressed(dataset: Dataset) -> bool:
    syntax = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
    return syntax is not None and syntax not in NATIVE_SYNTAXES
