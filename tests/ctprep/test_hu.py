"""Slope and intercept are applied once: never twice, never not at all."""

import numpy as np
import pytest

from ctprep.hu import decide_hu
from ctprep.store.attributes import PAD_HU
from ctprep.store.errors import NotFiniteError, SourceError

SHAPE = (8, 40, 40)


def _chest(*, air: float = 0.4, seed: int = 0) -> np.ndarray:
    """HU with the peaks of a chest: air, lung, fat, soft tissue and a little bone."""
    rng = np.random.default_rng(seed)
    shares = np.array([air, 0.2, 0.1, 0.27, 0.03])
    tissue = rng.choice(5, SHAPE, p=shares / shares.sum())
    centers = np.array([-1000, -850, -100, 40, 600])[tissue]
    return np.maximum(np.rint(centers + rng.normal(0, 20, SHAPE)), -1024).astype(np.int16)


@pytest.mark.parametrize("air", [0.0, 0.4, 3.0])
@pytest.mark.parametrize("intercept", [-1024, -8192])
def test_raw_values_are_rescaled(air: float, intercept: int) -> None:
    """Stored values as scanners write them become HU."""
    hu = _chest(air=air)

    got, decision = decide_hu((hu - intercept).astype(np.int16), 1, intercept, "auto")

    np.testing.assert_array_equal(got, hu)
    assert decision.decision == "rescaled"
    assert (decision.slope, decision.intercept) == (1, intercept)


@pytest.mark.parametrize("air", [0.0, 0.4, 3.0])
@pytest.mark.parametrize("intercept", [-1024, -8192])
def test_hu_are_not_rescaled_again(air: float, intercept: int) -> None:
    """CT-RATE's double rescale: values are HU, the table still names an intercept."""
    hu = _chest(air=air)

    got, decision = decide_hu(hu, 1, intercept, "auto")

    np.testing.assert_array_equal(got, hu)
    assert decision.decision == "already"
    assert "stored" in decision.reason


@pytest.mark.parametrize("shift", [-1024, 1024, 8192])
def test_values_that_are_no_hu_are_refused(shift: int) -> None:
    """Rescaled twice or not at all, with nothing in the header that would mend it."""
    shifted = (_chest() + shift).astype(np.int16)

    with pytest.raises(SourceError) as caught:
        decide_hu(shifted, 1, 0, "auto")

    assert caught.value.verdict == "implausible-hu"
    assert "--hu" in caught.value.mend


def test_gray_levels_are_refused() -> None:
    """A picture of 256 gray levels has no air."""
    picture = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)

    with pytest.raises(SourceError, match="no HU"):
        decide_hu(picture, 1, 0, "auto")


def test_the_user_is_believed() -> None:
    """Explicit policies ask no histogram, and say so."""
    stored = np.full(SHAPE, 7, np.int16)

    rescaled, said = decide_hu(stored, 2, 1, "rescale")
    already, _ = decide_hu(stored, 2, 1, "already")

    assert (rescaled == 15).all()
    assert (already == 7).all()
    assert (said.policy, said.decision, said.reason) == ("rescale", "rescaled", "as asked")


def test_padding_becomes_air_whatever_is_decided() -> None:
    """The declared padding value reads -3024 HU after rescale, and is none."""
    stored = (_chest() + 1024).astype(np.int16)
    stored[:, :8] = -2000

    got, decision = decide_hu(stored, 1, -1024, "auto", padding=[(-2000, -2000)] * len(stored))

    assert decision.decision == "rescaled"
    assert (got[:, :8] == PAD_HU).all()


def test_each_slice_has_its_own_rescale() -> None:
    """By hand: 2 * 10 + 1 and 3 * 10 - 1; a half rounds to even, 0.5 * 5 = 2.5 to 2."""
    stored = np.array([[[10]], [[10]], [[5]]], np.int16)

    got, _ = decide_hu(stored, [2, 3, 0.5], [1, -1, 0], "rescale")

    assert got.ravel().tolist() == [21, 29, 2]


def test_values_beyond_int16_saturate() -> None:
    """They stay below, or above, everything physical instead of wrapping around."""
    stored = np.array([[[-32768, 32767]]], np.int16)

    got, _ = decide_hu(stored, 1, -1024, "rescale")
    scaled, _ = decide_hu(stored, 2.5, 0, "rescale")

    assert got.ravel().tolist() == [-32768, 31743]
    assert scaled.ravel().tolist() == [-32768, 32767]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_holes_are_refused(bad: float) -> None:
    """A voxel or an intercept that is no number."""
    stored = np.zeros(SHAPE, np.float32)
    stored[2, 3, 4] = bad

    with pytest.raises(NotFiniteError, match=r"\(2, 3, 4\)"):
        decide_hu(stored, 1, 0, "rescale")
    with pytest.raises(NotFiniteError, match="intercept"):
        decide_hu(np.zeros(SHAPE, np.int16), 1, bad, "rescale")


def test_padding_that_reads_as_tissue_is_no_padding() -> None:
    """HU written back under the old tags: a padding value of 0 would turn water into air."""
    stored = np.where(np.arange(2 * 40 * 40) % 3 == 0, 0, -850).reshape(2, 40, 40).astype(np.int16)

    got, _ = decide_hu(stored, 1, 0, "already", padding=[(0, 0)] * len(stored))

    np.testing.assert_array_equal(got, stored)


def test_hu_are_copied_only_where_their_memory_may_go() -> None:
    """An array of its own is handed on; a view, whose memory may be a library's, is copied."""
    hu = _chest()

    handed_on, _ = decide_hu(hu, 1, 0, "already")
    copied, _ = decide_hu(hu[:], 1, 0, "already")

    assert handed_on is hu
    assert not np.shares_memory(copied, hu)
    np.testing.assert_array_equal(copied, hu)
