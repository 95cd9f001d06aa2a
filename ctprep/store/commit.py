"""Putting whole folders into a store, or nothing: built aside, synced, then renamed.

Everything unfinished lies in one hidden folder of the store, `.partial`, where neither `scan_ids`
nor zarr looks.
A writer holds a lock on the folder that it builds, which the system drops when the writer dies.
"""

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ctprep.store.disk import writing

PARTIAL = ".partial"
_NEW, _OLD, _REMOVED = "new", "old", "removed"


def write_folder(store: Path, name: str, files: Mapping[str, bytes | memoryview]) -> None:
    """Write a folder of the store as one step, in place of one that may be there.

    A reader finds the old folder or the new one, never a mixture; while one replaces the other
    there is an instant in which it finds none. Of two writers at once, the later one wins whole.

    Args:
        store: folder of the store.
        name: of the folder to write.
        files: content by path relative to the folder.

    Raises:
        PlaceError: the disk is full, read-only or fails; nothing of the folder is there then.
    """
    with writing(store.name), _locked_folder(store, name) as folder:
        for path, data in files.items():
            _write_synced(folder / path, data)
        for parent in [*(p for p in folder.rglob("*") if p.is_dir()), folder]:
            _sync_folder(parent)
        _move_in(folder, store / name)
        _sync_folder(store)


def write_file(path: Path, data: bytes) -> None:
    """Write a file of a store whole or not at all, in place of one that may be there.

    Raises:
        PlaceError: the disk is full, read-only or fails; an old file is still there then.
    """
    with writing(path.parent.name), _locked_folder(path.parent, path.name) as folder:
        _write_synced(folder / path.name, data)
        (folder / path.name).rename(path)
        _sync_folder(path.parent)


def remove_folder(store: Path, name: str) -> None:
    """Remove a folder of the store as one step.

    Raises:
        FileNotFoundError: there is none.
    """
    while True:
        aside = _aside(store, name, _REMOVED)
        try:
            (store / name).rename(aside)
        except FileNotFoundError:
            # Either nothing is there, or another writer has just dropped the empty `.partial`.
            if (store / name).exists():
                continue
            _drop_partial(store)
            raise
        break
    _sync_folder(store)
    shutil.rmtree(aside, ignore_errors=True)
    _drop_partial(store)


def clean(store: Path) -> None:
    """Remove what writers have left that are gone, and put back what they had moved aside."""
    for folder in _unfinished(store):
        name, _, state = folder.name.rsplit("~", 2) if folder.name.count("~") == 2 else ("", "", "")
        if state == _OLD:
            # Killed between two renames: the old folder is whole, and none has taken its place.
            with suppress(OSError):
                folder.rename(store / name)
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
    _drop_partial(store)


def leftovers(store: Path) -> Iterator[tuple[Path, bool]]:
    """Yield what writers have left that are gone, and whether `clean` would put it back.

    Nothing is changed. What a living writer holds is left out.
    """
    for folder in _unfinished(store):
        name, _, state = folder.name.rsplit("~", 2) if folder.name.count("~") == 2 else ("", "", "")
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield folder, state == _OLD and not (store / name).exists()
            finally:
                os.close(lock)


def _unfinished(store: Path) -> list[Path]:
    # Not `glob`, which fails where another writer drops the empty folder as it is looked into.
    with suppress(FileNotFoundError):
        return sorted((store / PARTIAL).iterdir())
    return []


def create_file(path: Path, data: bytes) -> bool:
    """Make a file with its whole content, unless it exists.

    Returns:
        Whether this call has made it.

    Raises:
        PlaceError: the disk is full, read-only or fails.
    """
    if path.exists():
        # Nothing to write, so also where nothing may be written.
        return False
    with writing(path.parent.name), _locked_folder(path.parent, path.name) as folder:
        _write_synced(folder / path.name, data)
        try:
            # Linking, unlike renaming, does not replace what another has made in the meantime.
            path.hardlink_to(folder / path.name)
        except FileExistsError:
            return False
        _sync_folder(path.parent)
    return True


def _aside(store: Path, name: str, state: str) -> Path:
    # Not `exist_ok`, which looks again whether it is a folder: another writer may have dropped it.
    with suppress(FileExistsError):
        (store / PARTIAL).mkdir()
    return store / PARTIAL / f"{name}~{secrets.token_hex(8)}~{state}"


@contextmanager
def _locked_folder(store: Path, name: str) -> Iterator[Path]:
    folder, lock = _lock_new(store, name)
    try:
        yield folder
    finally:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)
        _drop_partial(store)


def _lock_new(store: Path, name: str) -> tuple[Path, int]:
    while True:
        folder = _aside(store, name, _NEW)
        # Another process may take the folder before the lock is on it: then make another.
        with suppress(FileNotFoundError, BlockingIOError):
            folder.mkdir()
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if folder.stat().st_ino == os.fstat(lock).st_ino:
                    return folder, lock
            except OSError:
                os.close(lock)
                raise
            os.close(lock)


def _drop_partial(store: Path) -> None:
    with suppress(OSError):
        (store / PARTIAL).rmdir()


def _move_in(folder: Path, target: Path) -> None:
    replaced: list[Path] = []
    while True:
        try:
            folder.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            old = _aside(target.parent, target.name, _OLD)
            with suppress(FileNotFoundError):
                target.rename(old)
                replaced.append(old)
        else:
            break
    for old in replaced:
        # Renamed first: half removed, it must not be what `clean` puts back.
        gone = _aside(target.parent, target.name, _REMOVED)
        with suppress(OSError):
            old.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _write_synced(path: Path, data: bytes | memoryview) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
