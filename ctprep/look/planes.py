"""The three planes of a stored volume, as a radiologist looks at them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from ctprep.store.attributes import STORED_ORIENTATION, StoreAttributes, Triple
from ctprep.store.errors import StoreError

Bounds = Sequence[tuple[int, int]]
"""Begin and end along slice, row and column."""

_OPPOSITE = dict(zip("RLAPSI", "LRPAIS", strict=True))


@dataclass(frozen=True)
class Plane:
    """One slice through a volume, its first row at the top.

    Args:
        name: axial, coronal or sagittal.
        pixels: HU, gray levels or differences.
        aspect: height of a pixel over its width, in mm.
        left: side of the patient at the left edge, one of RLAPSI; likewise the others.
        right: at the right edge.
        top: at the top.
        bottom: at the bottom.
    """

    name: str
    pixels: Shaped[np.ndarray, "_ _"]
    aspect: float
    left: str
    right: str
    top: str
    bottom: str


def check_orientation(store: StoreAttributes) -> None:
    """Refuse a store in another orientation than ours, whose pictures would be mislabeled.

    Raises:
        StoreError: names the axis codes.
    """
    if store.orientation != STORED_ORIENTATION:
        raise StoreError(
            f"the store's axes are {store.orientation}, where {STORED_ORIENTATION} is expected",
            mend="make the store again with this version",
        )


def middle_planes(
    voxels: Shaped[np.ndarray, "slice row column"], spacing_mm: Triple, content: Bounds | None
) -> tuple[Plane, Plane, Plane]:
    """Cut a volume through the middle of the scan.

    Args:
        voxels: in the stored orientation, SPL.
        spacing_mm: distance of slices, rows and columns.
        content: part of the volume that holds the scan; None means all of it.

    Returns:
        The axial, coronal and sagittal plane: the patient's right, or front, at the left, the
        head up; views of the voxels.
    """
    bounds = content or [(0, length) for length in voxels.shape]
    slice_, row, column = ((begin + end) // 2 for begin, end in bounds)
    slice_mm, row_mm, column_mm = spacing_mm
    to_head, to_back, to_left = list(STORED_ORIENTATION)
    to_feet, to_front, to_right = (_OPPOSITE[code] for code in STORED_ORIENTATION)
    # Slices run to the head, and pictures down.
    upright = voxels[::-1]
    return (
        Plane("axial", voxels[slice_], row_mm / column_mm, to_right, to_left, to_front, to_back),
        Plane(
            "coronal", upright[:, row], slice_mm / column_mm, to_right, to_left, to_head, to_feet
        ),
        Plane(
            "sagittal",
            upright[:, :, column],
            slice_mm / row_mm,
            to_front,
            to_back,
            to_head,
            to_feet,
        ),
    )
