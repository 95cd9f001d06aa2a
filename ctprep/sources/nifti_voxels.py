"""The voxels of a NIfTI file: as they are stored, every byte of the file accounted for."""

from gzip import GzipFile
from io import BufferedIOBase

import numpy as np
from jaxtyping import Shaped

from ctprep.sources.files import SourceFile
from ctprep.sources.nifti_header import (
    NiftiHeader,
    UnpackError,
    damaged,
    open_unpacked,
)

CHUNK = 1 << 20
MAX_BEHIND = 1 << 20
"""Bytes behind the voxels that are read, for the checksum, before the file counts as a bomb."""


def read_voxels(file: SourceFile, header: NiftiHeader) -> Shaped[np.ndarray, "z y x"]:
    """Read the values of a file, scaled as its header says.

    Never more is unpacked than the header promises, and the checksum of a packed file is
    compared.

    Args:
        file: the file, compressed by gzip or not.
        header: of the same file.

    Returns:
        The stored array; where the header scales, float32, or float64 if it was that.

    Raises:
        SourceError: `truncated`, or `unreadable` where the checksum is wrong.
    """
    stored = _read_stored(file, header)
    if header.slope == 1 and header.intercept == 0:
        return stored
    wide = np.float64 if stored.dtype == np.float64 else np.float32
    scaled = np.empty(stored.shape, wide)
    # What overflows is infinite, and is refused for that.
    with np.errstate(over="ignore", invalid="ignore"):
        for plane, values in zip(scaled, stored, strict=True):
            plane[...] = values * np.float64(header.slope) + header.intercept
    return scaled


def _read_stored(source: SourceFile, header: NiftiHeader) -> Shaped[np.ndarray, "z y x"]:
    # The file's fastest axis x is the array's last.
    stored = np.empty(header.shape[::-1], header.dtype)
    try:
        with open_unpacked(source) as file:
            file.seek(header.offset)
            count = _fill(file, stored)
            # Reading to the end is what compares the checksum.
            behind = len(file.read(MAX_BEHIND + 1)) if isinstance(file, GzipFile) else 0
    except EOFError as error:
        raise damaged("the file ends early", "truncated") from error
    except UnpackError as error:
        raise damaged("the file is damaged: it does not unpack", "unreadable") from error
    if count < stored.nbytes:
        what = f"the file ends early: {stored.nbytes} bytes of voxels are promised, {count} there"
        raise damaged(what, "truncated")
    if behind > MAX_BEHIND:
        raise damaged("the file unpacks to more than its header promises", "unreadable")
    return stored


def _fill(file: BufferedIOBase, array: Shaped[np.ndarray, "z y x"]) -> int:
    buffer = array.reshape(-1).view(np.uint8).data
    count = 0
    while count < len(buffer):
        # The unpacker makes a copy of what is asked for at once.
        read = file.readinto(buffer[count : count + CHUNK])
        if not read:
            break
        count += read
    return count
