"""Axis codes: the letters that say to which side of the patient each array index grows."""

from itertools import permutations

import numpy as np
from jaxtyping import Float, Float64, Int

LETTERS = (("R", "L"), ("A", "P"), ("S", "I"))
"""Per world axis of RAS+: the letter of its positive and of its negative direction."""


def directions(affine_ras: Float64[np.ndarray, "4 4"]) -> Float[np.ndarray, "world axis"]:
    """Give the unit vector along which each array index grows.

    Args:
        affine_ras: array index to RAS+ mm, without a zero column.

    Returns:
        Direction cosines, a column an array axis.
    """
    # Squares of what is tiny are zero.
    columns = affine_ras[:3, :3] / np.abs(affine_ras[:3, :3]).max(axis=0)
    unit: Float[np.ndarray, "world axis"] = columns / np.sqrt((columns**2).sum(axis=0))
    return unit


def nearest_world_axes(affine_ras: Float64[np.ndarray, "4 4"]) -> Int[np.ndarray, "3"]:
    """Assign to each array axis the world axis it follows best, each used once.

    Args:
        affine_ras: array index to RAS+ mm.

    Returns:
        World axis (0 right, 1 anterior, 2 superior) of every array axis.
    """
    strength = np.abs(directions(affine_ras))
    orders = permutations(range(3))
    return np.array(max(orders, key=lambda order: sum(strength[w, a] for a, w in enumerate(order))))


def axis_codes(affine_ras: Float64[np.ndarray, "4 4"]) -> str:
    """Name the directions in which the array indices grow.

    Args:
        affine_ras: array index to RAS+ mm.

    Returns:
        Three letters in array order, such as SPL.
    """
    return "".join(
        LETTERS[world][int(affine_ras[world, axis] < 0)]
        for axis, world in enumerate(nearest_world_axes(affine_ras))
    )


def axis_moves(
    affine_ras: Float64[np.ndarray, "4 4"], codes: str
) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Find which array axes to move where, and which to flip, for the wanted codes.

    Args:
        affine_ras: array index to RAS+ mm.
        codes: wanted axis codes.

    Returns:
        For each axis of the result, the axis to take and whether to reverse it.
    """
    present = axis_codes(affine_ras)
    sides = [{*pair} for pair in LETTERS]
    world = [next(w for w, side in enumerate(sides) if letter in side) for letter in codes]
    held = [next(w for w, side in enumerate(sides) if letter in side) for letter in present]
    first, second, third = (held.index(w) for w in world)
    order = (first, second, third)
    flips = tuple(present[axis] != letter for axis, letter in zip(order, codes, strict=True))
    return order, (flips[0], flips[1], flips[2])


def affine_of(
    codes: str, spacing_mm: tuple[float, float, float], origin_ras_mm: tuple[float, float, float]
) -> Float64[np.ndarray, "4 4"]:
    """Make the affine of an array whose axes follow those of the world.

    Args:
        codes: where each array index grows, such as SPL.
        spacing_mm: in array order.
        origin_ras_mm: position of the first voxel.

    Returns:
        Array index to RAS+ mm.
    """
    affine_ras = np.eye(4)
    affine_ras[:3, :3] = 0
    for axis, (letter, step_mm) in enumerate(zip(codes, spacing_mm, strict=True)):
        world = next(index for index, sides in enumerate(LETTERS) if letter in sides)
        affine_ras[world, axis] = step_mm if letter == LETTERS[world][0] else -step_mm
    affine_ras[:3, 3] = origin_ras_mm
    return affine_ras
