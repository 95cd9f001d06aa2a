"""Affines multiplied and inverted by plain sums, which round alike on every machine.

A matrix product of the linear algebra library rounds as the code does that it has for this
processor; a last bit of an affine then reaches spacing, length and voxels.
"""

import numpy as np
from jaxtyping import Float64


def compose(
    outer: Float64[np.ndarray, "4 4"], inner: Float64[np.ndarray, "4 4"]
) -> Float64[np.ndarray, "4 4"]:
    """Give the affine that applies `inner`, then `outer`.

    Args:
        outer: from what `inner` leads to.
        inner: from the indices to start with.
    """
    product: Float64[np.ndarray, "4 4"] = (outer[:, :, None] * inner[None]).sum(axis=1)
    return product


def invert(affine: Float64[np.ndarray, "4 4"]) -> Float64[np.ndarray, "4 4"]:
    """Give the affine that leads back.

    Args:
        affine: whose three axes span the space.

    Source:
        The rows of a 3 x 3 inverse are cross products of the columns, over the determinant.
    """
    first, second, third = affine[:3, :3].T
    rows = np.stack([np.cross(second, third), np.cross(third, first), np.cross(first, second)])
    inverse = np.eye(4)
    inverse[:3, :3] = rows / (first * rows[0]).sum()
    inverse[:3, 3] = -(inverse[:3, :3] * affine[:3, 3]).sum(axis=1)
    return inverse


def map_points(
    affine: Float64[np.ndarray, "4 4"], points: Float64[np.ndarray, "point 3"]
) -> Float64[np.ndarray, "point 3"]:
    """Apply an affine to points.

    Args:
        affine: such as array index to RAS+ mm.
        points: a row each.
    """
    moved: Float64[np.ndarray, "point 3"]
    moved = (points[:, None] * affine[:3, :3]).sum(axis=2) + affine[:3, 3]
    return moved
