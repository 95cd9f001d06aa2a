"""Putting whole volumes into a bucket, where nothing can be renamed.

A volume is there when its last object, the marker, is. A writer takes the marker away, writes the
other objects, looks whether they are still its own, writes the marker, and looks once more. Every
write names the state that it replaces, so that of two writers one is told, and begins anew.
"""

import logging
import random
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from obstore.exceptions import AlreadyExistsError, PreconditionError

from ctprep.store.errors import StoreError

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutMode, UpdateVersion
    from obstore.store import ObjectStore

logger = logging.getLogger(__name__)

ATTEMPTS = 8
FIRST_WAIT_S = 0.25
"""Most that a writer waits before it begins anew; doubled each time."""
LEFTOVER_AGE = timedelta(days=1)
"""An object of no volume that is older than this has no writer any more."""


class _OvertakenError(Exception):
    """Another writer is at the same volume."""


def write_objects(store: "ObjectStore", name: str, files: Mapping[str, bytes | memoryview]) -> None:
    """Write a volume, in place of one that may be there.

    Args:
        store: of the corpus.
        name: of the volume.
        files: content by key relative to the volume; the last one is the marker.

    Raises:
        StoreError: other writers were at this volume every time.
    """
    for attempt in range(ATTEMPTS):
        try:
            _write_once(store, name, files)
        except (_OvertakenError, AlreadyExistsError, PreconditionError):
            logger.info("another writer is at volume %s; beginning anew", name)
            # By chance, so that two that have met do not meet again.
            time.sleep(random.uniform(0, FIRST_WAIT_S * 2**attempt))
        else:
            return
    raise StoreError(
        f"other writers were at this volume {ATTEMPTS} times",
        mend="let the other run finish, then run again",
    )


def _write_once(store: "ObjectStore", name: str, files: Mapping[str, bytes | memoryview]) -> None:
    objects = {f"{name}/{key}": data for key, data in files.items()}
    *parts, marker = objects
    there = _list_volume(store, name)
    # Seen before the marker goes: what another writer completes after that is not replaced.
    modes = {key: _mode(store, key, replacing=key in there) for key in parts}
    if marker in there:
        with suppress(FileNotFoundError):
            store.delete(marker)
    tags = {key: _put(store, key, objects[key], mode) for key, mode in modes.items()}
    _check_own(store, name, tags)
    tags[marker] = _put(store, marker, objects[marker], "create")
    # Whoever began in the meantime has not seen the marker, and may die before it does.
    _check_own(store, name, tags)


def _mode(store: "ObjectStore", key: str, *, replacing: bool) -> "PutMode":
    if not replacing:
        return "create"
    try:
        meta = store.head(key)
    except FileNotFoundError as error:
        raise _OvertakenError from error
    mode: UpdateVersion = {}
    # Each service knows a version by one of these, or by both.
    if meta["e_tag"] is not None:
        mode["e_tag"] = meta["e_tag"]
    if meta["version"] is not None:
        mode["version"] = meta["version"]
    return mode


def _put(store: "ObjectStore", key: str, data: bytes | memoryview, mode: "PutMode") -> str:
    try:
        return _tag(store.put(key, data, mode=mode)["e_tag"])
    except FileNotFoundError as error:
        if mode == "create":
            raise
        raise _OvertakenError from error


def _check_own(store: "ObjectStore", name: str, tags: Mapping[str, str]) -> None:
    there = _list_volume(store, name)
    if any(key not in there or _tag(there[key]["e_tag"]) != tag for key, tag in tags.items()):
        raise _OvertakenError


def _list_volume(store: "ObjectStore", name: str) -> "dict[str, ObjectMeta]":
    return {meta["path"]: meta for batch in store.list(f"{name}/") for meta in batch}


def _tag(e_tag: str | None) -> str:
    # Azure quotes it in some answers and not in others.
    return (e_tag or "").removeprefix("W/").strip('"')


def remove_objects(store: "ObjectStore", name: str, marker: str) -> None:
    """Remove a volume, its marker first.

    Raises:
        FileNotFoundError: there is none.
    """
    there = _list_volume(store, name)
    if f"{name}/{marker}" not in there:
        raise FileNotFoundError(name)
    for key in sorted(there, key=lambda key: key != f"{name}/{marker}"):
        with suppress(FileNotFoundError):
            store.delete(key)


def clean_objects(store: "ObjectStore", marker: str, ours: frozenset[str]) -> None:
    """Remove what dead writers have left: old objects of ours in a folder without a marker.

    Args:
        store: of the corpus.
        marker: key of the marker, relative to its volume.
        ours: keys of a volume's other objects, relative to it; no other object is touched.
    """
    leftovers: dict[str, list[ObjectMeta]] = {}
    whole = set()
    for batch in store.list():
        for meta in batch:
            name, _, key = meta["path"].partition("/")
            if key == marker:
                whole.add(name)
            elif key in ours:
                leftovers.setdefault(name, []).append(meta)
    for name in leftovers.keys() - whole:
        if not _has_young(leftovers[name]) and _is_as_seen(store, name, leftovers[name]):
            for meta in leftovers[name]:
                with suppress(FileNotFoundError):
                    store.delete(meta["path"])


def _is_as_seen(store: "ObjectStore", name: str, seen: "list[ObjectMeta]") -> bool:
    # A writer that replaces an old volume has no marker for a while, and puts new objects then.
    there = {meta["path"]: meta["e_tag"] for batch in store.list(f"{name}/") for meta in batch}
    return there == {meta["path"]: meta["e_tag"] for meta in seen}


def is_young(store: "ObjectStore", name: str, marker: str) -> bool:
    """Tell whether a volume without a marker may be of a writer that still lives.

    Args:
        store: of the corpus.
        name: of the volume.
        marker: key of the marker, relative to the volume.
    """
    there = _list_volume(store, name)
    return f"{name}/{marker}" not in there and _has_young(there.values())


def _has_young(metas: Iterable["ObjectMeta"]) -> bool:
    # A writer that has just begun keeps all of its volume.
    before = datetime.now(UTC) - LEFTOVER_AGE
    return any(meta["last_modified"] >= before for meta in metas)
