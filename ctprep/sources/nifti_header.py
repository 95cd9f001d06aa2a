"""The NIfTI header: shape, type and the affine that the file declares."""

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from ctprep.store.errors import SourceError

NIFTI1_BYTES, NIFTI2_BYTES = 348, 540
BITS_A_BYTE = 8


@dataclass(frozen=True)
class _Layout:
    """Byte offsets and struct codes of one version."""

    dim: tuple[int, str]
    bitpix: tuple[int, str]
    vox_offset: tuple[int, str]
    pixdim: tuple[int, str]
    qform_code: tuple[int, str]
    sform_code: tuple[int, str]
    quaternion: tuple[int, str]
    srow: tuple[int, str]


LAYOUTS = {
    NIFTI1_BYTES: _Layout(
        dim=(40, "8h"),
        bitpix=(72, "h"),
        vox_offset=(108, "f"),
        pixdim=(76, "8f"),
        qform_code=(252, "h"),
        sform_code=(254, "h"),
        quaternion=(256, "6f"),
        srow=(280, "12f"),
    ),
    NIFTI2_BYTES: _Layout(
        dim=(16, "8q"),
        bitpix=(14, "h"),
        vox_offset=(168, "q"),
        pixdim=(104, "8d"),
        qform_code=(344, "i"),
        sform_code=(348, "i"),
        quaternion=(352, "6d"),
        srow=(400, "12d"),
    ),
}


@dataclass(frozen=True)
class NiftiHeader:
    """What is needed of a header.

    Args:
        shape: voxels along the file's x, y and z.
        bytes_a_voxel: as stored.
        nbytes: size of the unpacked file.
        affine_ras: index (x, y, z) to RAS+ mm.
    """

    shape: tuple[int, int, int]
    bytes_a_voxel: int
    nbytes: int
    affine_ras: Float64[np.ndarray, "4 4"]


def read_nifti_header(path: Path) -> NiftiHeader:
    """Read the header of a NIfTI-1 or NIfTI-2 file, compressed or not.

    Args:
        path: the file.

    Raises:
        SourceError: `truncated`, `unreadable`, `not-a-volume`, `no-spacing`, `no-orientation`.

    Source:
        nifti1.h, "3D IMAGE (VOLUME) ORIENTATION AND LOCATION IN SPACE".
    """
    content = _start(path)
    for order in "<>":
        size = struct.unpack_from(f"{order}i", content)[0] if len(content) >= 4 else 0
        if size in LAYOUTS and len(content) >= size:
            return _parse(content, order, LAYOUTS[size])
    raise SourceError(
        "the file holds no whole NIfTI header",
        verdict="truncated" if len(content) < NIFTI1_BYTES else "unreadable",
        mend="fetch the file again",
    )


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if compressed else path.open("rb") as file:
            return file.read(NIFTI2_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(
            "the file cannot be unpacked", verdict="truncated", mend="fetch the file again"
        ) from error


def _parse(content: bytes, order: str, layout: _Layout) -> NiftiHeader:
    def get(place: tuple[int, str]) -> tuple[int | float, ...]:
        return struct.unpack_from(order + place[1], content, place[0])

    rank, *lengths = (int(n) for n in get(layout.dim))
    if not 3 <= rank <= 7 or any(n != 1 for n in lengths[3:rank]) or min(lengths[:3]) < 1:
        raise SourceError(
            f"an image of {rank} dimensions {tuple(lengths[: max(rank, 0)])} is no single volume",
            verdict="not-a-volume",
            mend="export one three-dimensional volume a file",
        )
    affine = _affine(
        pixdim=np.array(get(layout.pixdim), np.float64),
        qform_code=int(get(layout.qform_code)[0]),
        sform_code=int(get(layout.sform_code)[0]),
        quaternion=np.array(get(layout.quaternion), np.float64),
        srow=np.array(get(layout.srow), np.float64).reshape(3, 4),
    )
    bytes_a_voxel = max(int(get(layout.bitpix)[0]) // BITS_A_BYTE, 1)
    shape = (lengths[0], lengths[1], lengths[2])
    nbytes = int(get(layout.vox_offset)[0]) + math.prod(shape) * bytes_a_voxel
    return NiftiHeader(shape, bytes_a_voxel, nbytes, affine)


def _affine(
    *,
    pixdim: Float64[np.ndarray, "8"],
    qform_code: int,
    sform_code: int,
    quaternion: Float64[np.ndarray, "6"],
    srow: Float64[np.ndarray, "3 4"],
) -> Float64[np.ndarray, "4 4"]:
    affine = np.eye(4)
    if sform_code > 0:
        affine[:3] = srow
    elif qform_code > 0:
        # A factor of -1 in pixdim[0] turns the third axis.
        handed = np.array([1, 1, -1 if pixdim[0] < 0 else 1])
        affine[:3, :3] = _rotation(quaternion[:3]) * (pixdim[1:4] * handed)
        affine[:3, 3] = quaternion[3:]
    else:
        raise SourceError(
            "the header declares no orientation (qform and sform codes are 0)",
            verdict="no-orientation",
            mend="convert the scan again with its orientation, for instance with dcm2niix",
        )
    if not np.isfinite(affine).all() or (np.abs(affine[:3, :3]).sum(axis=0) == 0).any():
        raise SourceError(
            "the header declares a spacing of zero, or none",
            verdict="no-spacing",
            mend="convert the scan again with its spacing",
        )
    return affine


def _rotation(bcd: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "3 3"]:
    b, c, d = bcd
    a = np.sqrt(max(1 - (b * b + c * c + d * d), 0))
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
        ]
    )
