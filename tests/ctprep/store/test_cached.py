"""A cache gives what the bucket has now, and transfers it once."""

import os
import pickle
from pathlib import Path

import pytest

from ctprep.store.bucket import BucketPlace
from ctprep.store.cached import SUFFIX, CachedPlace
from ctprep.store.errors import PlaceError, StoreError


@pytest.fixture
def bucket(request: pytest.FixtureRequest) -> BucketPlace:
    """An empty bucket in memory, of this test alone."""
    return BucketPlace(f"memory://cached/{request.node.name}.zarr")


class Transfers:
    """Counts what a bucket gives, and its answers that nothing has changed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.contents, self.unchanged = 0, 0
        plain = BucketPlace.read_unless

        def read(place: BucketPlace, key: str, tag: str | None):
            answer = plain(place, key, tag)
            self.contents += answer is not None
            self.unchanged += answer is None
            return answer

        monkeypatch.setattr(BucketPlace, "read_unless", read)


def kept(folder: Path) -> list[Path]:
    """Files of a cache, the one that was read longest ago first."""
    return sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime)


def test_what_has_not_changed_is_transferred_once(
    bucket: BucketPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by another process that shares the folder."""
    bucket.replace("a", b"voxels")
    transfers = Transfers(monkeypatch)
    place = CachedPlace(bucket, tmp_path, 1000)
    other = pickle.loads(pickle.dumps(place))

    assert [bytes(each.read("a")) for each in (place, place, other)] == [b"voxels"] * 3
    assert (transfers.contents, transfers.unchanged) == (1, 2)


def test_what_has_changed_is_read_anew(bucket: BucketPlace, tmp_path: Path) -> None:
    """Of the same length, too; and what is gone is gone."""
    bucket.replace("a", b"before")
    place = CachedPlace(bucket, tmp_path, 1000)
    place.read("a")
    bucket.replace("a", b"behind")

    assert bytes(place.read("a")) == b"behind"
    with pytest.raises(FileNotFoundError):
        place.read("b")


@pytest.mark.parametrize("length", [0, 1, 5, 20])
def test_a_damaged_file_is_as_good_as_none(
    bucket: BucketPlace, tmp_path: Path, length: int
) -> None:
    """Cut off, or with another byte."""
    bucket.replace("a", b"voxels and voxels")
    place = CachedPlace(bucket, tmp_path, 1000)
    place.read("a")
    (path,) = kept(tmp_path)
    data = path.read_bytes()
    tag = data[:3] + b"\xff" + data[4:]
    for damaged in (data[:length], data[:-1] + bytes([data[-1] ^ 1]), tag):
        path.write_bytes(damaged)
        assert bytes(place.read("a")) == b"voxels and voxels"
        assert path.read_bytes() == data


def test_the_budget_keeps_what_was_read_last(bucket: BucketPlace, tmp_path: Path) -> None:
    """And what is larger than all of it is passed on."""
    for name in "abcd":
        bucket.replace(name, bytes(300))
    bucket.replace("large", bytes(2000))
    place = CachedPlace(bucket, tmp_path, 1000)
    for second, name in enumerate("abacd"):
        place.read(name)
        # As a coarse clock may not tell them apart.
        os.utime(place._path(name), (second, second))

    assert len(place.read("large")) == 2000
    assert sum(path.stat().st_size for path in kept(tmp_path)) <= 1000
    assert place._path("d").exists()
    assert not place._path("b").exists()


def test_the_rest_is_the_buckets(bucket: BucketPlace, tmp_path: Path) -> None:
    """Parts, names, sizes."""
    bucket.replace("a", b"0123456789")
    place = CachedPlace(bucket, tmp_path, 1000)

    assert bytes(place.read_end("a", 3)[0]) == b"789"
    assert place.sizes(["a"]) == [10]
    assert place.url == bucket.url


def test_bad_caches_are_refused(bucket: BucketPlace, tmp_path: Path) -> None:
    """No room, and a file in the way."""
    (tmp_path / "file").touch()

    with pytest.raises(StoreError, match="holds nothing"):
        CachedPlace(bucket, tmp_path, 0)
    with pytest.raises(PlaceError):
        CachedPlace(bucket, tmp_path / "file", 10)
