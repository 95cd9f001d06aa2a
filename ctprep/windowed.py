"""Scans that come windowed: which stores take them, and their gray levels on the grid."""

import numpy as np
from jaxtyping import UInt8

from ctprep.native import NativeJpeg, gray_to_grid
from ctprep.sources import pictures
from ctprep.sources.source import Found
from ctprep.store.attributes import Grid
from ctprep.store.errors import SourceError
from ctprep.volume import Volume
from ctprep.window import to_gray


def is_windowed(found: Found) -> bool:
    """Tell whether a scan holds gray levels of a window instead of HU."""
    return found.format == pictures.FORMAT


def check_taken(found: Found, native: NativeJpeg | None) -> None:
    """Refuse a windowed scan for a store that cannot hold it.

    Args:
        found: any scan.
        native: what is asked of a JPEG store; None for a hi-fi store.

    Raises:
        SourceError: `already-windowed` for a hi-fi store, `other-window` for one of another window.
    """
    if not is_windowed(found):
        return
    if native is None:
        raise SourceError(
            "its pictures are windowed: the HU that a hi-fi store holds are lost",
            verdict="already-windowed",
            mend="ingest pictures into a JPEG store of their own, with --native-jpeg 90",
        )
    window = pictures.assumed_window(found)
    if window != native.window:
        raise SourceError(
            f"its window is {window.center_hu:g} / {window.width_hu:g} HU, that of the store "
            f"{native.window.center_hu:g} / {native.window.width_hu:g}",
            verdict="other-window",
            mend="ingest it into a store of its own window, or correct `window` in its sidecar",
        )


def windowed_gray(
    canonical: Volume, grid: Grid, native: NativeJpeg
) -> UInt8[np.ndarray, "slice row column"]:
    """Bring the gray levels of a windowed scan onto the grid, without another JPEG on the way.

    Args:
        canonical: the scan in stored orientation; its HU are those of its gray levels.
        grid: sampling of the store.
        native: whose window is that of the scan.

    Returns:
        Gray levels on the grid; padding is 0.
    """
    return gray_to_grid(to_gray(canonical.hu, native.window), canonical, grid)
