"""Windowing: Hounsfield units (HU) to the gray levels that JPEG can hold."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int16, UInt8

from ctprep.store.attributes import Window
from ctprep.store.errors import NotFiniteError


def to_gray(
    hu: Int16[np.ndarray, "slice row column"] | Float[np.ndarray, "slice row column"],
    window: Window,
    *,
    out: UInt8[np.ndarray, "slice row column"] | None = None,
) -> UInt8[np.ndarray, "slice row column"]:
    """Quantize a CT volume to the 256 gray levels of a window.

    Args:
        hu: volume in HU, of any spacing and orientation.
        window: range of HU to keep; values outside it become black or white.
        out: array to write to; a new one if None.

    Returns:
        Gray levels 0 to 255, on the axes of `hu`.

    Raises:
        NotFiniteError: `hu` holds NaN or infinity.

    Source:
        DICOM PS3.3 C.11.2.1.3.2 (LINEAR_EXACT), with output range 0 to 255.
    """
    gray = np.empty(hu.shape, np.uint8) if out is None else out
    if hu.dtype != np.int16:
        check_finite(hu)
        gray[...] = _level(hu, window)
        return gray
    levels = _levels_of_int16(window)
    # By slice, for the cache; `clip` changes no index here, but writes to `out` directly.
    for plane, levels_of_plane in zip(hu.view(np.uint16), gray, strict=True):
        np.take(levels, plane, out=levels_of_plane, mode="clip")
    return gray


def check_finite(hu: Float[np.ndarray, "slice row column"]) -> None:
    """Refuse a volume with holes.

    Args:
        hu: volume in HU.

    Raises:
        NotFiniteError: `hu` holds NaN or infinity.
    """
    bad = np.argwhere(~np.isfinite(hu))
    if bad.size:
        raise NotFiniteError(
            f"{len(bad)} of {hu.size} voxels are not finite, the first at {tuple(bad[0].tolist())}",
            verdict="not-finite",
            mend="export the scan again, or leave it out",
        )


def _level(
    hu: Float[np.ndarray, "..."] | Int16[np.ndarray, "..."], window: Window
) -> UInt8[np.ndarray, "..."]:
    level = 255 * ((hu - window.center_hu) / window.width_hu + 0.5)
    # A bare cast truncates, which would darken every volume by half a level.
    return np.rint(np.clip(level, 0, 255)).astype(np.uint8)


@lru_cache(maxsize=8)
def _levels_of_int16(window: Window) -> UInt8[np.ndarray, "65536"]:
    # Indexed by the bits of an int16 read as unsigned: one look-up a voxel instead of arithmetic.
    bits = np.arange(2**16, dtype=np.uint16)
    return _level(bits.view(np.int16).astype(np.float64), window)
