"""Scratch: a folder for what lasts as long as a run, also where the run is killed.

A process holds a lock on its folder, which the system drops when it dies. Whoever makes a folder
removes those that nobody holds any more.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "ctprep-run-"


_looked_through: set[str] = set()
"""Where this process has removed what others had left."""


@contextmanager
def scratch_folder(*, is_of_run: bool = True) -> Iterator[Path]:
    """Make a folder among the temporary files, and remove it at the end.

    Folders of killed processes of the same user are removed as well.

    Args:
        is_of_run: whether it is one for a whole run; before the many small ones within a run, a
            process looks for abandoned folders once.
    """
    if is_of_run or tempfile.gettempdir() not in _looked_through:
        _remove_abandoned()
        _looked_through.add(tempfile.gettempdir())
    folder, lock = _make_locked()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _make_locked() -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = _lock(folder)
        if lock is not None:
            return folder, lock


def _remove_abandoned() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        lock = _lock(folder)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """Take the lock of a folder of ours; None where another process has it, or has removed it."""
    with suppress(OSError):
        # Not through a link, which another user may have put there.
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        with suppress(OSError):
            if os.fstat(handle).st_uid == os.getuid():
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if folder.stat().st_ino == os.fstat(handle).st_ino:
                    return handle
        os.close(handle)
    return None
