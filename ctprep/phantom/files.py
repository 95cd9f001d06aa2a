"""Volumes to NIfTI and RAD-ChestCT's NPZ, byte for byte the same every time."""

import gzip
import io
import struct
import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int16

NPZ_SPACING_MM = 0.8
"""RAD-ChestCT is 0.8 mm isotropic by definition; the files do not say so."""


def orient(
    hu: Int16[np.ndarray, "slice row column"],
    spacing_mm: tuple[float, float, float],
    axis_codes: str,
) -> tuple[Int16[np.ndarray, "first second third"], Float64[np.ndarray, "4 4"]]:
    """Turn a volume from SPL to other axes.

    Args:
        hu: slices run up, rows to the back, columns to the left.
        spacing_mm: in the order of `hu`.
        axis_codes: direction in which each new index grows, such as `RAS`.

    Returns:
        The volume on the new axes, and the affine from its index to RAS+ mm.
    """
    old = {"S": 0, "I": 0, "P": 1, "A": 1, "L": 2, "R": 2}
    order = [old[code] for code in axis_codes]
    turned = hu.transpose(order)
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, code in enumerate(axis_codes):
        if code in "IAR":
            turned = np.flip(turned, axis)
        world = 2 - order[axis]
        step = spacing_mm[order[axis]] * (1 if code in "RAS" else -1)
        affine[world, axis] = step
        affine[world, 3] -= step * (turned.shape[axis] - 1) / 2
    return turned, affine


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


def write_npz(path: Path, ct: Int16[np.ndarray, "slice row column"]) -> None:
    """Write a volume as RAD-ChestCT does: one array `ct`, nothing about its geometry.

    Args:
        path: ends in `.npz`.
        ct: HU at 0.8 mm, slices run down, rows to the back, columns to the left.
    """
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(ct), allow_pickle=False)
    entry = zipfile.ZipInfo("ct.npy", date_time=(1980, 1, 1, 0, 0, 0))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(entry, buffer.getvalue(), zipfile.ZIP_DEFLATED, 1)
