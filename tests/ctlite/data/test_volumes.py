"""Stored volumes become floats in [-1, 1] on the model's axes, or an error."""

from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctlite.data.volumes import check_store, to_video, video_shape
from ctprep.store.attributes import GRIDS, LUNG, StoreAttributes
from ctprep.store.errors import StoreMismatchError

ORIENTATIONS = [
    "".join(codes) for pair in product("LR", "AP", "SI") for codes in permutations(pair)
]


def test_gray_edges() -> None:
    """By hand from v / 127.5 - 1: black is -1, white is 1, gray 51 is -0.6."""
    gray = torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8)

    video = to_video(gray, hu_range=None, stored_orientation="SPL", model_orientation="SPL")

    assert video.dtype == torch.float32
    torch.testing.assert_close(video.flatten(), torch.tensor([-1, -0.6, 1]))


@pytest.mark.parametrize(
    ("hu_range", "expected"),
    [((-1000.0, 1000.0), [-1, -1, -0.4, 1]), ((-1000.0, 200.0), [-1, -1, 0, 1])],
)
def test_hu_of_both_checkpoints(hu_range: tuple[float, float], expected: list[float]) -> None:
    """CT-CLIP v2 divides by 1000, v1 takes (HU + 400) / 600, both after clipping."""
    hu = torch.tensor([[[[-1024, -1000, -400, 3071]]]], dtype=torch.int16)

    video = to_video(hu, hu_range=hu_range, stored_orientation="SPL", model_orientation="SPL")

    torch.testing.assert_close(video.flatten(), torch.tensor(expected, dtype=torch.float32))


@pytest.mark.parametrize("hu_range", [None, (-1000.0, 200.0)])
def test_values_are_rounded_as_the_formula_is(hu_range: tuple[float, float] | None) -> None:
    """Bit by bit v / 127.5 - 1 and (HU - low) / half - 1, however many passes that takes."""
    if hu_range is None:
        stored = torch.arange(256, dtype=torch.int16).to(torch.uint8).view(1, 1, 16, 16)
        plain = stored.float() / 127.5 - 1
    else:
        stored = torch.arange(-1200, 400, dtype=torch.int16).view(1, 4, 20, 20)
        plain = (stored.float().clamp(-1000, 200) + 1000) / 600 - 1

    video = to_video(stored, hu_range=hu_range, stored_orientation="SPL", model_orientation="SPL")

    assert torch.equal(video, plain[:, None])


def test_ct_clip_sees_every_slice_transposed() -> None:
    """SPL to SLP: element (slice, row, column) comes to (frame, column, row)."""
    gray = torch.arange(24, dtype=torch.uint8).reshape(1, 2, 3, 4)

    video = to_video(gray, hu_range=None, stored_orientation="SPL", model_orientation="SLP")

    assert video.shape == (1, 1, 2, 4, 3)
    torch.testing.assert_close(video[0, 0, 1, 3, 2], torch.tensor(23 / 127.5 - 1))
    torch.testing.assert_close(video[0, 0, 0, 3, 1], torch.tensor(7 / 127.5 - 1))


def test_opposite_codes_flip() -> None:
    """S to I turns the volume over; a value at the feet ends at the last frame."""
    gray = torch.tensor([[[[10]], [[20]], [[30]]]], dtype=torch.uint8)

    video = to_video(gray, hu_range=None, stored_orientation="SPL", model_orientation="IPL")

    assert video.flatten().argsort().tolist() == [2, 1, 0]


@given(st.sampled_from(ORIENTATIONS), st.sampled_from(ORIENTATIONS))
def test_there_and_back_again(stored: str, model: str) -> None:
    """Converting to any orientation and back loses nothing, and shapes are foretold."""
    gray = torch.arange(24, dtype=torch.uint8).reshape(1, 2, 3, 4)
    there = to_video(gray, hu_range=None, stored_orientation=stored, model_orientation=model)
    again = torch.round((there[:, 0] + 1) * 127.5).to(torch.uint8)

    back = to_video(again, hu_range=None, stored_orientation=model, model_orientation=stored)

    assert tuple(there.shape[2:]) == video_shape(
        (2, 3, 4), stored_orientation=stored, model_orientation=model
    )
    np.testing.assert_allclose((back[0, 0].numpy() + 1) * 127.5, gray[0].numpy(), atol=1e-4)


def test_given_memory_is_used() -> None:
    """With `out`, the result is written there."""
    gray = torch.full((1, 1, 2, 3), 255, dtype=torch.uint8)
    out = torch.zeros(1, 1, 1, 3, 2)

    video = to_video(
        gray, hu_range=None, stored_orientation="SPL", model_orientation="SLP", out=out
    )

    assert video is out
    assert out.eq(1).all()


@pytest.mark.parametrize(("stored", "model"), [("SPL", "SPP"), ("SP", "SLP"), ("spl", "SLP")])
def test_bad_codes_are_refused(stored: str, model: str) -> None:
    """An orientation that is not three different axes cannot be converted."""
    gray = torch.zeros(1, 1, 1, 1, dtype=torch.uint8)

    with pytest.raises(StoreMismatchError, match="not three different axes"):
        to_video(gray, hu_range=None, stored_orientation=stored, model_orientation=model)


@pytest.mark.parametrize(
    ("dtype", "hu_range"),
    [
        (torch.int16, None),
        (torch.uint8, (-1000.0, 1000.0)),
        (torch.int16, (5.0, 5.0)),
        (torch.float32, None),
    ],
)
def test_types_that_do_not_fit_the_range_are_refused(
    dtype: torch.dtype, hu_range: tuple[float, float] | None
) -> None:
    """HU taken for gray levels, or the reverse, would be wrong without an error."""
    stored = torch.zeros(1, 1, 1, 1, dtype=dtype)

    with pytest.raises(StoreMismatchError, match="cannot be normalized"):
        to_video(stored, hu_range=hu_range, stored_orientation="SPL", model_orientation="SPL")


def test_a_store_of_another_grid_and_window_is_refused() -> None:
    """Everything that differs is named at once; the grid's name is of no account."""
    attributes = StoreAttributes(kind="jpeg", grid=GRIDS["isotropic-2mm"], window=LUNG)
    renamed = attributes.grid.model_copy(update={"name": "mine"})

    check_store(attributes, kind="jpeg", grid=renamed, model_orientation="SLP", window=LUNG)
    with pytest.raises(StoreMismatchError, match=r"kind is jpeg.*shape is .*spacing_mm is "):
        check_store(attributes, kind="hifi", grid=GRIDS["ct-clip"], model_orientation="SLP")
    with pytest.raises(StoreMismatchError, match="window is center -600 HU"):
        check_store(attributes, kind="jpeg", grid=renamed, model_orientation="SLP", window=None)
