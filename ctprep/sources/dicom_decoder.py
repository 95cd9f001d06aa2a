"""Decompress DICOM pixels in a process of their own, for the libraries that do it can kill theirs.

gdcm ends its process on damaged frames, CharLS and others may loop or ask for any memory, and
most of them answer a frame that is cut off by half a picture and a line on the standard error.
So they run in one helper a process, kept from file to file; `dicom_helper.py` is its program.
"""

import atexit
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from threading import Lock
from typing import IO

import numpy as np
from jaxtyping import Shaped

from ctprep.sources.dicom_helper import ANSWER, REQUEST

SPARE_BYTES = 256 << 20
"""Memory that decoders need for themselves."""
COPIES = 6
"""How often a decoder may hold the pixels at once, and the file."""
START_S = 120
"""For the helper to start; waits are long, for a machine may be busy."""
WAIT_S = 120
CPU_S = 10
"""Processor time for any file; a large one gets more."""
BYTES_A_SECOND = 2 << 20
"""Pixels that the slowest decoder gives in a second, on a slow machine."""

PIPE_BYTES = 1 << 20
"""What Linux lets anybody have."""


END_S = 5
"""For a helper that has closed its pipes to be gone."""
KILLED = (-signal.SIGKILL, -signal.SIGTERM)
"""How a helper ends that the machine or a person has ended, and no file."""


class DecodeError(Exception):
    """Pixels that cannot be decoded; its text says why, without a word of the file's."""


class _KilledError(DecodeError):
    """The helper was ended from outside, most likely because memory was short."""


def decode_compressed(content: bytes, nbytes: int) -> Shaped[np.ndarray, "..."]:
    """Decode the pixels of a compressed DICOM file.

    Args:
        content: the file.
        nbytes: of the pixels that its header promises.

    Returns:
        Stored values of the shape that the file's own header gives.

    Raises:
        DecodeError: they cannot be decoded, or not in time, or not in memory.
    """
    with _LOCK:
        try:
            try:
                return _started().decode(content, nbytes)
            except _KilledError:
                # It may have been ended long before it was asked, and then knows nothing of this.
                return _started().decode(content, nbytes)
        except DecodeError:
            raise
        except BaseException:
            # Interrupted between question and answer, it would give this answer to the next.
            _stop()
            raise


class _Helper:
    def __init__(self) -> None:
        self.owner = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from ctprep.sources.dicom_helper import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            # Its own group, for Ctrl-C is ours to handle.
            start_new_session=True,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("a pipe that was asked for is not there")
        _widen(self._process.stdin, self._process.stdout)
        self._questions, self._answers = self._process.stdin, self._process.stdout

    def await_start(self) -> None:
        self._receive(1, START_S)

    def decode(self, content: bytes, nbytes: int) -> Shaped[np.ndarray, "..."]:
        memory = SPARE_BYTES + COPIES * (nbytes + len(content))
        seconds = CPU_S + nbytes // BYTES_A_SECOND
        try:
            self._questions.write(REQUEST.pack(len(content), memory, seconds))
            self._questions.write(content)
            self._questions.flush()
        except BrokenPipeError as error:
            # It ended before it had all of the file, so not by decoding it.
            _stop()
            raise _KilledError("its decoder was ended") from error
        (size,) = ANSWER.unpack(self._receive(ANSWER.size, WAIT_S + 10 * seconds))
        answer = json.loads(self._receive(size, WAIT_S))
        if "error" in answer:
            raise DecodeError(answer["error"])
        dtype, shape = np.dtype(answer["dtype"]), tuple(answer["shape"])
        data = self._receive(dtype.itemsize * int(np.prod(shape)), WAIT_S + seconds)
        pixels: Shaped[np.ndarray, "..."] = np.frombuffer(data, dtype).reshape(shape)
        return pixels

    def _receive(self, size: int, seconds: int) -> bytearray:
        received = bytearray(size)
        view, end = memoryview(received), time.monotonic() + seconds
        while view:
            left = max(0.0, end - time.monotonic())
            ready, _, _ = select.select([self._answers], [], [], left)
            chunk = os.read(self._answers.fileno(), min(len(view), 1 << 20)) if ready else b""
            if not chunk:
                error = self._death() if ready else DecodeError("its decoder gives no answer")
                _stop()
                raise error
            view[: len(chunk)] = chunk
            view = view[len(chunk) :]
        return received

    def _death(self) -> DecodeError:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        code = self._process.returncode or 0
        kind = _KilledError if code in KILLED else DecodeError
        return kind(f"its decoder was ended by signal {-code}" if code < 0 else "its decoder died")

    def stop(self) -> None:
        if self.owner != os.getpid():
            return  # a fork of ours has no say
        self._process.kill()
        self._process.wait()
        for pipe in (self._questions, self._answers):
            with suppress(OSError):  # what a dead process has not read
                pipe.close()


def _widen(*pipes: IO[bytes]) -> None:
    # A slice goes through at once instead of in pieces of 64 KiB. Only Linux can, and a user
    # of many pipes may not.
    for pipe in pipes if hasattr(fcntl, "F_SETPIPE_SZ") else ():
        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


_LOCK = Lock()
_HELPERS: list[_Helper] = []


def _started() -> _Helper:
    if _HELPERS and _HELPERS[0].owner != os.getpid():
        _HELPERS.clear()
    if not _HELPERS:
        _HELPERS.append(_Helper())
        # Among them from the first, so that it is stopped whatever happens now.
        _HELPERS[0].await_start()
    return _HELPERS[0]


@atexit.register
def _stop() -> None:
    while _HELPERS:
        _HELPERS.pop().stop()
