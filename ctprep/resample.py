"""Resampling: a volume to the common grid, as CT-CLIP does it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int16, Int64

from ctprep.store.attributes import PAD_HU, Grid
from ctprep.store.errors import SourceError
from ctprep.volume import Volume

FLOAT32_HAIR = 1e-7
"""Relative error that a spacing takes on when a header stores it in single precision."""
LINES_A_BLOCK = 16
SLICES_A_BLOCK = 8
"""Fewer make more calls, more make more products with zero."""
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

    def blocks(self, size: int) -> list["Block"]:
        """Cut the kept voxels into runs, each a small matrix product.

        Args:
            size: voxels of a run, the last aside.
        """
        low, high, weight = self.samples()
        blocks = []
        for start in range(0, self.kept, size):
            run = slice(start, min(start + size, self.kept))
            first = int(low[run][0])
            rows = np.arange(run.stop - start)
            weights = np.zeros((len(rows), int(high[run][-1]) + 1 - first), np.float32)
            weights[rows, low[run] - first] = 1 - weight[run]
            # Added: at the border both source voxels are the same.
            weights[rows, high[run] - first] += weight[run]
            blocks.append(Block(start, run.stop, first, weights))
        return blocks


@dataclass(frozen=True)
class Block:
    """A run of kept voxels as weighted sums of neighboring source voxels.

    Args:
        start: first kept voxel.
        end: the one after the last.
        first: source voxel of the first weight.
        weights: of each source voxel in each kept one.
    """

    start: int
    end: int
    first: int
    weights: Float32[np.ndarray, "kept source"]

    @property
    def sources(self) -> slice:
        """The source voxels that have a weight, zero or not."""
        return slice(self.first, self.first + self.weights.shape[1])


def to_grid(volume: Volume, grid: Grid, *, hu_range: tuple[Number, Number]) -> Volume:
    """Clip, resample and crop or pad a volume to a grid, centered.

    Trilinear with half-pixel centers, clamped at the border, without anti-aliasing. The axes are
    independent, so each is a pass of its own, in matrix products small enough for the cache; they
    run in float32, which holds HU to 1e-3, and the result is rounded once.

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
    blocks = slices.blocks(SLICES_A_BLOCK)
    # Of thin slices only some have a weight; the others are not even looked at.
    needed = [block.first + np.flatnonzero(block.weights.any(axis=0)) for block in blocks]
    planes = _PlaneStack(hu, rows, columns, hu_range, max(map(len, needed)))
    buffer = np.empty((SLICES_A_BLOCK, LINES_A_BLOCK * columns.kept), np.float32)
    for block, sources in zip(blocks, needed, strict=True):
        stack = planes.at(sources.tolist())
        weights = block.weights[:, sources - block.first]
        for start in range(0, rows.kept, LINES_A_BLOCK):
            band = stack[:, start : start + LINES_A_BLOCK]
            flat = band.reshape(len(sources), -1)
            blended = np.matmul(weights, flat, out=buffer[: len(weights), : flat.shape[1]])
            np.rint(blended, out=blended)
            kept = out[block.start : block.end, start : start + LINES_A_BLOCK]
            kept[...] = blended.reshape(kept.shape)


class _PlaneStack:
    """Slices resampled in their plane; those of the last block are kept."""

    def __init__(
        self,
        hu: Int16[np.ndarray, "slice row column"] | Float32[np.ndarray, "slice row column"],
        rows: AxisPlan,
        columns: AxisPlan,
        hu_range: tuple[Number, Number],
        capacity: int,
    ) -> None:
        self._rows = rows.blocks(LINES_A_BLOCK)
        self._columns = columns.blocks(LINES_A_BLOCK)
        # Rows and columns that the crop cuts off are never read.
        self._top, self._left = self._rows[0].first, self._columns[0].first
        self._hu = hu[
            :,
            self._top : self._rows[-1].sources.stop,
            self._left : self._columns[-1].sources.stop,
        ]
        self._hu_range = hu_range
        self._source = np.empty(self._hu.shape[1:], np.float32)
        self._tall = np.empty((rows.kept, self._hu.shape[2]), np.float32)
        self._stack = np.empty((capacity, rows.kept, columns.kept), np.float32)
        self._present: list[int] = []

    def at(self, indices: list[int]) -> Float32[np.ndarray, "source row column"]:
        # Slices are asked for in rising order: what is shared ends the old stack.
        shared = [index for index in indices if index in self._present]
        for place, index in enumerate(shared):
            self._stack[place] = self._stack[self._present.index(index)]
        for place in range(len(shared), len(indices)):
            self._resample(indices[place], self._stack[place])
        self._present = indices
        return self._stack[: len(indices)]

    def _resample(self, index: int, out: Float32[np.ndarray, "row column"]) -> None:
        np.copyto(self._source, self._hu[index])
        np.clip(self._source, *self._hu_range, out=self._source)
        for block in self._rows:
            lines = self._source[block.first - self._top : block.sources.stop - self._top]
            np.matmul(block.weights, lines, out=self._tall[block.start : block.end])
        for block in self._columns:
            lines = self._tall[:, block.first - self._left : block.sources.stop - self._left]
            np.matmul(lines, block.weights.T, out=out[:, block.start : block.end])
