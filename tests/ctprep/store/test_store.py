"""A store gives back what was written, as plain zarr does, or says what is wrong."""

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctprep.store.attributes import Kind
from ctprep.store.errors import StoreError, StoreMismatchError, StoreVersionError
from ctprep.store.store import VolumeStore

MakeStore = Callable[..., VolumeStore]
KINDS = pytest.mark.parametrize("kind", ["jpeg", "hifi"])


def shard_of(store: VolumeStore, scan_id: str) -> Path:
    """The file that holds the voxels."""
    return store.path / scan_id / "0" / "c" / "0" / "0" / "0"


def edit_json(path: Path, **changes: object) -> None:
    """Change top-level keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@KINDS
@given(shape=st.tuples(st.integers(1, 20), st.integers(1, 21), st.integers(1, 19)))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_fast_reader_equals_zarr(
    tmp_path_factory, bench, kind: Kind, shape: tuple[int, int, int]
) -> None:
    """Bit for bit, for any shape; hi-fi also equals what was written."""
    store = VolumeStore.create(
        tmp_path_factory.mktemp("s") / "s.zarr", bench.store_attributes(kind, shape)
    )
    voxels = bench.voxels(kind, shape)
    store.write("a", voxels, bench.volume_attributes("a"))

    read = store.read("a")

    np.testing.assert_array_equal(read, zarr.open_group(store.path, mode="r")["a/0"][:])
    np.testing.assert_array_equal(read, store.read("a", threads=2))
    if kind == "hifi":
        np.testing.assert_array_equal(read, voxels)


@KINDS
def test_the_shard_is_the_one_zarr_writes(make_small_store: MakeStore, bench, kind: Kind) -> None:
    """Byte for byte, with a chunk of padding that is left out."""
    store = make_small_store(kind)
    voxels = bench.voxels(kind)
    voxels[8:] = -1024 if kind == "hifi" else 0
    nbytes = store.write("a", voxels, bench.volume_attributes("a"))
    ours = shard_of(store, "a").read_bytes()

    zarr.open_group(store.path, mode="r+")["a/0"][:] = voxels

    assert shard_of(store, "a").read_bytes() == ours
    assert len(ours) == nbytes
    assert (store.read("a")[8:] == voxels[8:]).all()


@KINDS
def test_attributes_may_depend_on_what_was_encoded(
    make_small_store: MakeStore, bench, kind: Kind
) -> None:
    """A function is told what a reader will get, padding too, before anything is on disk."""
    store = make_small_store(kind)
    voxels = bench.voxels(kind)
    voxels[8:] = -1024 if kind == "hifi" else 0
    told = []

    def describe(decoded, nbytes):
        told.append(([plane.copy() for plane in decoded], nbytes, "a" in store))
        return bench.volume_attributes("a")

    nbytes = store.write("a", voxels, describe)

    ((decoded, told_nbytes, was_there),) = told
    np.testing.assert_array_equal(decoded, store.read("a"))
    assert (told_nbytes, was_there) == (nbytes, False)
    assert store.read_attributes("a") == bench.volume_attributes("a")
    with pytest.raises(StoreError, match="attributes are those of"):
        store.write("b", voxels, describe)
    assert store.scan_ids() == ("a",)


def test_stacking_slices_keeps_their_pixels(make_small_store: MakeStore, bench) -> None:
    """With rows a multiple of 8, a stacked slice decodes as it would alone."""
    store = make_small_store("jpeg", "a")
    alone = VolumeStore.create(
        store.path.with_name("alone.zarr"), bench.store_attributes("jpeg", (1, 24, 20))
    )
    voxels = bench.voxels("jpeg")
    alone.write("a", voxels[3:4], bench.volume_attributes("a"))

    np.testing.assert_array_equal(store.read("a")[3], alone.read("a")[0])


@KINDS
def test_a_volume_of_padding(make_small_store: MakeStore, bench, kind: Kind) -> None:
    """Nothing but fill value: the shard is an index, and both readers fill."""
    store = make_small_store(kind)
    voxels = np.full_like(bench.voxels(kind), -1024 if kind == "hifi" else 0)
    store.write("a", voxels, bench.volume_attributes("a"))

    np.testing.assert_array_equal(store.read("a"), voxels)
    np.testing.assert_array_equal(zarr.open_group(store.path, mode="r")["a/0"][:], voxels)


@KINDS
def test_reading_into_an_array(make_small_store: MakeStore, kind: Kind) -> None:
    """The given array is filled and returned; one that does not fit is refused."""
    store = make_small_store(kind, "a")
    whole = store.read("a")
    out = np.empty_like(whole)

    assert store.read("a", out=out) is out
    np.testing.assert_array_equal(out, whole)
    for wrong in (np.empty((1, 2, 3), whole.dtype), whole.astype(np.float32), whole[:, :, ::-1]):
        with pytest.raises(StoreError, match="cannot take"):
            store.read("a", out=wrong)


@KINDS
def test_every_flipped_byte_is_told(make_small_store: MakeStore, kind: Kind) -> None:
    """Anywhere in the shard, with the scan and, inside a chunk, the chunk."""
    store = make_small_store(kind, "a")
    path = shard_of(store, "a")
    whole = path.read_bytes()
    for position in range(0, len(whole), 311):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"chunk \d does not match|index") as caught:
            store.read("a")
        assert caught.value.where == "a"


@KINDS
def test_damage_is_told_without_checksums(make_small_store: MakeStore, bench, kind: Kind) -> None:
    """In an array that others wrote, a chunk of another size is still an error with its number."""
    store = make_small_store(kind, "a")
    small = VolumeStore.create(
        store.path.with_name("small.zarr"), bench.store_attributes(kind, (16, 16, 20))
    )
    small.write("a", bench.voxels(kind, (16, 16, 20)), bench.volume_attributes("a"))
    shard_of(store, "a").write_bytes(shard_of(small, "a").read_bytes())
    edit_json(store.path / "a/0/zarr.json", attributes={})

    with pytest.raises(StoreError, match=r"chunk 0 .*hold"):
        store.read("a")


@pytest.mark.parametrize("cut", [0, 40])
def test_a_cut_or_missing_shard_is_told(make_small_store: MakeStore, cut: int) -> None:
    """Neither is taken for padding."""
    store = make_small_store("jpeg", "a")
    shard_of(store, "a").write_bytes(b"x" * cut)
    with pytest.raises(StoreError, match=r"cut off|index"):
        store.read("a")
    shard_of(store, "a").unlink()
    with pytest.raises(StoreError, match="missing"):
        store.read("a")


def test_imagecodecs_name_is_read_too(make_small_store: MakeStore) -> None:
    """The same bytes under the name that the package imagecodecs gives the codec."""
    store = make_small_store("jpeg", "a")
    before = store.read("a")
    path = store.path / "a/0/zarr.json"
    path.write_text(path.read_text().replace('"jpeg"', '"imagecodecs_jpeg"'))

    np.testing.assert_array_equal(store.read("a"), before)


@KINDS
def test_bare_zarr_reads_it(make_small_store: MakeStore, kind: Kind) -> None:
    """In a fresh process that imports zarr alone; codecs come by entry point."""
    store = make_small_store(kind, "a")
    code = "import sys, zarr; print(zarr.open(sys.argv[1], mode='r')['a/0'][:].sum(dtype='int64'))"

    done = subprocess.run(
        [sys.executable, "-c", code, store.path], capture_output=True, text=True, check=True
    )

    assert int(done.stdout) == store.read("a").sum(dtype=np.int64)


def test_attributes_come_back(make_small_store: MakeStore, bench) -> None:
    """Of the volume and of the store."""
    store = make_small_store("jpeg", "a")

    assert store.read_attributes("a") == bench.volume_attributes("a")
    assert VolumeStore.open(store.path, kind="jpeg").attributes == bench.store_attributes("jpeg")


def test_which_volumes_are_there(make_small_store: MakeStore) -> None:
    """Sorted ids of whole volumes; a removed one is gone, a foreign folder is none."""
    store = make_small_store("hifi", "b", "a", "c.1_x-y")
    (store.path / "foreign").mkdir()
    (store.path / "Odd").mkdir()
    store.remove("b")

    assert store.scan_ids() == ("a", "c.1_x-y")
    assert "a" in store
    assert "b" not in store
    assert ".." not in store
    for action in (store.read, store.read_attributes, store.remove):
        with pytest.raises(StoreError, match="no such volume") as caught:
            action("b")
        assert caught.value.where == "b"


def test_what_does_not_fit_is_not_written(make_small_store: MakeStore, bench) -> None:
    """Wrong type, wrong shape, attributes of another scan, a path as id."""
    store = make_small_store("jpeg")
    good, attributes = bench.voxels("jpeg"), bench.volume_attributes("a")

    for voxels in (bench.voxels("hifi"), good[1:]):
        with pytest.raises(StoreError, match="do not fit"):
            store.write("a", voxels, attributes)
    with pytest.raises(StoreError, match="attributes are those"):
        store.write("b", good, attributes)
    with pytest.raises(StoreError, match="no scan id"):
        store.write("../b", good, attributes)
    assert store.scan_ids() == ()


def test_create_opens_an_equal_store(make_small_store: MakeStore, bench) -> None:
    """Other versions do not matter; every parameter that differs is named."""
    store = make_small_store("jpeg", "a")
    equal = bench.store_attributes("jpeg").model_copy(update={"versions": {"zarr": "9"}})
    assert VolumeStore.create(store.path, equal).scan_ids() == ("a",)

    other = bench.store_attributes("jpeg", (8, 8, 8), quality=50)
    with pytest.raises(StoreMismatchError, match=r"grid\.shape.*quality is 90, not 50"):
        VolumeStore.create(store.path, other)


def test_creating_races_safely(tmp_path: Path, bench) -> None:
    """Many at once: all get the one store, and no draft is left."""
    attributes = bench.store_attributes("jpeg")
    # Often enough that a race of all with the first one's clean-up is met.
    for number in range(40):
        place = tmp_path / str(number) / "s"
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda _, at=place: VolumeStore.create(at, attributes), range(16)))
        assert all(store.attributes == attributes for store in made)
        assert [entry.name for entry in place.iterdir()] == ["zarr.json"]


def test_what_is_no_store_is_told(tmp_path: Path, make_small_store: MakeStore, bench) -> None:
    """Nothing there, a plain zarr group, another version, the other kind, a full folder."""
    with pytest.raises(StoreError, match=r"there is no store here"):
        VolumeStore.open(tmp_path / "none")
    zarr.create_group(tmp_path / "plain")
    with pytest.raises(StoreError, match="not a ctprep store"):
        VolumeStore.open(tmp_path / "plain")

    store = make_small_store("jpeg")
    with pytest.raises(StoreMismatchError, match="jpeg store where a hifi"):
        VolumeStore.open(store.path, kind="hifi")
    metadata = store.path / "zarr.json"
    metadata.write_text(
        metadata.read_text().replace('"format_version": "1"', '"format_version": "2"')
    )
    with pytest.raises(StoreVersionError, match="'2'"):
        VolumeStore.open(store.path)
    metadata.write_text("{")
    with pytest.raises(StoreError, match="not JSON"):
        VolumeStore.open(store.path)

    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"thesis\.txt"):
        VolumeStore.create(tmp_path / "full", bench.store_attributes("jpeg"))
    with pytest.raises(StoreError, match="a file is in the way"):
        VolumeStore.create(tmp_path / "full" / "thesis.txt", bench.store_attributes("jpeg"))
