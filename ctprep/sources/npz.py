"""NPZ in the layout of RAD-ChestCT: an array alone, its geometry fixed by the data set."""

import math
import warnings
import zipfile
import zlib
from io import BufferedIOBase, BytesIO
from pathlib import PurePosixPath
from tokenize import TokenError

import numpy as np
from jaxtyping import Shaped
from numpy.lib import format as npy

from ctprep.hu import decide_hu
from ctprep.sources.archives import MAX_DEFLATE_RATIO
from ctprep.sources.files import SourceFile
from ctprep.sources.original import geometry_of, peak_bytes, read_of_file
from ctprep.sources.source import Found, Read
from ctprep.store.errors import SourceError

MEMBER = "ct"
# RuntimeError is what an encrypted archive raises, NotImplementedError an unknown compression.
DAMAGES = (
    *(zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError),
    *(ValueError, TypeError, SyntaxError, TokenError, OverflowError),
)
"""What the libraries raise on damaged archives and array headers."""
SPACING_MM = 0.8
AFFINE_RAS = np.array(
    [
        [0.0, 0.0, -SPACING_MM, 0.0],
        [0.0, -SPACING_MM, 0.0, 0.0],
        [-SPACING_MM, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
"""Axis 0 runs from superior to inferior, 1 from anterior to posterior, 2 from right to left.

Source: Draelos et al. 2021, and the README of the data set (Zenodo 6406114).
"""


def find_npz(file: SourceFile) -> Found:
    """Describe a file from the header of its array.

    Args:
        file: the file.

    Raises:
        SourceError: it holds no volume called `ct`.
    """
    shape, dtype = _header(file)
    if len(shape) != 3 or min(shape) < 1 or dtype.kind not in "iuf":
        raise SourceError(
            f"an array of {dtype} and shape {shape} is no volume",
            verdict="not-a-volume",
            mend="save one three-dimensional array of numbers under the key `ct`",
        )
    return Found(
        format="npz",
        paths=(file,),
        name=file.name,
        key=PurePosixPath(file.name).stem,
        patient_key=PurePosixPath(file.name).stem,
        peak_bytes=peak_bytes(int(np.prod(shape)), dtype.itemsize),
        geometry=geometry_of((shape[0], shape[1], shape[2]), AFFINE_RAS),
    )


def read_npz(found: Found, *, hu_policy: str) -> Read:
    """Read one file.

    Args:
        found: of format `npz`.
        hu_policy: `auto`, `rescale` or `already`.

    Raises:
        SourceError: it is damaged, or not HU.
    """
    file = found.paths[0]
    hu, decision = decide_hu(_load(file), 1, 0, hu_policy)
    return read_of_file(found, hu, AFFINE_RAS.copy(), decision)


def _header(file: SourceFile) -> tuple[tuple[int, ...], np.dtype]:
    try:
        with (
            _seekable(file) as stream,
            zipfile.ZipFile(stream) as archive,
            archive.open(f"{MEMBER}.npy") as member,
        ):
            version = npy.read_magic(member)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            # numpy warns of old headers, and Python, which parses them, of odd ones.
            with warnings.catch_warnings(action="ignore"):
                shape, _, dtype = read(member)
            promised = member.tell() + math.prod(shape) * dtype.itemsize
            _check_size(archive.getinfo(member.name), file, promised)
            return shape, dtype
    except KeyError as error:
        raise SourceError(
            f"the archive has no array called {MEMBER!r}",
            verdict="not-a-scan",
            mend="save the volume under the key `ct`, or leave the file out",
        ) from error
    except DAMAGES as error:
        raise _damaged() from error


def _check_size(info: zipfile.ZipInfo, file: SourceFile, promised: int) -> None:
    """Compare what is promised with what can be there, before memory is asked for."""
    ratio = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: MAX_DEFLATE_RATIO}.get(
        info.compress_type, 0
    )
    possible = min(info.compress_size, file.size) * ratio
    if promised != info.file_size or promised > possible:
        raise _damaged()


def _load(file: SourceFile) -> Shaped[np.ndarray, "slice row column"]:
    try:
        # Never unpickle: an object array would run code.
        with (
            warnings.catch_warnings(action="ignore"),
            _seekable(file) as stream,
            np.load(stream, allow_pickle=False) as archive,
        ):
            voxels: Shaped[np.ndarray, "slice row column"] = archive[MEMBER]
    except (KeyError, *DAMAGES) as error:
        raise _damaged() from error
    return voxels


def _seekable(file: SourceFile) -> BufferedIOBase:
    # The directory of a zip is at its end: in an archive each way back would unpack it again.
    return file.open() if file.member is None else BytesIO(file.read_bytes())


def _damaged() -> SourceError:
    return SourceError(
        "the archive is damaged, or holds no plain array",
        verdict="unreadable",
        mend="fetch the file again",
    )
