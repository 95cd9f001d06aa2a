"""Some slices of a volume are those of the whole, and no more is read than holds them."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctprep.store.attributes import Kind
from ctprep.store.errors import StoreError
from ctprep.store.folder import FolderPlace
from ctprep.store.reader import join_extents
from ctprep.store.store import VolumeStore

MakeStore = Callable[..., VolumeStore]
SHAPE = (40, 24, 20)
KINDS = pytest.mark.parametrize("kind", ["jpeg", "hifi"])


@KINDS
@pytest.mark.parametrize("root", ["folder", "memory://store"])
def test_any_slices_are_those_of_the_whole(tmp_path, bench, kind: Kind, root: str) -> None:
    """Whatever begins and ends where, with a chunk of padding among them, in a given array too."""
    where = tmp_path / "s.zarr" if root == "folder" else f"{root}/{tmp_path.name}.zarr"
    store = VolumeStore.create(where, bench.store_attributes(kind, SHAPE))
    voxels = bench.voxels(kind, SHAPE)
    voxels[16:24] = -1024 if kind == "hifi" else 0
    store.write("a", voxels, bench.volume_attributes("a"))
    whole = store.read("a")

    for begin, end in [(0, 40), (0, 8), (8, 16), (3, 5), (7, 9), (15, 33), (17, 20), (39, 40)]:
        out = np.empty((end - begin, *SHAPE[1:]), whole.dtype)
        assert store.read("a", slices=(begin, end), out=out) is out
        np.testing.assert_array_equal(out, whole[begin:end])
        np.testing.assert_array_equal(store.read("a", slices=(begin, end), threads=2), out)


def test_slices_that_are_not_there(make_small_store: MakeStore) -> None:
    """None, too many, backwards, and an array for other ones."""
    store = make_small_store("jpeg", "a")
    for slices in ((0, 0), (-1, 3), (4, 3), (0, 17)):
        with pytest.raises(StoreError, match="are not in a volume of 16"):
            store.read("a", slices=slices)
    with pytest.raises(StoreError, match="cannot take"):
        store.read("a", slices=(0, 3), out=store.read("a"))


def test_no_more_is_read_than_needed(make_small_store: MakeStore, monkeypatch) -> None:
    """The index, then neighbors in one piece; damage elsewhere goes unnoticed, here it does not."""
    store = make_small_store("hifi", "a", shape=SHAPE)
    path = store.path / "a" / "0" / "c" / "0" / "0" / "0"
    shard = bytearray(path.read_bytes())
    asked: list[Sequence[tuple[int, int]]] = []

    def read_ranges(self: FolderPlace, key: str, ranges: Sequence[tuple[int, int]]):
        asked.append(ranges)
        return plain(self, key, ranges)

    plain = FolderPlace.read_ranges
    monkeypatch.setattr(FolderPlace, "read_ranges", read_ranges)
    whole = store.read("a")
    store.read("a", slices=(9, 30))
    ((extent,),) = asked
    assert 0 < extent[0] < extent[1] < len(shard) - 16 * 5 - 4

    shard[extent[1] + 10] ^= 1
    path.write_bytes(shard)
    np.testing.assert_array_equal(store.read("a", slices=(9, 30)), whole[9:30])
    shard[extent[1] - 10] ^= 1
    path.write_bytes(shard)
    with pytest.raises(StoreError, match="chunk 3 does not match its checksum"):
        store.read("a", slices=(9, 30))
    path.write_bytes(shard[:-30])
    with pytest.raises(StoreError, match="index"):
        store.read("a", slices=(9, 30))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9))))
@settings(max_examples=50, suppress_health_check=[HealthCheck.differing_executors])
def test_joined_extents_cover_the_same_bytes(parts: list[tuple[int, int]]) -> None:
    """No byte more or less, in order, and apart from each other."""
    extents = [(begin, begin + length) for begin, length in parts]

    joined = join_extents(extents)

    def covered(some: list[tuple[int, int]]) -> set[int]:
        return {byte for begin, end in some for byte in range(begin, end)}

    assert covered(joined) == covered(extents)
    assert all(one[1] < other[0] for one, other in pairwise(joined))
