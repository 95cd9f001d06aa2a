"""A bucket's volumes kept on a local disk, so that every epoch but the first costs no transfer."""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, cast

from ctprep.store.bucket import BucketPlace
from ctprep.store.disk import writing
from ctprep.store.errors import StoreError
from ctprep.store.place import Place
from ctprep.store.shard import checksum

SUFFIX, PARTIAL = ".cached", ".partial"
LENGTH_BYTES, CHECKSUM_BYTES = 2, 4
SPARE, STEP = 0.1, 0.02
"""Parts of the budget: what is freed at once, and after how much that was written one looks."""


class CachedPlace:
    """A store in a bucket whose whole objects are kept in a folder, within a budget of bytes.

    Each read asks the bucket whether the object is still the one that is kept, by its tag, which
    costs a request and no transfer; so what is read is what the bucket has now. Partial reads go
    to the bucket. Several processes may share a folder. Everything else is the bucket's.

    Args:
        bucket: the store.
        folder: on a local disk; made where missing. Any file of it may be removed at any time.
        budget_bytes: what it may hold, with all that is in it; near it what was read longest ago
            is removed. Each process may be beyond it by a fiftieth for a moment.

    Raises:
        StoreError: the budget is not positive.
        PlaceError: the folder cannot be written.
    """

    def __init__(self, bucket: BucketPlace, folder: Path, budget_bytes: int) -> None:
        if budget_bytes <= 0:
            raise StoreError(
                f"a cache of {budget_bytes} bytes holds nothing", mend="give it a budget, or none"
            )
        self._bucket, self._folder, self._budget = bucket, folder, budget_bytes
        with writing(folder.name):
            folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._written = 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._bucket, name)

    def __reduce__(self) -> tuple[type["CachedPlace"], tuple[BucketPlace, Path, int]]:
        return CachedPlace, (self._bucket, self._folder, self._budget)

    def read(self, key: str) -> memoryview:
        """Read a whole object, from the folder where it is still the bucket's.

        Raises:
            FileNotFoundError: the bucket has none.
            PlaceError: the bucket cannot be reached, or the folder cannot be written.
        """
        path = self._path(key)
        kept = _load(path)
        fresh = self._bucket.read_unless(key, None if kept is None else kept[0])
        if fresh is None:
            assert kept is not None, "only a tag that was given can be the bucket's"
            with suppress(OSError):
                os.utime(path)
            return kept[1]
        tag, content = fresh
        if tag is not None and len(content) <= self._budget:
            self._keep(path, tag, content)
        return content

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(f"{self._bucket.url}/{key}".encode()).hexdigest()
        return self._folder / f"{name}{SUFFIX}"

    def _keep(self, path: Path, tag: str, content: memoryview) -> None:
        encoded = tag.encode()
        head = len(encoded).to_bytes(LENGTH_BYTES, "little") + encoded
        head += checksum(content).to_bytes(CHECKSUM_BYTES, "little")
        with (
            writing(self._folder.name),
            NamedTemporaryFile(dir=self._folder, suffix=PARTIAL, delete=False) as file,
        ):
            try:
                file.write(head)
                file.write(content)
                file.close()
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        with self._lock:
            self._written += len(head) + len(content)
            if self._written >= STEP * self._budget:
                self._written = 0
                self._make_room()

    def _make_room(self) -> None:
        # All of the folder, which other stores and processes fill, too.
        files = sorted(self._files())
        held = sum(size for _, size, _ in files)
        if held <= (1 - STEP) * self._budget:
            return
        for _, size, path in files:
            if held <= (1 - SPARE) * self._budget:
                return
            with suppress(OSError):
                path.unlink()
            held -= size

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """Yield when each file was read last, its bytes and its path."""
        for path in self._folder.glob(f"*{SUFFIX}"):
            with suppress(OSError):
                status = path.stat()
                yield status.st_mtime, status.st_size, path


def _load(path: Path) -> tuple[str, memoryview] | None:
    """Give tag and content of a kept object; None where it is absent or damaged."""
    try:
        data = memoryview(path.read_bytes())
    except OSError:
        return None
    end = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "little")
    tag, known, content = data[LENGTH_BYTES:end], data[end : end + CHECKSUM_BYTES], data[end:]
    content = content[CHECKSUM_BYTES:]
    if checksum(content).to_bytes(CHECKSUM_BYTES, "little") != known:
        return None
    try:
        return bytes(tag).decode("ascii"), content
    except UnicodeDecodeError:
        return None


def cache_bucket(place: Place, folder: Path, budget_bytes: int) -> Place:
    """Put a cache in front of a store, where it is in a bucket.

    Args:
        place: where the store is.
        folder: as `CachedPlace` takes it.
        budget_bytes: likewise.

    Returns:
        The place with its cache; a folder's as it is.

    Raises:
        PlaceError: the folder of the cache cannot be written.
    """
    if not isinstance(place, BucketPlace):
        return place
    return cast(Place, CachedPlace(place, folder, budget_bytes))
