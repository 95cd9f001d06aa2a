"""Quality: how much of a windowed volume its JPEG form has kept."""

import math
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from jaxtyping import Float64, UInt8, UInt16, UInt32

from ctprep.store.attributes import CompressionQuality, VolumeAttributes
from ctprep.store.errors import StoreError
from ctprep.store.store import VolumeStore

GRAY_MAX = 255
SSIM_WINDOW = 8
SSIM_STRIDE = 4
SSIM_PIXELS = SSIM_WINDOW**2
SSIM_C1 = (0.01 * GRAY_MAX) ** 2
SSIM_C2 = (0.03 * GRAY_MAX) ** 2

Sums = UInt16[np.ndarray, "sum_row sum_column"] | UInt32[np.ndarray, "sum_row sum_column"]


def measure_quality(
    clean: UInt8[np.ndarray, "slice row column"],
    decoded: Iterable[UInt8[np.ndarray, "row column"]],
) -> tuple[float | None, float]:
    """Compare a decoded volume with the one that was encoded.

    SSIM uses uniform windows of 8 x 8 pixels, 4 apart, in every axial slice, and is the mean over
    all of them: a sixteenth of the work of a window at every pixel, and no slice is left out.

    Args:
        clean: gray levels before compression.
        decoded: its slices after it, in order, each looked at once.

    Returns:
        PSNR over the whole volume in dB (None when nothing differs), and SSIM in -1 to 1.

    Raises:
        StoreError: slices are smaller than one window.

    Source:
        Wang et al. 2004, equation (13), K1 = 0.01, K2 = 0.03; the uniform window instead of the
        Gaussian one, for speed.
    """
    if min(clean.shape[1:]) < SSIM_WINDOW:
        raise StoreError(
            f"slices of {clean.shape[1]} x {clean.shape[2]} pixels are too small to measure",
            mend=f"use a grid of at least {SSIM_WINDOW} rows and columns",
        )
    squared_error, similarity = 0, 0.0
    for clean_slice, decoded_slice in zip(clean, decoded, strict=True):
        x, y = clean_slice.astype(np.uint16), decoded_slice.astype(np.uint16)
        # A difference that wraps around still squares to the same 16 bits.
        squares = (x - y) ** 2
        blocks = _block_sums(squares, np.uint32)
        squared_error += int(blocks.sum(dtype=np.uint64)) + _sum_beside_blocks(squares)
        similarity += float(_ssim_map(x, y, blocks).mean())
    psnr_db = None
    if squared_error:
        psnr_db = 10 * math.log10(GRAY_MAX**2 * clean.size / squared_error)
    return psnr_db, similarity / len(clean)


def _ssim_map(
    x: UInt16[np.ndarray, "row column"],
    y: UInt16[np.ndarray, "row column"],
    squared_error_blocks: UInt32[np.ndarray, "block_row block_column"],
) -> Float64[np.ndarray, "window_row window_column"]:
    # Whole numbers as far as they go, so that no rounding passes for a difference. Means and
    # variances are left multiplied by the pixels of a window, once or twice: 2 * (64 * 255)^2 fits.
    sum_x, sum_y = (_window_sums(_block_sums(z, np.uint16)).astype(np.int32) for z in (x, y))
    sum_xy = _window_sums(_block_sums(x * y, np.uint32)).view(np.int32)
    # x^2 + y^2 = (x - y)^2 + 2xy spares two products and a sum.
    sum_squares = _window_sums(squared_error_blocks).view(np.int32) + 2 * sum_xy
    product, squares = sum_x * sum_y, sum_x**2 + sum_y**2
    covariance = SSIM_PIXELS * sum_xy - product
    variances = SSIM_PIXELS * sum_squares - squares
    c1, c2 = SSIM_C1 * SSIM_PIXELS**2, SSIM_C2 * SSIM_PIXELS**2
    return ((2 * product + c1) * (2 * covariance + c2)) / ((squares + c1) * (variances + c2))


def _block_sums(
    values: UInt16[np.ndarray, "row column"], dtype: type[np.uint16] | type[np.uint32]
) -> Sums:
    rows, columns = (length // SSIM_STRIDE for length in values.shape)
    cropped = values[: rows * SSIM_STRIDE, : columns * SSIM_STRIDE]
    bands = cropped.reshape(rows, SSIM_STRIDE, -1)
    # Row upon row, not `sum` over the short axis, which is slow.
    by_row = np.add(bands[:, 0], bands[:, 1], dtype=dtype)
    for offset in range(2, SSIM_STRIDE):
        by_row += bands[:, offset]
    blocks: Sums = by_row[:, ::SSIM_STRIDE].copy()
    for offset in range(1, SSIM_STRIDE):
        blocks += by_row[:, offset::SSIM_STRIDE]
    return blocks


def _window_sums(
    blocks: Sums,
) -> (
    UInt16[np.ndarray, "window_row window_column"] | UInt32[np.ndarray, "window_row window_column"]
):
    beside = blocks[:, :-1] + blocks[:, 1:]
    sums: Sums = beside[:-1] + beside[1:]
    return sums


def _sum_beside_blocks(values: UInt16[np.ndarray, "row column"]) -> int:
    # The last rows and columns, where they do not fill a block.
    rows, columns = (length // SSIM_STRIDE * SSIM_STRIDE for length in values.shape)
    below, right = values[rows:], values[:rows, columns:]
    return int(below.sum(dtype=np.uint64)) + int(right.sum(dtype=np.uint64))


def write_measured(
    store: VolumeStore,
    gray: UInt8[np.ndarray, "slice row column"],
    clean: UInt8[np.ndarray, "slice row column"],
    attributes: VolumeAttributes,
) -> int:
    """Write a volume to a JPEG store, with what compression has kept of it.

    Padding comes back almost exactly, so it is left out of PSNR and SSIM: they would rise with it.

    Args:
        store: a JPEG store.
        gray: what is written.
        clean: what the decoded volume is compared with; `gray`, unless that was compressed before.
        attributes: of the volume, still without figures.

    Returns:
        Bytes of the shard.
    """
    box = _measurable_box(attributes, gray.shape)

    def describe(
        decoded: Iterator[UInt8[np.ndarray, "row column"]], nbytes: int
    ) -> VolumeAttributes:
        slices, *plane = box
        inside = (whole[tuple(plane)] for whole in islice(decoded, slices.start, slices.stop))
        psnr_db, ssim = measure_quality(clean[box], inside)
        ratio = gray.size * np.dtype(np.int16).itemsize / nbytes
        quality = CompressionQuality(nbytes=nbytes, ratio=ratio, psnr_db=psnr_db, ssim=ssim)
        return attributes.model_copy(update={"quality": quality})

    return store.write(attributes.scan_id, gray, describe)


def _measurable_box(
    attributes: VolumeAttributes, shape: tuple[int, ...]
) -> tuple[slice, slice, slice]:
    whole = tuple((0, length) for length in shape)
    content = attributes.content or whole
    # A scan narrower than one window is measured with the padding around it.
    bounds = [
        inside if axis == 0 or inside[1] - inside[0] >= SSIM_WINDOW else whole[axis]
        for axis, inside in enumerate(content)
    ]
    slices, rows, columns = (slice(begin, end) for begin, end in bounds)
    return slices, rows, columns
