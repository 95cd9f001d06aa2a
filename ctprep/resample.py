"""Resampling: a volume to the common grid, as CT-CLIP does it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int16, Int64

from ctprep.affines import compose
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

    def samples(self) -> tuple[Int64[np.ndarray, " kept"], Float32[np.ndarray, " kept"]]:
        """Give every kept voxel's lower source voxel, and the weight of the one after it.

        That weight is zero at the border, where there is none.
        """
        position = (np.arange(self.crop, self.crop + self.kept) + 0.5) * self.ratio - 0.5
        position = np.clip(position, 0, self.length - 1)
        low = position.astype(np.int64)
        return low, (position - low).astype(np.float32)

    @property
    def is_identity(self) -> bool:
        """Whether the voxels stay as they are, but for crop and pad."""
        return self.length == self.resampled

    @property
    def sources(self) -> slice:
        """The source voxels from the first to the last that has a weight."""
        low, weight = self.samples()
        last = int(low[-1]) + int(weight[-1] > 0)
        return slice(int(low[0]), last + 1)


def to_grid(volume: Volume, grid: Grid, *, hu_range: tuple[Number, Number]) -> Volume:
    """Clip, resample and crop or pad a volume to a grid, centered.

    Trilinear with half-pixel centers, clamped at the border, without anti-aliasing. The axes are
    independent, so each is a pass of its own, over one slice at a time, which the cache holds; they
    run in float32, which holds HU to 1e-3, and the result is rounded once. The same bytes come out
    on every machine (decision 0008).

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
    hu = np.empty(grid.shape, np.int16)
    inside = [slice(plan.pad, plan.pad + plan.kept) for plan in plans]
    _pad_around(hu, inside)
    _resample_into(hu[tuple(inside)], volume.hu, plans, hu_range)
    index_map = np.diag([*(plan.ratio for plan in plans), 1.0])
    index_map[:3, 3] = [plan.index_offset for plan in plans]
    return Volume(hu=hu, affine_ras=compose(volume.affine_ras, index_map))


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


def _pad_around(hu: Int16[np.ndarray, "slice row column"], inside: list[slice]) -> None:
    # Only the margins: filling all of it first would write most voxels twice.
    for axis, kept in enumerate(inside):
        for margin in (slice(None, kept.start), slice(kept.stop, None)):
            hu[(*inside[:axis], margin)] = PAD_HU


def _resample_into(
    out: Int16[np.ndarray, "kept_slice kept_row kept_column"],
    hu: Int16[np.ndarray, "slice row column"] | Float32[np.ndarray, "slice row column"],
    plans: tuple[AxisPlan, AxisPlan, AxisPlan],
    hu_range: tuple[Number, Number],
) -> None:
    slices, rows, columns = plans
    low, weight = slices.samples()
    planes = _Planes(hu, rows, columns, hu_range)
    # Thin slices are blended before, thick ones after: fewer planes to resample either way.
    is_blended_first = len(np.union1d(low, low[weight > 0] + 1)) > slices.kept
    make = planes.read if is_blended_first else planes.make
    pair = planes.empty_pair(resampled=not is_blended_first)
    held, stepped = [-1, -1], -1
    step, blended = np.empty_like(pair)
    kept = np.empty(out.shape[1:], np.float32)

    def plane_at(index: int) -> Float32[np.ndarray, "row column"]:
        # Neighbors have a place each, so that the upper one of now is there as the next lower.
        place = index % 2
        plane: Float32[np.ndarray, "row column"] = pair[place]
        if held[place] != index:
            make(index, plane)
            held[place] = index
        return plane

    for target, index, share in zip(out, low.tolist(), weight, strict=True):
        plane = plane_at(index)
        if share:
            if stepped != index:
                np.subtract(plane_at(index + 1), plane, out=step)
                stepped = index
            np.multiply(step, share, out=blended)
            plane = np.add(blended, plane, out=blended)
        if is_blended_first:
            planes.resample(plane, kept)
            plane = kept
        np.rint(plane, out=kept)
        np.copyto(target, kept, casting="unsafe")


