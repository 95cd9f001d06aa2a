"""Pictures of volumes: their planes, what compression changed, and many scans on a sheet."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ctprep.look.planes import Plane
from ctprep.look.plotting import encode_png, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

SHEET_COLUMNS = 4
SHEET_ROWS = 6
SHEET_SCANS = SHEET_COLUMNS * SHEET_ROWS
THUMB_PIXELS = 200
"""Longest side of a plane on a contact sheet."""
SIDE_INCHES = 3.6
DIFFERENCE = "compressed minus clean, gray levels"
SCALED = 0.999
"""Part of the pixels whose difference lies within the colors."""
GRAYS: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 255}
Planes = tuple[Plane, Plane, Plane]


@dataclass(frozen=True)
class Thumb:
    """One scan on a contact sheet: two planes, since one alone does not show every flip."""

    scan_id: str
    axial: Plane
    coronal: Plane


def draw_planes(title: str, planes: Planes) -> bytes:
    """Draw the three planes of a volume.

    Args:
        title: above the picture; scan ids and figures alone.
        planes: in gray levels.

    Returns:
        A PNG file.
    """
    figure = new_figure(3 * SIDE_INCHES, SIDE_INCHES + 0.6)
    figure.suptitle(title)
    for axes, plane in zip(figure.subplots(1, 3), planes, strict=True):
        axes.set_title(plane.name)
        _show(axes, plane, **GRAYS)
    return encode_png(figure)


def draw_comparison(title: str, clean: Planes, compressed: Planes) -> bytes:
    """Draw the planes of a volume before and after compression, and their difference.

    Args:
        title: above the picture.
        clean: gray levels before compression.
        compressed: gray levels after it.

    Returns:
        A PNG file; the difference has a scale of its own, with a color bar.
    """
    figure = new_figure(3 * SIDE_INCHES + 0.8, 3 * SIDE_INCHES + 0.8)
    figure.suptitle(title)
    grid = figure.subplots(3, 3)
    differences = [subtract(after, before) for before, after in zip(clean, compressed, strict=True)]
    # Few pixels differ most; a scale up to them would show nothing of the others.
    most = max(1.0, *(float(np.quantile(np.abs(d.pixels), SCALED)) for d in differences))
    scale: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -most, "vmax": most}
    for column in range(3):
        _show(grid[0, column], clean[column], **GRAYS)
        _show(grid[1, column], compressed[column], **GRAYS)
        image = _show(grid[2, column], differences[column], **scale)
        grid[0, column].set_title(clean[column].name)
    for axes, name in zip(grid[:, 0], ("clean", "compressed", "difference"), strict=True):
        axes.set_ylabel(name, labelpad=18)
    figure.colorbar(image, ax=list(grid[2]), extend="both", label=DIFFERENCE)
    return encode_png(figure)


def subtract(after: Plane, before: Plane) -> Plane:
    """Give the difference of two planes of gray levels, as signed numbers."""
    # As they are, gray levels below would wrap around.
    pixels = after.pixels.astype(np.int16) - before.pixels.astype(np.int16)
    return replace(before, pixels=pixels)


def draw_sheet(title: str, thumbs: Sequence[Thumb]) -> bytes:
    """Draw many scans on one sheet, the middle axial and coronal plane of each.

    Args:
        title: above the sheet.
        thumbs: at most `SHEET_SCANS`.

    Returns:
        A PNG file.
    """
    rows = -(-len(thumbs) // SHEET_COLUMNS)
    figure = new_figure(SHEET_COLUMNS * 3.2, rows * 1.9 + 0.6)
    figure.suptitle(title)
    grid = figure.subplots(rows, 2 * SHEET_COLUMNS, squeeze=False)
    cells = grid.reshape(-1, 2)
    for pair, thumb in zip(cells, thumbs, strict=False):
        pair[0].set_title(thumb.scan_id, fontsize=6, loc="left")
        for axes, plane in zip(pair, (thumb.axial, thumb.coronal), strict=True):
            _show(axes, plane, letters_size=6, **GRAYS)
    for axes in cells[len(thumbs) :].flat:
        axes.set_axis_off()
    return encode_png(figure)


def to_thumb(scan_id: str, axial: Plane, coronal: Plane) -> Thumb:
    """Keep of two planes only the pixels that a sheet can show."""
    return Thumb(scan_id, _shrink(axial), _shrink(coronal))


def _shrink(plane: Plane) -> Plane:
    rows, columns = (max(1, length // THUMB_PIXELS) for length in plane.pixels.shape)
    # A copy, or the whole volume would stay in memory.
    pixels = plane.pixels[::rows, ::columns].copy()
    return replace(plane, pixels=pixels, aspect=plane.aspect * rows / columns)


def _show(
    axes: "Axes",
    plane: Plane,
    *,
    letters_size: int = 9,
    **shown: Any,  # noqa: ANN401 - matplotlib's own options
) -> "AxesImage":
    image = axes.imshow(plane.pixels, aspect=plane.aspect, **shown)
    axes.set_xticks([])
    axes.set_yticks([])
    places = (
        (plane.left, 0.02, 0.5, "left", "center"),
        (plane.right, 0.98, 0.5, "right", "center"),
        (plane.top, 0.5, 0.98, "center", "top"),
        (plane.bottom, 0.5, 0.02, "center", "bottom"),
    )
    for letter, x, y, horizontal, vertical in places:
        axes.text(
            x,
            y,
            letter,
            transform=axes.transAxes,
            ha=horizontal,
            va=vertical,
            fontsize=letters_size,
            color="black",
            bbox={"facecolor": "gold", "pad": 1, "linewidth": 0},
        )
    return image
