"""Silence of libraries that print by themselves: it could quote a patient, and names no scan."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

STREAMS = (1, 2)
"""Standard output and error of the process, which native code writes to past Python."""


@contextmanager
def silenced() -> Iterator[None]:
    """Let nothing that the process prints through until the end of the block.

    What other threads print meanwhile, such as a progress bar, is lost; they draw it anew.
    """
    kept = [os.dup(stream) for stream in STREAMS]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream in STREAMS:
            os.dup2(nowhere, stream)
        yield
    finally:
        for stream, copy in zip(STREAMS, kept, strict=True):
            os.dup2(copy, stream)
            os.close(copy)
        os.close(nowhere)
