"""What a file system refuses a writer, as an error that says how to mend it."""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ctprep.store.errors import CtError, PlaceError

_AGAIN = "run the same command again: it goes on where it stopped"
_REASONS = {
    errno.ENOSPC: ("the disk is full", f"free space, then {_AGAIN}"),
    errno.EDQUOT: ("the disk quota is used up", f"free space or raise the quota, then {_AGAIN}"),
    errno.EFBIG: ("a file may not grow so large here", f"raise `ulimit -f`, then {_AGAIN}"),
    errno.EROFS: ("the file system is read-only", "mount it for writing, or choose another path"),
    errno.EACCES: ("writing is not permitted", "get write permission, or choose another path"),
    errno.EPERM: ("writing is not permitted", "get write permission, or choose another path"),
    errno.EEXIST: ("a file is in the way", "choose another path"),
    errno.ENOTDIR: ("a file is in the way", "choose another path"),
    errno.ENOENT: (
        "its folder is not there",
        f"check the path and that its disk is there, then {_AGAIN}",
    ),
}


@contextmanager
def writing(where: str) -> Iterator[None]:
    """Turn what goes wrong with the disk while writing into a `PlaceError`.

    It is no fault of a scan: the next one would meet it too, so a run ends with it.

    Args:
        where: name of what is written; no absolute path.

    Raises:
        PlaceError: the disk is full, read-only, fails, or permits no writing.
    """
    try:
        yield
    except CtError:
        raise
    except OSError as error:
        what, mend = _REASONS.get(
            error.errno or 0,
            (f"it cannot be written: {error.strerror or error}", f"check the disk, then {_AGAIN}"),
        )
        raise PlaceError(what, mend=mend, where=where) from error


def partial_path(path: Path) -> Path:
    """Give the name that a file has while it is written."""
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def write_atomically(path: Path, data: bytes) -> None:
    """Write a whole file or nothing, also when killed; missing folders are made.

    Raises:
        PlaceError: the disk does not take it.
    """
    write_together({path: data})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write several files, whole ones, and none where the disk does not take all.

    Each appears under its name when all are on the disk, so that only a kill between two names,
    or a name that is a folder, can leave some of them.

    Args:
        files: content by path; missing folders are made.

    Raises:
        PlaceError: the disk does not take one.
    """
    try:
        for path, data in files.items():
            with writing(path.name):
                path.parent.mkdir(parents=True, exist_ok=True)
                with partial_path(path).open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
        for path in files:
            with writing(path.name):
                partial_path(path).replace(path)
    finally:
        for path in files:
            # The error that led here says more than that its traces cannot be removed.
            with suppress(OSError):
                partial_path(path).unlink()
