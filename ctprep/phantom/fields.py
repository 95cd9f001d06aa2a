"""Random fields that are functions of world millimetres, so that any grid sees the same one."""

import numpy as np
from jaxtyping import Float32, Int64

from ctprep.phantom.canvas import Box, Canvas

REACH_MM = 320.0
"""Fields are defined this far from the middle of the chest, in every direction."""


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
) -> tuple[Float32[np.ndarray, "slice row column"], Int64[np.ndarray, "slice row column"]]:
    """Divide space into polyhedral cells around jittered lattice points.

    Args:
        canvas: gives the positions.
        box: where to evaluate.
        rng: draws the points.
        cell_mm: mean distance of the points.

    Returns:
        Distance in mm to the nearest wall between cells, and the number of the cell.
    """
    count = int(2 * REACH_MM / cell_mm) + 3
    jitter = rng.uniform(-0.3, 0.3, (3, count, count, count)).astype(np.float32)
    places = [
        np.clip((axis + np.float32(REACH_MM)) / np.float32(cell_mm), 0, count - 2.001)
        for axis in _box_axes(canvas, box)
    ]
    corners = [place.astype(np.int64) for place in places]
    shape = tuple(len(place) for place in places)
    nearest = np.full(shape, np.inf, np.float32)
    second = np.full(shape, np.inf, np.float32)
    cell = np.zeros(shape, np.int64)
    shares = [(p - c).astype(np.float32) for p, c in zip(places, corners, strict=True)]
    for dz in (0, 1):
        for dy in (0, 1):
            for dx in (0, 1):
                index = np.ix_(corners[0] + dz, corners[1] + dy, corners[2] + dx)
                square = (shares[0][:, None, None] - dz - jitter[0][index]) ** 2
                square += (shares[1][:, None] - dy - jitter[1][index]) ** 2
                square += (shares[2] - dx - jitter[2][index]) ** 2
                distance = np.sqrt(square)
                closer = distance < nearest
                number = (index[0] * count + index[1]) * count + index[2]
                np.copyto(cell, number, where=closer)
                second = np.minimum(second, np.maximum(nearest, distance))
                nearest = np.minimum(nearest, distance)
    return (second - nearest) * np.float32(0.5 * cell_mm), cell


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
    noise = rng.standard_normal(shape, dtype=np.float32)
    blurred = noise
    for axis in (1, 2):
        blurred = (2 * blurred + np.roll(blurred, 1, axis) + np.roll(blurred, -1, axis)) / 4
    # Standard deviations of the two filters on white noise, from their taps.
    if kernel == "soft":
        return (blurred * np.float32(sigma_hu / 0.375)).astype(np.float32)
    return ((noise - blurred) * np.float32(sigma_hu / 0.780)).astype(np.float32) + noise * (
        np.float32(0.3 * sigma_hu)
    )
