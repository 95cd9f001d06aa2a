"""Geometry: any source orientation to the stored one, SPL, with every voxel where it was."""

import numpy as np
from jaxtyping import Float64

from ctprep.oblique import onto_axes
from ctprep.orientation import axis_moves, directions, nearest_world_axes
from ctprep.store.attributes import STORED_ORIENTATION
from ctprep.store.errors import SourceError
from ctprep.volume import Volume

MIN_MM, MAX_MM = 1e-3, 1e3
"""Spacing beyond these is damage: the numbers that follow from it would fill any memory."""
MAX_DRIFT_VOXELS = 0.5
"""How far a slope may carry the last voxel of an axis off before it counts as a slope."""


def to_canonical(volume: Volume) -> Volume:
    """Bring a volume to the stored orientation: slices to the head, rows back, columns left.

    Axis-aligned volumes are transposed and flipped, without touching a value; the array may be a
    view. Oblique ones are first resampled onto the axes, their surroundings padded.

    Args:
        volume: HU in any storage order.

    Returns:
        The volume with axis codes SPL.

    Raises:
        SourceError: the axes are not at right angles (`gantry-tilt`).
    """
    check_right_angles(volume)
    nearest = reorient(volume, STORED_ORIENTATION)
    if is_oblique(nearest):
        return onto_axes(nearest)
    return nearest


def check_spacing(affine_ras: Float64[np.ndarray, "4 4"]) -> None:
    """Refuse an affine whose voxels are no voxels of a scan, or which is no numbers.

    Args:
        affine_ras: array index to RAS+ mm.

    Raises:
        SourceError: `no-spacing`.
    """
    longest = np.abs(affine_ras[:3, :3]).max(axis=0)
    # By the longest component: squares of what a damaged header says may be no numbers.
    if np.isfinite(affine_ras).all() and longest.min() >= MIN_MM and longest.max() <= MAX_MM:
        return
    raise SourceError(
        f"the header declares voxels of {longest.min():.3g} to {longest.max():.3g} mm",
        verdict="no-spacing",
        mend="convert the scan again with its spacing",
    )


def reorient(volume: Volume, codes: str) -> Volume:
    """Transpose and flip a volume to the wanted axis codes, as near as its axes allow.

    Args:
        volume: HU in any storage order.
        codes: wanted axis codes, such as SPL.

    Returns:
        A view of the same voxels with the affine that keeps each at its place.
    """
    order, flips = axis_moves(volume.affine_ras, codes)
    hu = volume.hu.transpose(order)
    affine_ras = volume.affine_ras[:, [*order, 3]].copy()
    for axis, flip in enumerate(flips):
        if flip:
            affine_ras[:3, 3] += affine_ras[:3, axis] * (hu.shape[axis] - 1)
            affine_ras[:3, axis] *= -1
            hu = np.flip(hu, axis)
    return Volume(hu=hu, affine_ras=affine_ras)


def check_right_angles(volume: Volume) -> None:
    """Refuse a sheared volume: one whose slices are shifted against each other.

    Args:
        volume: HU in any orientation.

    Raises:
        SourceError: `gantry-tilt`, when the shear moves the last slice by over half a voxel.
    """
    axes = directions(volume.affine_ras)
    spacing_mm = np.array(volume.spacing_mm)
    extent_mm = spacing_mm * (np.array(volume.hu.shape) - 1)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        cosine = abs(float((axes[:, first] * axes[:, second]).sum()))
        drift_mm = cosine * np.array([extent_mm[first], extent_mm[second]])
        if (drift_mm > MAX_DRIFT_VOXELS * spacing_mm[[second, first]]).any():
            raise SourceError(
                f"array axes {first} and {second} meet at {_degrees(cosine):.2f} degrees, not 90",
                verdict="gantry-tilt",
                mend="undo the tilt with a tool that shears the slices back, or leave it out",
            )


def is_oblique(volume: Volume) -> bool:
    """Tell whether following an array axis leads off the world axis by over half a voxel."""
    nearest = nearest_world_axes(volume.affine_ras)
    spacing_mm = volume.spacing_mm
    for axis in range(3):
        drift_mm = np.abs(volume.affine_ras[:3, axis]) * (volume.hu.shape[axis] - 1)
        for other in range(3):
            if other != axis and drift_mm[nearest[other]] > MAX_DRIFT_VOXELS * spacing_mm[other]:
                return True
    return False


def _degrees(cosine: float) -> float:
    return float(np.degrees(np.arccos(cosine)))
