"""Resampling: a volume to the common grid, as CT-CLIP does it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int16, Int64

from ctprep.store.attributes import PAD_HU, Grid
from ctprep.store.errors import SourceError
from ctprep.volume import Volume

FLOAT32_HAIR = 1e-7
"""Relative error that a spacing takes on when a header stores it in single precision."""
Number = int | float
Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class AxisPlan:
    """How one axis of a volume comes onto one axis of a grid.

    Args:
        length: voxels of the source.
        resampled: voxels after resampling, before crop or pad.
        crop: first resampled voxel that is kept.
        pad: first voxel of the grid that holds data.
        kept: voxels of the grid that hold data.
    """

    length: int
    resampled: int
    crop: int
    pad: int
    kept: int

    @property
    def ratio(self) -> float:
        """Source voxels in a resampled one: of the lengths, not of the spacings."""
        return self.length / self.resampled

    @property
    def index_offset(self) -> float:
        """Source index of voxel 0 of the grid."""
        return (self.crop - self.pad + 0.5) * self.ratio - 0.5

    def samples(
        self,
    ) -> tuple[
        Int64[np.ndarray, " kept"], Int64[np.ndarray, " kept"], Float32[np.ndarray, " kept"]
    ]:
        """Give, for every kept voxel, its two source voxels and the weight of the second."""
        position = (np.arange(self.crop, self.crop + self.kept) + 0.5) * self.ratio - 0.5
        position = np.clip(position, 0, self.length - 1)
        low = position.astype(np.int64)
        high = np.minimum(low + 1, self.length - 1)
        return low, high, (position - low).astype(np.float32)


def to_grid(volume: Volume, grid: Grid, *, hu_range: tuple[Number, Number]) -> Volume:
    """Clip, resample and crop or pad a volume to a grid, centered.

    Trilinear with half-pixel centers, clamped at the border, without anti-aliasing. The axes are
    independent, so each is a pass of its own; the passes run slice by slice in float32, which
    holds HU to 1e-3, and the result is rounded once.

    Args:
        volume: HU in stored orientation, axis-aligned.
        grid: the common sampling.
        hu_range: lowest and highest HU to keep, clipped to before resampling.

    Returns:
        int16 HU of the grid's shape; PAD_HU outside the volume.

    Raises:
        SourceError: an axis is too short for a single voxel of the grid (`too-thin`).

    Source:
        CT-CLIP a2a155c, scripts/data_inference_nii.py.
    """
    plans = plan_axes(volume, grid)
    hu = np.full(grid.shape, PAD_HU, np.int16)
    inside = hu[tuple(slice(p.pad, p.pad + p.kept) for p in plans)]
    _resample_into(inside, volume.hu, plans, hu_range)
    index_map = np.diag([*(plan.ratio for plan in plans), 1.0])
    index_map[:3, 3] = [plan.index_offset for plan in plans]
    return Volume(hu=hu, affine_ras=volume.affine_ras @ index_map)


def content_box(volume: Volume, grid: Grid) -> Box:
    """Give the part of the grid that holds the volume; the rest is padding.

    Args:
        volume: HU in stored orientation, axis-aligned.
        grid: the common sampling.

    Returns:
        First index and end of each axis.

    Raises:
        SourceError: an axis is too short for a single voxel of the grid (`too-thin`).
    """
    first, second, third = ((plan.pad, plan.pad + plan.kept) for plan in plan_axes(volume, grid))
    return first, second, third


def plan_axes(volume: Volume, grid: Grid) -> tuple[AxisPlan, AxisPlan, AxisPlan]:
    """Plan how each axis is resampled, cropped and padded.

    Raises:
        SourceError: an axis is too short for a single voxel of the grid (`too-thin`).
    """
    first, second, third = (
        plan_axis(length, spacing_mm, target_mm, target)
        for length, spacing_mm, target_mm, target in zip(
            volume.hu.shape, volume.spacing_mm, grid.spacing_mm, grid.shape, strict=True
        )
    )
    return first, second, third


def plan_axis(length: int, spacing_mm: float, target_mm: float, target: int) -> AxisPlan:
    """Plan one axis.

    Args:
        length: voxels of the source.
        spacing_mm: their distance.
        target_mm: distance of the grid's voxels.
        target: voxels of the grid.

    Raises:
        SourceError: the axis is too short for a single voxel of the grid (`too-thin`).

    Source:
        CT-CLIP: the quotient first, in double precision, then truncation.
    """
    resampled = int(length * (_undo_float32(spacing_mm) / target_mm))
    if resampled < 1:
        raise SourceError(
            f"{length} voxels of {spacing_mm:.3f} mm are less than one of {target_mm:g} mm",
            verdict="too-thin",
            mend="leave the scan out, or choose a finer grid",
        )
    kept = min(resampled, target)
    return AxisPlan(
        length=length,
        resampled=resampled,
        crop=max(resampled - target, 0) // 2,
        pad=max(target - resampled, 0) // 2,
        kept=kept,
    )


def _undo_float32(spacing_mm: float) -> float:
    # NIfTI keeps 0.8 as 0.800000012, which could make an axis one voxel longer than from DICOM.
    short = round(spacing_mm, 6)
    return short if abs(short - spacing_mm) <= FLOAT32_HAIR * spacing_mm else spacing_mm


def _resample_into(
    out: Int16[np.ndarray, "kept_slice kept_row kept_column"],
    hu: Int16[np.ndarray, "slice row column"] | Float32[np.ndarray, "slice row column"],
    plans: tuple[AxisPlan, AxisPlan, AxisPlan],
    hu_range: tuple[Number, Number],
) -> None:
    slices, rows, columns = plans
    low, high, weight = slices.samples()
    planes = _PlaneCache(hu, rows, columns, hu_range)
    blended = np.empty((rows.kept, columns.kept), np.float32)
    for index in range(slices.kept):
        below = planes.at(int(low[index]))
        above = planes.at(int(high[index]))
        _blend(below, above, weight[index], out=blended)
        np.rint(blended, out=blended)
        out[index] = blended


def _blend(
    first: Float32[np.ndarray, "row column"],
    second: Float32[np.ndarray, "row column"],
    weight: Float32[np.ndarray, "..."] | np.float32,
    *,
    out: Float32[np.ndarray, "row column"],
) -> None:
    # In place throughout: fresh arrays of this size cost more than the arithmetic.
    np.subtract(second, first, out=out)
    out *= weight
    out += first


class _PlaneCache:
    """Slices resampled in their plane; the last two are kept."""

    def __init__(
        self,
        hu: Int16[np.ndarray, "slice row column"] | Float32[np.ndarray, "slice row column"],
        rows: AxisPlan,
        columns: AxisPlan,
        hu_range: tuple[Number, Number],
    ) -> None:
        self._hu = hu
        self._rows = rows.samples()
        self._columns = columns.samples()
        self._hu_range = hu_range
        self._planes: dict[int, Float32[np.ndarray, "row column"]] = {}
        self._source = np.empty((rows.length, columns.length), np.float32)
        self._tall = [np.empty((rows.kept, columns.length), np.float32) for _ in range(3)]
        self._small = [np.empty((rows.kept, columns.kept), np.float32) for _ in range(2)]
        self._free = [np.empty((rows.kept, columns.kept), np.float32) for _ in range(2)]

    def at(self, index: int) -> Float32[np.ndarray, "row column"]:
        if index not in self._planes:
            # Slices are asked for in rising order: the oldest is never needed again.
            if not self._free:
                self._free.append(self._planes.pop(min(self._planes)))
            self._planes[index] = self._resample(index, self._free.pop())
        return self._planes[index]

    def _resample(
        self, index: int, out: Float32[np.ndarray, "row column"]
    ) -> Float32[np.ndarray, "row column"]:
        np.copyto(self._source, self._hu[index])
        np.clip(self._source, *self._hu_range, out=self._source)
        low, high, weight = self._rows
        first, second, blended = self._tall
        np.take(self._source, low, axis=0, out=first, mode="clip")
        np.take(self._source, high, axis=0, out=second, mode="clip")
        _blend(first, second, weight[:, None], out=blended)
        low, high, weight = self._columns
        np.take(blended, low, axis=1, out=self._small[0], mode="clip")
        np.take(blended, high, axis=1, out=self._small[1], mode="clip")
        _blend(self._small[0], self._small[1], weight, out=out)
        return out
