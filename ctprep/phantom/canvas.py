"""A volume to paint on: soft-edged balls, tubes and slabs given in millimetres."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

Point = tuple[float, float, float]
"""Millimetres to the patient's left, to the back and up, from the middle of the chest."""

Box = tuple[slice, slice, slice]
"""Part of a canvas, in array order."""


@dataclass(frozen=True)
class Canvas:
    """HU on an axis-aligned grid whose slices run up, rows to the back, columns to the left.

    Args:
        up_mm: centre of each slice.
        back_mm: centre of each row.
        left_mm: centre of each column.
        hu: the picture, changed in place.
        pitch_mm: in-plane voxel size; edges are as soft as that.
    """

    up_mm: Float32[np.ndarray, " slice"]
    back_mm: Float32[np.ndarray, " row"]
    left_mm: Float32[np.ndarray, " column"]
    hu: Float32[np.ndarray, "slice row column"]
    pitch_mm: float

    def box(self, low: Point, high: Point) -> Box | None:
        """Find the voxels between two corners; None where there are none."""
        parts = []
        for axis, start, stop in zip(
            (self.up_mm, self.back_mm, self.left_mm), low[::-1], high[::-1], strict=True
        ):
            part = slice(int(axis.searchsorted(start)), int(axis.searchsorted(stop, "right")))
            if part.start >= part.stop:
                return None
            parts.append(part)
        return parts[0], parts[1], parts[2]

    def axes(
        self, box: Box
    ) -> tuple[
        Float32[np.ndarray, "1 1 column"],
        Float32[np.ndarray, "1 row 1"],
        Float32[np.ndarray, "slice 1 1"],
    ]:
        """Give left, back and up of the voxels of a box, ready to broadcast."""
        return (
            self.left_mm[None, None, box[2]],
            self.back_mm[None, box[1], None],
            self.up_mm[box[0], None, None],
        )


def soft(
    distance_mm: Float32[np.ndarray, "slice row column"], pitch_mm: float
) -> Float32[np.ndarray, "slice row column"]:
    """Turn a signed distance, negative inside, into coverage 0 to 1."""
    coverage = distance_mm * np.float32(-1 / pitch_mm)
    coverage += np.float32(0.5)
    return clip_unit(coverage)


def clip_unit(
    values: Float32[np.ndarray, "slice row column"],
) -> Float32[np.ndarray, "slice row column"]:
    """Clip to 0 and 1 in place; on small arrays far quicker than `np.clip`."""
    np.maximum(values, np.float32(0), out=values)
    np.minimum(values, np.float32(1), out=values)
    return values


def blend(
    canvas: Canvas,
    box: Box,
    alpha: Float32[np.ndarray, "slice row column"],
    hu: float | Float32[np.ndarray, "slice row column"],
    mask: Float32[np.ndarray, "all_slices all_rows all_columns"] | None = None,
) -> None:
    """Move the HU of a box towards a value.

    Args:
        canvas: what to paint on.
        box: where.
        alpha: coverage 0 to 1 on the box.
        hu: value of the new tissue, one or a voxel.
        mask: coverage of what may be painted, on the whole canvas; None means all.
    """
    if mask is not None:
        alpha = alpha * mask[box]
    region = canvas.hu[box]
    step = hu - region
    step *= alpha
    region += step


def ball(
    canvas: Canvas,
    center: Point,
    radii_mm: Point,
    hu: float,
    *,
    mask: Float32[np.ndarray, "slice row column"] | None = None,
    strength: float = 1.0,
    edge_mm: float = 0.0,
) -> None:
    """Paint an ellipsoid.

    Args:
        canvas: what to paint on.
        center: its middle.
        radii_mm: half-axes to the left, back and up.
        hu: its value.
        mask: coverage of what may be painted.
        strength: opacity 0 to 1.
        edge_mm: width of the edge, at least that of a voxel.
    """
    edge = max(edge_mm, canvas.pitch_mm)
    low, high = (
        (
            center[0] + sign * (radii_mm[0] + edge),
            center[1] + sign * (radii_mm[1] + edge),
            center[2] + sign * (radii_mm[2] + edge),
        )
        for sign in (-1, 1)
    )
    box = canvas.box(low, high)
    if box is None:
        return
    left, back, up = canvas.axes(box)
    square = ((left - np.float32(center[0])) / np.float32(radii_mm[0])) ** 2 + (
        (back - np.float32(center[1])) / np.float32(radii_mm[1])
    ) ** 2
    square = square + ((up - np.float32(center[2])) / np.float32(radii_mm[2])) ** 2
    distance = (np.sqrt(square) - np.float32(1)) * np.float32(min(radii_mm))
    alpha = soft(distance, edge)
    blend(canvas, box, alpha * np.float32(strength), hu, mask)


def tube(
    canvas: Canvas,
    start: Point,
    end: Point,
    radius_mm: float,
    hu: float,
    *,
    mask: Float32[np.ndarray, "slice row column"] | None = None,
    strength: float = 1.0,
) -> None:
    """Paint a cylinder with round ends; one thinner than a voxel is painted fainter.

    Args:
        canvas: what to paint on.
        start: middle of one end.
        end: middle of the other.
        radius_mm: its radius.
        hu: its value.
        mask: coverage of what may be painted.
        strength: opacity 0 to 1.
    """
    radius = max(radius_mm, 0.5 * canvas.pitch_mm)
    reach = radius + canvas.pitch_mm
    box = canvas.box(
        (
            min(start[0], end[0]) - reach,
            min(start[1], end[1]) - reach,
            min(start[2], end[2]) - reach,
        ),
        (
            max(start[0], end[0]) + reach,
            max(start[1], end[1]) + reach,
            max(start[2], end[2]) + reach,
        ),
    )
    if box is None:
        return
    steps = [tip - origin for tip, origin in zip(end, start, strict=True)]
    length = max(sum(step * step for step in steps), 1e-6)
    left, back, up = (
        axis - np.float32(origin) for axis, origin in zip(canvas.axes(box), start, strict=True)
    )
    along = (up * np.float32(steps[2]) + back * np.float32(steps[1])) + left * np.float32(steps[0])
    # Distance from the axis: |p|^2 - 2 t (p.d) + t^2 |d|^2, where t is the foot on the axis.
    share = clip_unit(along * np.float32(1 / length))
    square = share * np.float32(length)
    along *= np.float32(2)
    square -= along
    square *= share
    square += (up * up + back * back) + left * left
    distance = np.sqrt(np.maximum(square, np.float32(0), out=square), out=square)
    distance -= np.float32(radius)
    alpha = soft(distance, canvas.pitch_mm)
    faint = strength * (radius_mm / radius) ** 2
    alpha *= np.float32(faint)
    blend(canvas, box, alpha, hu, mask)
