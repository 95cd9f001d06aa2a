"""Volumes to compressed NIfTI, byte for byte the same every time."""

import gzip
import struct
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int16


def write_nifti(
    path: Path, voxels: Int16[np.ndarray, "i j k"], affine_ras: Float64[np.ndarray, "4 4"]
) -> None:
    """Write a compressed NIfTI-1 file.

    Args:
        path: ends in `.nii.gz`.
        voxels: HU on any axes.
        affine_ras: index to RAS+ mm.

    Source:
        NIfTI-1 header, nifti1.h: 348 bytes, sform in `srow_x`, `srow_y` and `srow_z`.
    """
    spacing = np.linalg.norm(affine_ras[:3, :3], axis=0)
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *voxels.shape, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 4, 16)  # int16
    struct.pack_into("<8f", header, 76, 1, *spacing, 0, 0, 0, 0)
    struct.pack_into("<3f", header, 108, 352, 1, 0)  # data offset, slope, intercept
    struct.pack_into("<B", header, 123, 2)  # millimetres
    struct.pack_into("<2h", header, 252, 0, 1)  # no qform; sform in scanner coordinates
    struct.pack_into("<12f", header, 280, *affine_ras[:3].ravel())
    header[344:348] = b"n+1\0"
    data = np.asarray(voxels, "<i2").tobytes(order="F")
    path.write_bytes(gzip.compress(bytes(header) + data, compresslevel=1, mtime=0))
