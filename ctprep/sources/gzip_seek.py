"""Seeking in what gzip has packed: states of unpacking are kept, as many as memory has room for."""

import io
import zlib
from bisect import bisect_right
from pathlib import Path
from typing import Any, NamedTuple

MOST_POINTS = 1024
"""Of one file; each takes 37 kB, most of it the last 32 KiB that were unpacked."""
FIRST_SPACING = 1 << 20
PACKED_CHUNK = 1 << 16
UNPACKED_CHUNK = 1 << 20
GZIP = zlib.MAX_WBITS | 16


class _Point(NamedTuple):
    """A place to go on from."""

    unpacked: int
    packed: int
    state: Any
    """Of the unpacker, which is copied and never used itself."""


class SeekableGzip(io.RawIOBase):
    """The unpacked content of a gzip file.

    Unpacking can only go forwards. So that a way back need not begin at the start, the unpacker's
    state is copied every so often; once there are too many copies every other one is dropped, and
    the distance between new ones doubled. Memory stays the same for a file of any size.

    Args:
        place: the file; it may consist of several packed parts, one behind the other.

    Source:
        RFC 1952 (gzip), section 2.2 on files of several members.
    """

    def __init__(self, place: Path) -> None:
        self._file = place.open("rb")
        self._points = [_Point(0, 0, zlib.decompressobj(GZIP))]
        self._spacing = FIRST_SPACING
        self._at = 0
        self._resume(self._points[0])

    def close(self) -> None:
        """Close the file, and forget all states."""
        self._points = []
        self._file.close()
        super().close()

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can seek."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, which is unpacked when it is read; the end is not known beforehand."""
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("seek from the end")
        self._at = max(0, offset + (self._at if whence == io.SEEK_CUR else 0))
        return self._at

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401
        """Read some bytes.

        Raises:
            EOFError: the file ends early.
            zlib.error: it is damaged.
        """
        nearest = self._points[bisect_right(self._points, self._at, key=_unpacked) - 1]
        if self._at < self._begin or nearest.unpacked > self._begin + len(self._chunk):
            self._resume(nearest)
        while self._at >= self._begin + len(self._chunk):
            if not self._advance():
                return 0
        start = self._at - self._begin
        content = self._chunk[start : start + len(buffer)]
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)

    def _resume(self, point: _Point) -> None:
        self._file.seek(point.packed)
        self._unpacker, self._ahead = point.state.copy(), b""
        self._begin, self._chunk = point.unpacked, b""

    def _advance(self) -> bool:
        """Unpack the next chunk; tell whether there is one."""
        self._begin += len(self._chunk)
        self._chunk = b""
        while not self._chunk:
            if self._unpacker.eof and not self._begin_member():
                return False
            packed = self._unpacker.unconsumed_tail or self._ahead or self._file.read(PACKED_CHUNK)
            self._ahead = b""
            if not packed:
                raise EOFError("the packed file ends early")
            self._chunk = self._unpacker.decompress(packed, UNPACKED_CHUNK)
        self._keep_point()
        return True

    def _begin_member(self) -> bool:
        # Zeros may fill up a tape behind the last one.
        ahead = self._unpacker.unused_data.lstrip(b"\0")
        while not ahead:
            more = self._file.read(PACKED_CHUNK)
            if not more:
                return False
            ahead = more.lstrip(b"\0")
        self._unpacker, self._ahead = zlib.decompressobj(GZIP), ahead
        return True

    def _keep_point(self) -> None:
        # With packed bytes left over, the file is further on than the state.
        if self._unpacker.eof or self._unpacker.unconsumed_tail:
            return
        reached = self._begin + len(self._chunk)
        if reached - self._points[-1].unpacked < self._spacing:
            return
        self._points.append(_Point(reached, self._file.tell(), self._unpacker.copy()))
        if len(self._points) > MOST_POINTS:
            del self._points[1::2]
            self._spacing *= 2


def _unpacked(point: _Point) -> int:
    return point.unpacked
