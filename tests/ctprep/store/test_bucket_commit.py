"""In a bucket a volume is whole or not there, wherever its writers stop or meet."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from obstore.exceptions import PreconditionError
from obstore.store import MemoryStore

from ctprep.store import bucket_commit
from ctprep.store.bucket_commit import clean_objects, remove_objects, write_objects
from ctprep.store.errors import StoreError

MARKER = "zarr.json"
PARTS = frozenset({"0/c", "0/zarr.json"})
STEPS = 12
"""More than the requests of one writer that meets no other."""


class Killed(BaseException):
    """The process is gone."""


class Tapped:
    """A store as S3 is one, versions named by content, that calls back before each request."""

    def __init__(self, real: MemoryStore, before: Callable[[int], None]) -> None:
        self._real, self._before, self.count = real, before, 0

    def _step(self) -> None:
        self.count += 1
        self._before(self.count)

    def _tag(self, key: str) -> str:
        return hashlib.md5(bytes(self._real.get(key).bytes())).hexdigest()

    def list(self, prefix: str | None = None) -> Iterator[list[dict[str, Any]]]:
        """As S3 does it."""
        self._step()
        for batch in self._real.list(prefix):
            yield [{**meta, "e_tag": self._tag(meta["path"])} for meta in batch]

    def head(self, key: str) -> dict[str, Any]:
        """As S3 does it."""
        self._step()
        return {**self._real.head(key), "e_tag": self._tag(key)}

    def put(self, key: str, data: bytes, *, mode: Any) -> dict[str, Any]:
        """Refused where the version is another one, and S3 knows it by its content."""
        self._step()
        if isinstance(mode, dict):
            if self._tag(key) != mode["e_tag"]:
                raise PreconditionError
            mode = "overwrite"
        self._real.put(key, data, mode=mode)
        return {"e_tag": self._tag(key), "version": None}

    def delete(self, key: str) -> None:
        """Without a condition, as S3 does it."""
        self._step()
        self._real.delete(key)


def files_of(writer: str) -> dict[str, bytes]:
    """A volume that tells who wrote it."""
    return {"0/c": writer.encode(), "0/zarr.json": writer.encode(), MARKER: writer.encode()}


def found(real: MemoryStore) -> dict[str, bytes]:
    """All objects of volume `a`, by key."""
    metas = [meta for batch in real.list("a/") for meta in batch]
    return {
        meta["path"].removeprefix("a/"): bytes(real.get(meta["path"]).bytes()) for meta in metas
    }


def write(real: MemoryStore, writer: str, before: Callable[[int], None] = lambda _: None) -> None:
    """Write volume `a`."""
    write_objects(Tapped(real, before), "a", files_of(writer))


def killed_at(step: int) -> Callable[[int], None]:
    """Die before a request."""

    def before(number: int) -> None:
        if number == step:
            raise Killed

    return before


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers begin anew at once."""
    monkeypatch.setattr(bucket_commit, "FIRST_WAIT_S", 0)


BEFORE = pytest.mark.parametrize("there", [None, "old", "second"])
"""What is there at first: nothing, another volume, or the one the second writer writes too."""


@BEFORE
def test_a_killed_writer_leaves_nothing_visible(there: str | None) -> None:
    """Wherever it dies, the marker comes with the whole volume; the next run finishes it."""
    for step in range(1, STEPS):
        real = MemoryStore()
        if there:
            write(real, there)
        try:
            write(real, "first", killed_at(step))
        except Killed:
            left = found(real)
            assert MARKER not in left or left in (files_of("first"), files_of(there or ""))
        else:
            assert step > 6
        write(real, "first")
        assert found(real) == files_of("first")


@BEFORE
def test_the_last_of_two_writers_wins_whole(there: str | None) -> None:
    """The second does all of its work, or dies, between any two requests of the first."""
    for step, death in product(range(1, STEPS), range(1, STEPS)):
        real = MemoryStore()
        if there:
            write(real, there)

        def meet(number: int, *, real=real, step=step, death=death) -> None:
            if number == step:
                with suppress(Killed):
                    write(real, "second", killed_at(death))

        write(real, "first", meet)

        assert found(real) in (files_of("first"), files_of("second")), (step, death)


@pytest.mark.slow
@pytest.mark.parametrize("there", [None, "old"])
def test_one_mixture_is_left_when_both_die(there: str | None) -> None:
    """That which the docs tell of: the marker of the first beside what the second had written.

    It takes the second between the first's look and its marker, and both dead soon after.
    """
    mixtures = set()
    for step, death, end in product(range(1, STEPS), repeat=3):
        if end < step:
            continue
        real = MemoryStore()
        if there:
            write(real, there)

        def meet(number: int, *, real=real, step=step, death=death, end=end) -> None:
            if number == step:
                with suppress(Killed):
                    write(real, "second", killed_at(death))
            killed_at(end)(number)

        with suppress(Killed):
            write(real, "first", meet)
        left = found(real)
        if MARKER in left and len(set(left.values())) > 1:
            mixtures.add((left["0/c"], left["0/zarr.json"], left[MARKER]))
    assert mixtures == {(b"second", b"second", b"first"), (b"second", b"first", b"first")}


def test_writers_that_meet_every_time_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends, and says what to do."""
    real = MemoryStore()

    def meet(number: int) -> None:
        if number % 3 == 0:
            write(real, f"other {number}")

    with pytest.raises(StoreError, match="other writers") as caught:
        write(real, "first", meet)
    assert "run again" in caught.value.mend


def test_removing(monkeypatch: pytest.MonkeyPatch) -> None:
    """All objects go, the marker first; what is not there is an error."""
    real = MemoryStore()
    write(real, "first")
    with pytest.raises(Killed):
        remove_objects(Tapped(real, killed_at(3)), "a", MARKER)
    assert set(found(real)) == PARTS
    with pytest.raises(FileNotFoundError):
        remove_objects(real, "a", MARKER)
    write(real, "first")
    remove_objects(real, "a", MARKER)
    assert found(real) == {}


def test_cleaning_takes_old_leftovers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a writer's that may live, nor a whole volume, nor an object that is not ours."""
    real = MemoryStore()
    write(real, "first")
    for key in ("b/0/c", "c/0/zarr.json", "d/thesis.txt", "catalog.parquet"):
        real.put(key, b"x")

    def keys() -> set[str]:
        return {meta["path"] for batch in real.list() for meta in batch}

    everything = keys()
    clean_objects(real, MARKER, PARTS)
    assert keys() == everything

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(UTC) + timedelta(days=2)

    monkeypatch.setattr(bucket_commit, "datetime", Later)
    clean_objects(real, MARKER, PARTS)
    assert keys() == everything - {"b/0/c", "c/0/zarr.json"}
