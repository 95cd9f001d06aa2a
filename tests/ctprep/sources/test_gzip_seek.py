"""Seeking in gzip files gives the bytes that unpacking them from the start gives."""

import gzip
import io
import random
import zlib
from itertools import pairwise
from pathlib import Path

import pytest

from ctprep.sources import gzip_seek
from ctprep.sources.archives import OPEN_GZIPS
from ctprep.sources.gzip_seek import MOST_POINTS, SeekableGzip

CONTENT = b"".join(random.Random(1).randbytes(3_000) + bytes([n]) * 5_000 for n in range(200))


@pytest.fixture
def few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Points close enough, and few enough, for a small file to have too many."""
    monkeypatch.setattr(gzip_seek, "MOST_POINTS", 16)
    monkeypatch.setattr(gzip_seek, "FIRST_SPACING", 1 << 12)
    monkeypatch.setattr(gzip_seek, "PACKED_CHUNK", 1 << 10)
    monkeypatch.setattr(gzip_seek, "UNPACKED_CHUNK", 1 << 12)


def _write(path: Path, *parts: bytes, end: bytes = b"") -> Path:
    path.write_bytes(b"".join(map(gzip.compress, parts)) + end)
    return path


@pytest.mark.parametrize("members", [1, 3, 200])
def test_any_order_of_reading_gives_the_same_bytes(tmp_path, few_points, members) -> None:
    """Forwards, backwards, across members, and beyond the end."""
    size = len(CONTENT) // members
    parts = [CONTENT[n * size : (n + 1) * size] for n in range(members)]
    content, path = b"".join(parts), _write(tmp_path / "a.gz", *parts, end=b"\0" * 3_000)
    draw = random.Random(2)

    with io.BufferedReader(SeekableGzip(path)) as file:
        assert file.read() == content
        for _ in range(200):
            at, count = draw.randrange(len(content) + 10), draw.randrange(1, 30_000)
            file.seek(at)
            assert file.read(count) == content[at : at + count]


def test_the_number_of_points_is_bounded_and_they_are_spread(tmp_path, few_points) -> None:
    """Every other one goes when there are too many; the last is not far from the end."""
    file = SeekableGzip(_write(tmp_path / "a.gz", CONTENT))
    assert file.readall() == CONTENT

    places = [point.unpacked for point in file._points]
    gaps = [after - before for before, after in pairwise(places)]

    assert 4 <= len(places) <= 16
    assert max(gaps) <= 4 * min(gaps)
    assert places[-1] > len(CONTENT) * 3 // 4


def test_a_way_back_starts_at_the_nearest_point(tmp_path, few_points) -> None:
    """Not at the beginning."""
    file = SeekableGzip(_write(tmp_path / "a.gz", CONTENT))
    file.readall()
    resumed = []
    resume = file._resume
    file._resume = lambda point: (resumed.append(point.unpacked), resume(point))

    file.seek(len(CONTENT) // 2)
    file.read(10)

    assert len(resumed) == 1
    assert resumed[0] > len(CONTENT) // 3


def test_what_a_worker_holds_of_archives_is_bounded() -> None:
    """A point is a window of 32 KiB and the unpacker's 7 kB beside it."""
    assert MOST_POINTS * OPEN_GZIPS * 40_000 < 100_000_000


def test_damage_is_an_error(tmp_path) -> None:
    """Cut off, turned bits, and something else behind the end."""
    packed = gzip.compress(CONTENT)
    for content, error in (
        (packed[:-20], EOFError),
        (packed[:-6] + b"\0\0\0" + packed[-3:], zlib.error),
        (packed + b"junk", zlib.error),
        (b"junk", zlib.error),
    ):
        path = tmp_path / "a.gz"
        path.write_bytes(content)
        with io.BufferedReader(SeekableGzip(path)) as file, pytest.raises(error):
            file.read()
