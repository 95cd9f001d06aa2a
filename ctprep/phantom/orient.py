"""A rendered volume to other axes, with the affine that tells which."""

import numpy as np
from jaxtyping import Float64, Int16


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
