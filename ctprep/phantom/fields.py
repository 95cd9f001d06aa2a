"""Random fields that are functions of world millimetres, so that any grid sees the same one."""

from itertools import product

import numpy as np
from jaxtyping import Float32, Int32

from ctprep.phantom.canvas import Box, Canvas

REACH_MM = 320.0
"""Fields are defined this far from the middle of the chest, in every direction."""


_BROADCAST = ((-1, 1, 1), (1, -1, 1), (1, 1, -1))


def smooth_field(
    canvas: Canvas, box: Box, rng: np.random.Generator, cell_mm: float
) -> Float32[np.ndarray, "slice row column"]:
    """Interpolate a lattice of random numbers.

    Args:
        canvas: gives the positions.
        box: where to evaluate.
        rng: draws the lattice; its state afterwards does not depend on the box.
        cell_mm: distance of lattice points.

    Returns:
        Values of mean 0, mostly within -2 to 2.
    """
    count = int(2 * REACH_MM / cell_mm) + 2
    values = rng.standard_normal((count, count, count), dtype=np.float32)
    for axis, positions in enumerate(_box_axes(canvas, box)):
        place = np.clip((positions + np.float32(REACH_MM)) / np.float32(cell_mm), 0, count - 1.001)
        first = place.astype(np.int64)
        share = place - first
        # Smoothstep hides the creases of linear interpolation.
        share = (share * share * (3 - 2 * share)).astype(np.float32)
        shape = [1, 1, 1]
        shape[axis] = -1
        share = share.reshape(shape)
        low = np.take(values, first, axis)
        values = low + share * (np.take(values, first + 1, axis) - low)
    return values * np.float32(1.6)


def cell_field(
    canvas: Canvas, box: Box, rng: np.random.Generator, cell_mm: float
) -> tuple[Float32[np.ndarray, "slice row column"], Int32[np.ndarray, "slice row column"]]:
    """Divide space into polyhedral cells around jittered lattice points.

    Args:
        canvas: gives the positions.
        box: where to evaluate.
        rng: draws the points.
        cell_mm: mean distance of the points.

    Returns:
        Distance in mm to the nearest wall between cells, and the number of the cell.
    """
    count = cell_count(cell_mm)
    jitter = rng.uniform(-0.3, 0.3, (3, count, count, count)).astype(np.float32)
    places = [
        np.clip((axis + np.float32(REACH_MM)) / np.float32(cell_mm), 0, count - 2.001)
        for axis in _box_axes(canvas, box)
    ]
    corners = [place.astype(np.int64) for place in places]
    shares = [
        (place - corner).astype(np.float32).reshape(shape)
        for place, corner, shape in zip(places, corners, _BROADCAST, strict=True)
    ]
    shape = tuple(len(place) for place in places)
    nearest = np.full(shape, 9, np.float32)
    second = nearest.copy()
    cell = np.zeros(shape, np.int32)
    distance, along = np.empty_like(nearest), np.empty_like(nearest)
    first = (corners[0][:, None, None] * count + corners[1][None, :, None]) * count + corners[2]
    for step in product((0, 1), repeat=3):
        number = first + ((step[0] * count + step[1]) * count + step[2])
        distance.fill(0)
        for points, by, share in zip(jitter, step, shares, strict=True):
            np.take(points, number, out=along, mode="clip")
            along -= share - np.float32(by)
            along *= along
            distance += along
        np.copyto(cell, number, where=distance < nearest, casting="same_kind")
        np.minimum(second, np.maximum(nearest, distance, out=along), out=second)
        np.minimum(nearest, distance, out=nearest)
    wall = np.sqrt(second) - np.sqrt(nearest)
    return wall * np.float32(0.5 * cell_mm), cell


def cell_count(cell_mm: float) -> int:
    """Give the number of cells of `cell_field` along one axis."""
    return int(2 * REACH_MM / cell_mm) + 3


def _box_axes(canvas: Canvas, box: Box) -> tuple[Float32[np.ndarray, " n"], ...]:
    return canvas.up_mm[box[0]], canvas.back_mm[box[1]], canvas.left_mm[box[2]]


def scanner_noise(
    rng: np.random.Generator, shape: tuple[int, int, int], sigma_hu: float, kernel: str
) -> Float32[np.ndarray, "slice row column"]:
    """Draw noise with the texture of a reconstruction kernel.

    Args:
        rng: draws it slice by slice, so that a slab gets what the whole would.
        shape: slices, rows, columns.
        sigma_hu: standard deviation.
        kernel: `soft` is blurred in the plane, `sharp` has its low frequencies taken away.
    """
    noise = rng.standard_normal((shape[0], shape[1] + 2, shape[2] + 2), dtype=np.float32)
    blurred = noise
    # Neighbours added up twice along an axis have the weights 1, 2, 1.
    for _ in range(2):
        blurred = blurred[:, :-1] + blurred[:, 1:]
        blurred = blurred[:, :, :-1] + blurred[:, :, 1:]
    # The standard deviation of white noise after the blur is 6 by these weights, 0.375 by their
    # share; the share taken from white noise times 1.3 leaves 1.086.
    if kernel == "soft":
        blurred *= np.float32(sigma_hu / 6)
        return blurred
    sharp = noise[:, 1:-1, 1:-1] * np.float32(1.3 * sigma_hu / 1.086)
    blurred *= np.float32(sigma_hu / (16 * 1.086))
    sharp -= blurred
    return sharp
