"""The branching of bronchi and vessels, as segments in millimetres."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from ctprep.phantom.canvas import Canvas, Point, tube
from ctprep.phantom.chest import AIR, HILUM, Chest
from ctprep.phantom.patient import Patient

_DIRECTIONS = (
    # To the side, to the back, up: apex, front, side, low front, low side, low back.
    (0.35, 0.05, 1.0),
    (0.6, -0.8, 0.25),
    (1.0, 0.35, 0.25),
    (0.7, -0.75, -0.6),
    (0.9, 0.1, -0.8),
    (0.35, 0.75, -0.9),
)


@dataclass(frozen=True)
class Segments:
    """Straight pieces of a tree.

    Args:
        starts: left, back and up in mm.
        ends: likewise.
        radii_mm: radius of the artery; the bronchus beside it is about as wide.
        levels: 0 at the hilum, one more at each fork.
    """

    starts: Float64[np.ndarray, "segment 3"]
    ends: Float64[np.ndarray, "segment 3"]
    radii_mm: Float64[np.ndarray, " segment"]
    levels: Float64[np.ndarray, " segment"]


def grow_tree(patient: Patient, side: str, depth: int) -> Segments:
    """Grow the tree of one lung.

    Args:
        patient: whose; the first levels do not depend on `depth`.
        side: `right` or `left`.
        depth: number of levels.
    """
    sign = -1 if side == "right" else 1
    rng = patient.rng(2, sign + 1)
    points = np.tile(np.asarray(HILUM[side]), (len(_DIRECTIONS), 1))
    aims = np.asarray(_DIRECTIONS) * (sign, 1, 1)
    lengths = np.full(len(aims), 30.0)
    radii = np.full(len(aims), 4.2)
    parts = []
    for level in range(depth):
        aims = aims + rng.normal(0, 0.16 if level == 0 else 0.36, aims.shape)
        aims /= np.linalg.norm(aims, axis=1, keepdims=True)
        ends = points + aims * (lengths * rng.uniform(0.8, 1.2, len(aims)))[:, None]
        parts.append((points, ends, radii, np.full(len(aims), float(level))))
        points, aims = np.repeat(ends, 2, 0), np.repeat(aims, 2, 0)
        lengths, radii = np.repeat(lengths * 0.78, 2), np.repeat(radii * 0.74, 2)
    starts, ends, radii, levels = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Segments(starts, ends, radii, levels)


def paint_trees(canvas: Canvas, patient: Patient, chest: Chest) -> None:
    """Paint vessels and healthy bronchi of both lungs."""
    # Twigs far thinner than a voxel only cost time.
    depth = 6 if canvas.pitch_mm < 1.2 else 4
    for side in ("right", "left"):
        tree = grow_tree(patient, side, depth)
        for start, end, radius, level in zip(
            tree.starts, tree.ends, tree.radii_mm, tree.levels, strict=True
        ):
            first, last = _point(start), _point(end)
            tube(canvas, first, last, float(radius), 40.0, mask=chest.lung)
            if level < 2:
                first, last = beside_artery(start), beside_artery(end)
                wide = float(radius)
                tube(canvas, first, last, wide, -150.0, mask=chest.lung, strength=0.8)
                tube(canvas, first, last, 0.75 * wide, AIR, mask=chest.lung)


def beside_artery(point: Float64[np.ndarray, "3"]) -> Point:
    """Give the place of the bronchus that runs with an artery."""
    return float(point[0]) + 5, float(point[1]) - 4, float(point[2])


def _point(values: Float64[np.ndarray, "3"]) -> Point:
    return float(values[0]), float(values[1]), float(values[2])
