"""Decompress DICOM pixels in a process of their own, for the libraries that do it can kill theirs.

gdcm ends its process on damaged frames, CharLS and others may loop or ask for any memory, and
most of them answer a frame that is cut off by half a picture and a line on the standard error.
So they run in one helper a process, kept from file to file, with a limit of time and memory.
"""

import atexit
import io
import json
import os
import re
import select
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import IO, Any

import numpy as np
from jaxtyping import Shaped

REQUEST = struct.Struct("<QQ")
"""Bytes of the file, and of the memory that decoding it may take."""
ANSWER = struct.Struct("<Q")
SPARE_BYTES = 256 << 20
"""Memory that decoders need for themselves."""
COPIES = 6
"""How often a decoder may hold the pixels at once, and the file."""
START_S = 60.0
LIMIT_S = 10.0
"""Time for any file; a large one gets more."""
BYTES_A_SECOND = 2 << 20
"""Pixels that the slowest decoder gives in a second, on a slow machine."""
COMPLAINT = re.compile(
    rb"premature end|bad Huffman|[Ss]tream too short|[Ff]ailed to decode|Inconsistent progression"
    rb"|Unsupported marker|Bogus|restart marker|[Tt]runcated|inconsistent with stream"
)
"""What libjpeg and OpenJPEG print when they make up the rest of a picture."""


class DecodeError(Exception):
    """Pixels that cannot be decoded; its text says why, without a word of the file's."""


def decode_compressed(content: bytes, nbytes: int) -> Shaped[np.ndarray, "..."]:
    """Decode the pixels of a compressed DICOM file.

    Args:
        content: the file.
        nbytes: of the pixels that its header promises.

    Returns:
        Stored values, read-only, of the shape that the file's own header gives.

    Raises:
        DecodeError: they cannot be decoded, or not in time, or not in memory.
    """
    with _LOCK:
        helper = _started()
        try:
            return helper.decode(content, nbytes)
        except _Lost as error:
            _stop()
            raise DecodeError(str(error)) from error


class _Lost(Exception):  # noqa: N818
    """The helper died or does not answer."""


class _Helper:
    def __init__(self) -> None:
        self.owner = os.getpid()
        # -c, so that no module is imported twice under two names.
        program = "from ctprep.sources.dicom_decoder import serve; serve()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._receive(1, START_S)

    def decode(self, content: bytes, nbytes: int) -> Shaped[np.ndarray, "..."]:
        memory = SPARE_BYTES + COPIES * (nbytes + len(content))
        seconds = LIMIT_S + nbytes / BYTES_A_SECOND
        try:
            stdin = self._pipe(self._process.stdin)
            stdin.write(REQUEST.pack(len(content), memory))
            stdin.write(content)
            stdin.flush()
        except OSError as error:
            raise self._lost() from error
        (size,) = ANSWER.unpack(self._receive(ANSWER.size, seconds))
        answer = json.loads(self._receive(size, seconds))
        if "error" in answer:
            raise DecodeError(answer["error"])
        dtype, shape = np.dtype(answer["dtype"]), tuple(answer["shape"])
        size = dtype.itemsize * int(np.prod(shape))
        if size > memory:
            raise DecodeError("it holds more pixels than its header promises")
        pixels: Shaped[np.ndarray, "..."] = np.frombuffer(self._receive(size, seconds), dtype)
        return pixels.reshape(shape)

    def _receive(self, size: int, seconds: float) -> bytearray:
        received = bytearray(size)
        view, end = memoryview(received), time.monotonic() + seconds
        descriptor = self._pipe(self._process.stdout).fileno()
        while view:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise _Lost(f"its decoder gave nothing for {seconds:.0f} seconds")
            chunk = os.read(descriptor, min(len(view), 1 << 20))
            if not chunk:
                raise self._lost()
            view[: len(chunk)] = chunk
            view = view[len(chunk) :]
        return received

    def _lost(self) -> _Lost:
        code = self._process.wait()
        return _Lost(f"its decoder was ended by signal {-code}" if code < 0 else "no decoder runs")

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe

    def stop(self) -> None:
        if self.owner != os.getpid():
            return  # a fork of ours has no say
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                self._pipe(pipe).close()


_LOCK = Lock()
_HELPERS: list[_Helper] = []


def _started() -> _Helper:
    if _HELPERS and _HELPERS[0].owner != os.getpid():
        _HELPERS.clear()
    if not _HELPERS:
        _HELPERS.append(_Helper())
    return _HELPERS[0]


@atexit.register
def _stop() -> None:
    while _HELPERS:
        _HELPERS.pop().stop()


def serve() -> None:
    """Decode file after file, as the helper; ends with its standard input."""
    import pydicom
    import pydicom.pixels.decoders  # so that the memory of programs is there before any limit

    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    with tempfile.TemporaryFile() as printed:
        # Libraries print to either; what they print can quote a header.
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
        answers.write(b"!")
        answers.flush()
        while len(head := requests.read(REQUEST.size)) == REQUEST.size:
            size, memory = REQUEST.unpack(head)
            printed.seek(0)
            printed.truncate()
            try:
                with _memory_limit(memory), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    content = io.BytesIO(requests.read(size))
                    pixels = pydicom.dcmread(content, force=True).pixel_array
                    data: bytes | memoryview = np.ascontiguousarray(pixels).data.cast("B")
                printed.seek(0)
                if complaint := COMPLAINT.search(printed.read()):
                    raise ValueError(complaint.group().decode())  # noqa: TRY301
                answer: dict[str, Any] = {"dtype": pixels.dtype.str, "shape": pixels.shape}
            except Exception as error:  # each decoder fails in its own way
                answer, data = {"error": _reason(error)}, b""
            encoded = json.dumps(answer).encode()
            answers.write(ANSWER.pack(len(encoded)) + encoded)
            answers.write(data)
            answers.flush()


def _reason(error: Exception) -> str:
    # Of a message only what we put there: others quote the file.
    known = COMPLAINT.fullmatch(str(error).encode("utf-8", "replace"))
    return f"its decoder says {str(error)!r}" if known else type(error).__name__


@contextmanager
def _memory_limit(nbytes: int) -> Iterator[None]:
    import resource

    # Only Linux tells and holds to it; elsewhere the time limit is what is left.
    if not sys.platform.startswith("linux"):
        yield
        return
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        used = int(file.read().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = used + nbytes
    resource.setrlimit(resource.RLIMIT_AS, (min(wanted, hard) if hard > 0 else wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
