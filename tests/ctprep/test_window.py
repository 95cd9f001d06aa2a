"""Windowing keeps what DICOM PS3.3 C.11.2.1.3.2 says it keeps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ctprep.store.attributes import LUNG, Window
from ctprep.store.errors import NotFiniteError
from ctprep.window import to_gray


def test_edges_and_center() -> None:
    """By hand from the equation: lower edge black, center mid-gray, upper edge white."""
    hu = np.array([[[-1350, -600, 150]]], np.float32)

    assert to_gray(hu, LUNG).tolist() == [[[0, 128, 255]]]


@given(arrays(np.float32, (1, 1, 8), elements=st.floats(-1350, 150, width=32)))
def test_hu_inside_the_window_survive_to_half_a_level(hu: np.ndarray) -> None:
    """Undoing the window gives every HU back to within half a gray level."""
    restored_hu = (to_gray(hu, LUNG) / 255 - 0.5) * LUNG.width_hu + LUNG.center_hu

    np.testing.assert_allclose(restored_hu, hu, atol=LUNG.width_hu / 255 / 2 + 1e-3)


@pytest.mark.parametrize("window", [LUNG, Window(center_hu=40, width_hu=400)])
def test_look_up_equals_the_formula(window: Window) -> None:
    """Every int16 gets the level that the formula gives it."""
    hu = np.arange(-32768, 32768, dtype=np.int16).reshape(1, 256, 256)

    np.testing.assert_array_equal(to_gray(hu, window), to_gray(hu.astype(np.float64), window))


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_part_of_an_array_is_written_in_place(dtype: type) -> None:
    """The part gets the levels of a call without `out`, and nothing around it changes."""
    hu = np.random.default_rng(0).integers(-1400, 200, (4, 6, 5)).astype(dtype)
    gray = np.full((8, 12, 5), 7, np.uint8)
    part = gray[2:6, ::2]

    assert to_gray(hu, LUNG, out=part) is part

    np.testing.assert_array_equal(part, to_gray(hu, LUNG))
    assert (gray[:2] == 7).all()
    assert (gray[:, 1::2] == 7).all()


def test_holes_are_refused_with_their_place() -> None:
    """NaN is told with its index and a mend."""
    hu = np.zeros((2, 2, 2), np.float32)
    hu[1, 0, 1] = np.nan

    with pytest.raises(NotFiniteError, match=r"the first at \(1, 0, 1\)") as caught:
        to_gray(hu, LUNG)

    assert caught.value.mend