class _Planes:
    """Slices in float32, as they are or resampled in their plane, in buffers used again.

    Only sums and products of single voxels are used, in one order: a matrix product would round
    as the library likes that was made for the machine.
    """

    def __init__(
        self,
        hu: Int16[np.ndarray, "slice row column"] | Float32[np.ndarray, "slice row column"],
        rows: AxisPlan,
        columns: AxisPlan,
        hu_range: tuple[Number, Number],
    ) -> None:
        # Rows and columns that the crop cuts off are never read.
        self._hu = hu[:, rows.sources, columns.sources]
        self._hu_range = hu_range
        self._rows, self._columns = rows, columns
        height, width = self._hu.shape[1:]
        self._source = np.empty((height, width), np.float32)
        self._tall = np.empty((rows.kept, width), np.float32)
        self._steps = np.zeros((rows.kept, width), np.float32)
        low, weight = rows.samples()
        self._row = low - rows.sources.start
        self._row_weight = weight[:, None]
        low, weight = columns.samples()
        low -= columns.sources.start
        rank = np.arange(columns.kept) - np.searchsorted(low, low)
        # A blend for each source column, and others where it lies below several kept ones.
        self._column_weight = np.zeros(width, np.float32)
        self._column_weight[low[rank == 0]] = weight[rank == 0]
        self._more, self._more_weight = low[rank > 0], weight[rank > 0]
        self._blends = np.empty((rows.kept, width + len(self._more)), np.float32)
        self._pick = low.copy()
        self._pick[rank > 0] = width + np.arange(len(self._more))

    def empty_pair(self, *, resampled: bool) -> Float32[np.ndarray, "2 row column"]:
        """Give room for two planes, before or after they are resampled."""
        shape = (self._rows.kept, self._columns.kept) if resampled else self._source.shape
        return np.empty((2, *shape), np.float32)

    def read(self, index: int, out: Float32[np.ndarray, "row column"]) -> None:
        """Give a slice as it is, clipped."""
        np.copyto(out, self._hu[index])
        np.clip(out, *self._hu_range, out=out)

    def make(self, index: int, out: Float32[np.ndarray, "kept_row kept_column"]) -> None:
        """Give a slice, clipped and resampled."""
        self.read(index, self._source)
        self.resample(self._source, out)

    def resample(
        self,
        plane: Float32[np.ndarray, "row column"],
        out: Float32[np.ndarray, "kept_row kept_column"],
    ) -> None:
        """Resample a plane, rows before columns."""
        if not self._rows.is_identity:
            plane = self._resample_rows(plane)
        if self._columns.is_identity:
            np.copyto(out, plane)
        else:
            self._resample_columns(plane, out)

    def _resample_rows(
        self, plane: Float32[np.ndarray, "row column"]
    ) -> Float32[np.ndarray, "kept_row column"]:
        # `clip` writes to `out` directly; below the last row there is none, and its weight is zero.
        np.take(plane, self._row, axis=0, out=self._tall, mode="clip")
        np.take(plane, self._row + 1, axis=0, out=self._steps, mode="clip")
        np.subtract(self._steps, self._tall, out=self._steps)
        np.multiply(self._steps, self._row_weight, out=self._steps)
        return np.add(self._tall, self._steps, out=self._tall)

    def _resample_columns(
        self,
        plane: Float32[np.ndarray, "kept_row column"],
        out: Float32[np.ndarray, "kept_row kept_column"],
    ) -> None:
        # Blended in long runs of memory first, picked once after: picking columns is slow.
        # The step from the last column goes to the next row; its weight is zero.
        flat, steps = plane.reshape(-1), self._steps
        np.subtract(flat[1:], flat[:-1], out=steps.reshape(-1)[:-1])
        blends = self._blends[:, : plane.shape[1]]
        np.multiply(steps, self._column_weight, out=blends)
        np.add(blends, plane, out=blends)
        if len(self._more):
            more = np.take(steps, self._more, axis=1) * self._more_weight
            np.add(more, np.take(plane, self._more, axis=1), out=self._blends[:, plane.shape[1] :])
        np.take(self._blends, self._pick, axis=1, out=out, mode="clip")
