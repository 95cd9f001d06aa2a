"""PSNR and SSIM equal their equations, computed slowly."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctprep.quality import measure_quality
from ctprep.store.errors import StoreError


def slow_ssim(clean: np.ndarray, decoded: np.ndarray) -> float:
    """Wang et al. 2004, equation (13), window by window, in double precision."""
    values = []
    for x_slice, y_slice in zip(clean.astype(float), decoded.astype(float), strict=True):
        rows, columns = x_slice.shape
        for row in range(0, rows - 7, 4):
            for column in range(0, columns - 7, 4):
                x = x_slice[row : row + 8, column : column + 8]
                y = y_slice[row : row + 8, column : column + 8]
                c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
                covariance = ((x - x.mean()) * (y - y.mean())).mean()
                numerator = (2 * x.mean() * y.mean() + c1) * (2 * covariance + c2)
                denominator = (x.mean() ** 2 + y.mean() ** 2 + c1) * (x.var() + y.var() + c2)
                values.append(numerator / denominator)
    return float(np.mean(values))


@given(
    seed=st.integers(0, 2**32 - 1),
    noise=st.sampled_from([1, 5, 60, 255]),
    shape=st.sampled_from([(1, 8, 8), (2, 16, 24), (1, 19, 30)]),
)
def test_equals_the_slow_reference(seed, noise, shape) -> None:
    """Any picture, any noise, also where sides are no multiple of the window."""
    rng = np.random.default_rng(seed)
    clean = rng.integers(0, 256, shape).astype(np.uint8)
    change = rng.integers(-noise, noise + 1, shape)
    decoded = np.clip(clean + change, 0, 255).astype(np.uint8)
    squared_error = ((clean.astype(float) - decoded) ** 2).mean()

    psnr_db, ssim = measure_quality(clean, decoded)

    assert ssim == pytest.approx(slow_ssim(clean, decoded), abs=1e-9)
    if squared_error:
        assert psnr_db == pytest.approx(10 * math.log10(255**2 / squared_error))
    else:
        assert psnr_db is None


def test_by_hand() -> None:
    """Black against white: 0 dB, and SSIM is C1 / (255^2 + C1); equal pictures: none and 1."""
    black = np.zeros((1, 8, 8), np.uint8)
    white = np.full((1, 8, 8), 255, np.uint8)
    c1 = 2.55**2

    psnr_db, ssim = measure_quality(black, white)

    assert psnr_db == pytest.approx(0)
    assert ssim == pytest.approx(c1 / (255**2 + c1))
    assert measure_quality(white, white) == (None, 1.0)


def test_slices_smaller_than_a_window_are_an_error() -> None:
    """There is no mean over no windows."""
    tiny = np.zeros((4, 8, 7), np.uint8)

    with pytest.raises(StoreError, match="8 x 7"):
        measure_quality(tiny, tiny)
