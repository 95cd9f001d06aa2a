"""A store in a bucket of an object store: S3 and what speaks like it, GCS, Azure, or memory."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ctprep.store.errors import PlaceError, StoreError
from ctprep.store.layout import ARRAY, METADATA, SHARD
from ctprep.store.listing import Leftover, Seen, free_name, quarantine_of

try:
    import obstore
    from obstore.exceptions import AlreadyExistsError, NotModifiedError

    from ctprep.store.bucket_commit import (
        clean_objects,
        is_young,
        remove_objects,
        write_objects,
    )
    from ctprep.store.bucket_faults import UNCONDITIONAL, told
except ModuleNotFoundError as missing:
    if missing.name != "obstore":
        raise
    raise PlaceError(
        "stores in buckets need the package obstore",
        mend="pip install 'ct-lite[s3]'",
    ) from missing

if TYPE_CHECKING:
    from obstore.store import ClientConfig, MemoryStore, ObjectStore, RetryConfig

AT_ONCE = 32
CLIENT: "ClientConfig" = {
    "connect_timeout": timedelta(seconds=10),
    # Of a whole request: a shard of 55 MB at 2 Mbit/s.
    "timeout": timedelta(seconds=240),
}
RETRIES: "RetryConfig" = {"max_retries": 4, "retry_timeout": timedelta(seconds=120)}
OURS = frozenset({f"{ARRAY}/{METADATA}", f"{ARRAY}/{SHARD}"})

_VARIABLES = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}
"""What the variables of each service begin with."""
_MEMORY: "dict[str, MemoryStore]" = {}
"""Stores at `memory://`, which live as long as the process."""


class BucketPlace:
    """A prefix in a bucket; see `Place` for what its methods promise.

    Credentials, region and endpoint come from the environment.

    Args:
        url: such as `s3://bucket/corpora/q90.zarr`.

    Raises:
        StoreError: the URL names no bucket and store, or holds more than that.
    """

    path = None
    at_once = AT_ONCE

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.username or parts.password or parts.query or parts.fragment:
            raise StoreError(
                f"a {parts.scheme}:// URL may hold no credentials and no options",
                mend="give credentials in the environment; see docs/object_stores.md",
            )
        prefix = parts.path.strip("/")
        if not parts.netloc or not prefix:
            raise StoreError(
                f"{url!r} names no store in a bucket",
                mend=f"write it as {parts.scheme}://bucket/path/corpus.zarr",
            )
        self.url = f"{parts.scheme}://{parts.netloc}/{prefix}"
        self.name = prefix.rsplit("/", 1)[-1]

    def __reduce__(self) -> tuple[type["BucketPlace"], tuple[str]]:
        # Connections stay behind; a worker makes its own.
        return BucketPlace, (self.url,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BucketPlace) and self.url == other.url

    def __hash__(self) -> int:
        return hash(self.url)

    def __repr__(self) -> str:
        return f"BucketPlace({self.url!r})"

    @cached_property
    def _store(self) -> "ObjectStore":
        if self.url.startswith("memory://"):
            return _MEMORY.setdefault(self.url, obstore.store.MemoryStore())
        # Options that are given replace those of the environment, all of them.
        variable = f"{_VARIABLES[self.url.partition('://')[0]]}_ALLOW_HTTP"
        allow_http = os.environ.get(variable, "").lower() in ("true", "1", "yes")
        client: ClientConfig = {**CLIENT, "allow_http": allow_http}
        with told(self.url):
            return obstore.store.from_url(self.url, client_options=client, retry_config=RETRIES)

    def exists(self) -> bool:
        """Tell whether a store is there."""
        return self.has(METADATA)

    def make(self) -> Sequence[str]:
        """Make nothing, as a bucket has no folders; name what is under the prefix."""
        return self.names()

    def has(self, key: str) -> bool:
        """Tell whether an object is there."""
        with self._reached() as store:
            try:
                store.head(key)
            except FileNotFoundError:
                return False
        return True

    def read(self, key: str) -> memoryview:
        """Read a whole object."""
        with self._reached() as store:
            return memoryview(obstore.get(store, key).bytes())

    def read_unless(self, key: str, tag: str | None) -> tuple[str | None, memoryview] | None:
        """Read a whole object, unless it is still the one of this tag.

        Returns:
            Its tag and its content; None where the tag is still its own.
        """
        with self._reached() as store:
            try:
                answer = obstore.get(
                    store, key, options={} if tag is None else {"if_none_match": tag}
                )
                return answer.meta["e_tag"], memoryview(answer.bytes())
            except NotModifiedError:
                return None

    def read_end(self, key: str, nbytes: int) -> tuple[memoryview, int]:
        """Read the last bytes of an object, and tell how many it has."""
        with self._reached() as store:
            answer = obstore.get(store, key, options={"range": {"suffix": nbytes}})
            return memoryview(answer.bytes()), answer.meta["size"]

    def read_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes | memoryview]:
        """Read parts of an object, near ones in one request."""
        begins, ends = [begin for begin, _ in ranges], [end for _, end in ranges]
        with self._reached() as store:
            return [
                memoryview(part)
                for part in obstore.get_ranges(store, key, starts=begins, ends=ends)
            ]

    def sizes(self, keys: Sequence[str]) -> list[int]:
        """Give the bytes of some objects: of many by one listing, not by a request each."""
        if len(keys) <= self.at_once:
            with self._reached() as store, ThreadPoolExecutor(self.at_once) as executor:
                return [meta["size"] for meta in executor.map(store.head, keys)]
        with self._reached() as store:
            sizes = {meta["path"]: meta["size"] for batch in store.list() for meta in batch}
        missing = [key for key in keys if key not in sizes]
        if missing:
            raise FileNotFoundError(missing[0])
        return [sizes[key] for key in keys]

    def create(self, key: str, data: bytes) -> bool:
        """Make an object, unless it exists."""
        with self._reached() as store, suppress(AlreadyExistsError):
            store.put(key, data, mode="create")
            _check_conditional(store, key, data, self.url)
            return True
        return False

    def replace(self, key: str, data: bytes) -> None:
        """Write an object; the service does it whole or not at all."""
        with self._reached() as store:
            store.put(key, data, use_multipart=False)

    def volumes(self) -> list[str]:
        """Name the folders that have metadata, from one listing.

        It goes over all objects, three a volume: a listing of folders alone would also name those
        that a killed writer has left.
        """
        with self._reached() as store:
            keys = (meta["path"].split("/") for batch in store.list() for meta in batch)
            return [key[0] for key in keys if len(key) == 2 and key[1] == METADATA]

    def survey(self) -> dict[str, Seen]:
        """Tell volumes by the tag of their metadata, all from one listing."""
        with self._reached() as store:
            metas = {meta["path"]: meta for batch in store.list() for meta in batch}
        seen = {}
        for key, meta in metas.items():
            name, _, rest = key.partition("/")
            if rest == METADATA:
                shard = metas.get(f"{name}/{ARRAY}/{SHARD}")
                state = f"{meta['e_tag']}-{meta['version']}-{meta['last_modified']}"
                seen[name] = Seen(state, None if shard is None else shard["size"])
        return seen

    def names(self) -> list[str]:
        """Name what is under the prefix, up to the next `/`."""
        with self._reached() as store:
            found = obstore.list_with_delimiter(store)
            names = [meta["path"] for meta in found["objects"]]
            return names + [prefix.rstrip("/") for prefix in found["common_prefixes"]]

    def below(self, name: str) -> list[str]:
        """Give all objects under a prefix, or the one of that name."""
        with self._reached() as store:
            keys = [meta["path"] for batch in store.list(f"{name}/") for meta in batch]
        return keys or [name]

    def write_volume(self, name: str, files: Mapping[str, bytes | memoryview]) -> None:
        """Write the metadata last, which makes the volume exist."""
        with self._reached() as store:
            write_objects(store, name, files)

    def remove_volume(self, name: str) -> None:
        """Remove the metadata first."""
        with self._reached() as store:
            remove_objects(store, name, METADATA)

    def clean(self) -> None:
        """Remove what has had no metadata for a day."""
        with self._reached() as store:
            clean_objects(store, METADATA, OURS)

    def leftovers(self) -> list[Leftover]:
        """Nothing lies beside the volumes; one that is not whole is a folder without metadata."""
        return []

    def is_in_work(self, name: str) -> bool:
        """Tell by the age of its objects, as a writer puts the metadata last."""
        with self._reached() as store:
            return is_young(store, name, METADATA)

    def set_aside(self, key: str) -> str:
        """Copy all of it under the prefix beside the store, then remove it, the metadata first."""
        before, _, last = self.url.rpartition("/")
        quarantine = BucketPlace(f"{before}/{quarantine_of(last)}")
        name = free_name(key, set(quarantine.names()).__contains__)
        keys = self.below(key)
        for part in keys:
            quarantine.replace(name + part.removeprefix(key), bytes(self.read(part)))
        with self._reached() as store:
            for part in sorted(keys, key=lambda part: part != f"{key}/{METADATA}"):
                store.delete(part)
        return f"{quarantine.name}/{name}"

    def remove_empty(self, name: str) -> None:
        """A bucket has no folders."""

    @contextmanager
    def _reached(self) -> Iterator["ObjectStore"]:
        with told(self.url):
            yield self._store


def _check_conditional(store: "ObjectStore", key: str, data: bytes, url: str) -> None:
    # Some servers ignore conditions without a word; what is there now must not be made again.
    try:
        store.put(key, data, mode="create")
    except AlreadyExistsError:
        return
    what, mend = UNCONDITIONAL
    raise PlaceError(what, mend=mend, where=url)
