"""Oblique scans: trilinear resampling onto the axes of the patient."""

import math
from typing import Any

import numpy as np
import SimpleITK
from jaxtyping import Float32, Float64, Shaped

from ctprep.affines import compose, invert, map_points
from ctprep.orientation import nearest_world_axes
from ctprep.store.attributes import PAD_HU
from ctprep.store.errors import SourceError
from ctprep.volume import Volume

ITK: Any = SimpleITK  # it ships no types
FEW_VOXELS = 1 << 26
MAX_GROWTH = 30
"""A thin slab in a corner-to-corner box grows most; damaged axes grow without bound."""
SLAB = 16
"""Slices made at a time: the work array is float32."""


def onto_axes(volume: Volume) -> Volume:
    """Resample a rotated volume so that its array axes follow the world axes.

    Args:
        volume: HU in int16 on rectangular axes.

    Returns:
        The volume on the same spacing, large enough to hold all of it; PAD_HU around it.

    Raises:
        SourceError: `too-large`.
    """
    affine_ras, shape = enclosing_grid(volume)
    index_map = compose(invert(volume.affine_ras), affine_ras)
    if math.prod(shape) > max(FEW_VOXELS, MAX_GROWTH * volume.hu.size):
        raise SourceError(
            f"the axes are so oblique that {volume.hu.shape} voxels would become {shape}",
            verdict="too-large",
            mend="reconstruct along the axes of the patient, or leave it out",
        )
    hu = resample_linear(volume.hu, index_map, shape, fill=PAD_HU)
    return Volume(hu=hu, affine_ras=affine_ras)


def resample_linear(
    voxels: Shaped[np.ndarray, "slice row column"],
    index_map: Float64[np.ndarray, "4 4"],
    shape: tuple[int, int, int],
    *,
    fill: int,
) -> Shaped[np.ndarray, "new_slice new_row new_column"]:
    """Resample trilinearly at any affine map of indices.

    Args:
        voxels: of an integer type.
        index_map: index of a new voxel to that of an old one, so that no world convention of the
            image library is involved.
        shape: of the result.
        fill: value of voxels whose center lies outside every old voxel; in the outer half of an
            old voxel at the border its value holds.

    Returns:
        The new voxels, of the type of the old, rounded.
    """
    source = ITK.GetImageFromArray(np.ascontiguousarray(voxels))
    resampled = np.empty(shape, voxels.dtype)
    for first in range(0, shape[0], SLAB):
        last = min(first + SLAB, shape[0])
        slab = _resample_slab(source, index_map, first, (last - first, *shape[1:]), fill)
        np.rint(slab, out=slab)
        resampled[first:last] = slab
    return resampled


def enclosing_grid(volume: Volume) -> tuple[Float64[np.ndarray, "4 4"], tuple[int, int, int]]:
    """Lay the smallest axis-aligned grid of the same spacing around a volume.

    Args:
        volume: HU in any rotation.

    Returns:
        Its affine, in the volume's nearest axis codes, and its shape.
    """
    nearest = nearest_world_axes(volume.affine_ras)
    last = np.array(volume.hu.shape) - 1
    corners = np.array(np.meshgrid(*([0, n] for n in last), indexing="ij")).reshape(3, -1)
    world = map_points(volume.affine_ras, corners.T.astype(np.float64)).T
    affine_ras = np.eye(4)
    affine_ras[:3, :3] = 0
    shape = []
    for axis, spacing_mm in enumerate(volume.spacing_mm):
        line = world[nearest[axis]]
        forward = volume.affine_ras[nearest[axis], axis] > 0
        affine_ras[nearest[axis], axis] = spacing_mm if forward else -spacing_mm
        affine_ras[nearest[axis], 3] = line.min() if forward else line.max()
        # A hair of a voxel is rounding, not another voxel.
        shape.append(int(np.ceil((line.max() - line.min()) / spacing_mm - 1e-6)) + 1)
    return affine_ras, (shape[0], shape[1], shape[2])


def _resample_slab(
    source: object,
    index_map: Float64[np.ndarray, "4 4"],
    first: int,
    shape: tuple[int, int, int],
    fill: int,
) -> Float32[np.ndarray, "slice row column"]:
    # The library orders axes (column, row, slice).
    matrix = index_map[:3, :3][::-1, ::-1]
    offset = (index_map[:3, 3] + index_map[:3, 0] * first)[::-1]
    transform = ITK.AffineTransform(3)
    transform.SetMatrix(matrix.ravel().tolist())
    transform.SetTranslation(offset.tolist())
    resampler = ITK.ResampleImageFilter()
    resampler.SetSize(shape[::-1])
    resampler.SetTransform(transform)
    resampler.SetInterpolator(ITK.sitkLinear)
    resampler.SetDefaultPixelValue(float(fill))
    # Straight to int16 it would truncate.
    resampler.SetOutputPixelType(ITK.sitkFloat32)
    slab: Float32[np.ndarray, "slice row column"]
    slab = ITK.GetArrayFromImage(resampler.Execute(source))
    return slab
