"""The codec `reshape` does what the draft says, and refuses the rest."""

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from ctprep.store.errors import StoreError
from ctprep.store.reshape import ReshapeCodec, parse_shape, resolve_shape


@pytest.mark.parametrize(
    ("target", "source", "expected"),
    [
        ([[0, 1], [2], 3], (100, 50, 64, 3), (5000, 64, 3)),
        ([[0, 1], -1], (8, 480, 480), (3840, 480)),
        ([-1], (2, 3), (6,)),
        ([6, []], (2, 3), (6, 1)),
        ([2, 12], (4, 6), (2, 12)),
    ],
)
def test_shapes_by_hand(
    target: list[object], source: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    """The draft's example, ours, and each kind of entry."""
    assert resolve_shape(parse_shape(target), source) == expected


@pytest.mark.parametrize(
    "target", [[[1], [0]], [[1, 0], 10], [-1, -1], [0], [-2], [1.5], ["a"], 3, [True], [[-1]], None]
)
def test_invalid_configurations_are_refused(target: object) -> None:
    """Dimensions that do not increase, two -1, and what is no size."""
    with pytest.raises(StoreError, match="reshape"):
        ReshapeCodec.from_dict({"name": "reshape", "configuration": {"shape": target}})


@pytest.mark.parametrize("target", [[5], [[0], [3]], [4, [1]], [-1, 5], [[1], 2]])
def test_shapes_that_do_not_fit_are_refused(target: list[object]) -> None:
    """Another number of elements, no such dimension, or a dimension that would move."""
    with pytest.raises(StoreError, match=r"reshap|dimensions"):
        resolve_shape(parse_shape(target), (2, 3))


@given(st.lists(st.integers(1, 4), min_size=2, max_size=4))
def test_zarr_reads_back_what_it_wrote(shape: list[int]) -> None:
    """Through zarr with its own bytes codec, every shape comes back in order."""
    values = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    codec = ReshapeCodec.from_dict({"name": "reshape", "configuration": {"shape": [[0, 1], -1]}})
    array = zarr.create_array(
        {}, shape=shape, chunks=tuple(shape), dtype="int16", filters=[codec], compressors=None
    )

    array[:] = values

    np.testing.assert_array_equal(array[:], values)
    assert codec.to_dict()["configuration"] == {"shape": [[0, 1], -1]}
