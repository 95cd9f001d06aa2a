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
            part = slice(
                int(np.searchsorted(axis, start)), int(np.searchsorted(axis, stop, "right"))
            )
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
    return np.clip(coverage, 0, 1, out=coverage)


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
    region += alpha * (hu - region)


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
    along = np.subtract(end, start)
    along = (along / max(float(along @ along), 1e-6)).astype(np.float32)
    axes = [axis - np.float32(origin) for axis, origin in zip(canvas.axes(box), start, strict=True)]
    share = axes[0] * along[0] + axes[1] * along[1] + axes[2] * along[2]
    np.clip(share, 0, 1, out=share)
    square = np.zeros_like(share)
    for axis, tip, origin in zip(axes, end, start, strict=True):
        square += (axis - share * np.float32(tip - origin)) ** 2
    alpha = soft(np.sqrt(square) - np.float32(radius), canvas.pitch_mm)
    faint = strength * (radius_mm / radius) ** 2
    blend(canvas, box, alpha * np.float32(faint), hu, mask)
