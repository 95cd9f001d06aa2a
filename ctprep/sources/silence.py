"""Silence of libraries that print by themselves: it could quote a patient, and names no scan."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

STREAMS = (1, 2)
"""Standard output and error of the process, which native code writes to past Python."""
_LOCK = Lock()


@contextmanager
def silenced() -> Iterator[None]:
    """Let nothing that the process prints through until the end of the block.

    What other threads print meanwhile, such as a progress bar, is lost; they draw it anew.
    """
    # One at a time: a second thread would keep the silence of the first, and restore it for good.
    with _LOCK:
        kept = {stream: copy for stream in STREAMS if (copy := _copy(stream)) is not None}
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            for stream in kept:
                os.dup2(nowhere, stream)
            yield
        finally:
            for stream, copy in kept.items():
                os.dup2(copy, stream)
                os.close(copy)
            os.close(nowhere)


def _copy(stream: int) -> int | None:
    try:
        return os.dup(stream)
    except OSError:
        # The process was started with it closed.
        return None
