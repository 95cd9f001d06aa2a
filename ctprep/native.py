"""JPEG before resampling: compress the slices as they were acquired, the paper's wording."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from ctprep.resample import to_grid
from ctprep.store.attributes import LUNG, Grid, StoreAttributes, Window
from ctprep.store.jpeg import decode_gray, encode_gray
from ctprep.versions import installed_versions, jpeg_encoder
from ctprep.volume import Volume
from ctprep.window import to_gray

GRAY_RANGE = (0.0, 255.0)


@dataclass(frozen=True)
class NativeJpeg:
    """How native slices are compressed."""

    quality: int = 90
    window: Window = LUNG


def native_store_attributes(
    native: NativeJpeg, grid: Grid, hu_range: tuple[int, int]
) -> StoreAttributes:
    """Describe a JPEG store whose volumes were compressed before they were resampled."""
    return StoreAttributes(
        kind="jpeg",
        grid=grid,
        hu_range=hu_range,
        window=native.window,
        quality=native.quality,
        encode_at="native",
        encoder=jpeg_encoder(),
        versions=installed_versions(),
    )


def native_gray(
    canonical: Volume, grid: Grid, native: NativeJpeg
) -> UInt8[np.ndarray, "slice row column"]:
    """Window, compress and decode every native slice, then bring the gray levels onto the grid.

    The store compresses the result once more, on its own grid, so a volume of such a store has
    been through JPEG twice.

    Args:
        canonical: HU in stored orientation, on the spacing of the source.
        grid: sampling of the store.
        native: quality and window.

    Returns:
        Gray levels on the grid; padding is 0.

    Source:
        CT-Lite (arXiv 2605.00448), section on JPEG compression: "to the original CT volumes".
    """
    gray = to_gray(canonical.hu, native.window)
    for axial in gray:
        decode_gray(encode_gray(np.ascontiguousarray(axial), native.quality), axial)
    return gray_to_grid(gray, canonical, grid)


def gray_to_grid(
    gray: UInt8[np.ndarray, "slice row column"], canonical: Volume, grid: Grid
) -> UInt8[np.ndarray, "grid_slice grid_row grid_column"]:
    """Bring gray levels onto the grid, as HU are.

    Args:
        gray: levels on the sampling of the source.
        canonical: the volume in stored orientation that they were made from.
        grid: sampling of the store.

    Returns:
        Gray levels on the grid; padding is 0.
    """
    # `to_grid` interpolates and rounds any int16; its padding of -1024 ends up as gray 0.
    carrier = Volume(hu=gray.astype(np.int16), affine_ras=canonical.affine_ras)
    gridded = to_grid(carrier, grid, hu_range=GRAY_RANGE)
    on_grid: UInt8[np.ndarray, "grid_slice grid_row grid_column"]
    on_grid = np.clip(gridded.hu, *GRAY_RANGE).astype(np.uint8)
    return on_grid
