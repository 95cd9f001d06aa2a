"""Zip and tar archives: what they hold, and how to read a member without unpacking the rest."""

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Literal, cast

from ctprep.sources.gzip_seek import SeekableGzip
from ctprep.store.errors import SourceError

Kind = Literal["zip", "tar", "tgz"]
SUFFIXES: dict[str, Kind] = {".zip": "zip", ".tar": "tar", ".tar.gz": "tgz", ".tgz": "tgz"}
OTHERS = (".gz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".7z", ".rar")
"""Packed files and archives without access to a single member, or without a free reader."""
MAX_MEMBER_BYTES = 16 * 2**30
"""More than any scan; a header that promises more is wrong or a bomb."""
MAX_DEFLATE_RATIO = 1032
"""What deflate can gain at most; a header that promises more is wrong (zlib, technical details)."""
OPEN_ZIPS = 4
OPEN_GZIPS = 2
"""Each may take 40 MB; what falls out of the cache is closed once nobody reads from it."""
ENCRYPTED = 0x1
NAMELESS = "nameless"
"""What a member is called whose name says nothing but where to go."""
DamagedError = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    EOFError,
    NotImplementedError,  # a compression of zip that Python does not know
    # What a damaged directory makes the library stumble over.
    RuntimeError,
    ValueError,
    OverflowError,
    struct.error,
)


@dataclass(frozen=True)
class Member:
    """One file in an archive.

    Args:
        kind: of the archive.
        name: within the archive, as the archive spells it; of a repeated name, all but the first
            get a number.
        start: number in the directory of a zip; first byte in the unpacked tar.
        size: bytes, unpacked.
        checksum: CRC-32 that the zip states; 0 in a tar, which has none.
    """

    kind: Kind
    name: str
    start: int
    size: int
    checksum: int = 0


def archive_kind(name: str) -> Kind | None:
    """Tell from its name whether a file is an archive that can be read in place."""
    lower = name.lower()
    return next((kind for suffix, kind in SUFFIXES.items() if lower.endswith(suffix)), None)


def list_members(place: Path, kind: Kind) -> Iterator[tuple[Member, str]]:
    """List the files in an archive.

    Args:
        place: the archive.
        kind: as `archive_kind` told.

    Yields:
        Each file, and why it cannot be read: `encrypted`, `link`, `too-large`, or nothing.

    Raises:
        SourceError: the archive is damaged (`unreadable`); what was listed before is good.
    """
    counts: dict[str, int] = {}
    with _readable(place.name):
        listed = _zip_members(place) if kind == "zip" else _tar_members(place, kind)
        for member, reason, packed in listed:
            # A name may point out of the archive; it is never followed, and need not look so.
            parts = [part for part in member.name.split("/") if part not in ("", ".", "..")]
            # No path may hold a zero, and tables and reports take names for paths.
            name = "/".join(parts).replace("\0", "")
            name = _unique(name or NAMELESS, counts)
            too_large = "too-large" if member.size > _most_bytes(member, packed) else ""
            yield (
                Member(member.kind, name, member.start, member.size, member.checksum),
                reason or too_large,
            )


def _unique(name: str, counts: dict[str, int]) -> str:
    """Give a name that no member has yet; in the counts are all names, and how often they came."""
    count = counts.get(name, 0) + 1
    while count > 1 and f"{name}~{count}" in counts:
        count += 1
    counts[name] = count
    unique = name if count == 1 else f"{name}~{count}"
    counts.setdefault(unique, 1)
    return unique


def open_member(place: Path, member: Member) -> BufferedIOBase:
    """Open a member for reading.

    Args:
        place: the archive.
        member: as `list_members` gave it.

    Raises:
        SourceError: the archive is damaged, or has changed since it was listed.
    """
    with _readable(place.name):
        if member.kind != "zip":
            tar, kept = _open_tar(place, member.kind), member.kind == "tgz"
            window = _Window(tar, member.start, member.size, place.name, keep_open=kept)
            return io.BufferedReader(window)
        archive = _open_zip(place)
        infos = archive.infolist()
        info = infos[member.start] if member.start < len(infos) else None
        if info is None or (info.file_size, info.CRC) != (member.size, member.checksum):
            raise SourceError(
                f"{place.name} changed since it was listed",
                verdict="changed",
                mend="run again while nothing else writes to the source",
            )
        raw = cast(BufferedIOBase, archive.open(info))
        return io.BufferedReader(_Window(raw, 0, member.size, place.name))


def _most_bytes(member: Member, packed: int) -> int:
    """Tell how much a member can hold at most, of the bytes that it takes in the archive."""
    return (
        min(MAX_MEMBER_BYTES, packed * MAX_DEFLATE_RATIO)
        if member.kind == "zip"
        else MAX_MEMBER_BYTES
    )


def _zip_members(place: Path) -> Iterator[tuple[Member, str, int]]:
    for number, info in enumerate(_open_zip(place).infolist()):
        # Not `is_dir`, which fails on an empty name.
        if not info.filename.endswith("/"):
            reason = "encrypted" if info.flag_bits & ENCRYPTED else ""
            member = Member("zip", info.filename, number, info.file_size, info.CRC)
            yield member, reason, info.compress_size


def _tar_members(place: Path, kind: Kind) -> Iterator[tuple[Member, str, int]]:
    # The cached one goes on to be read from.
    with nullcontext(_open_tar(place, kind)) if kind == "tgz" else _open_tar(place, kind) as stream:
        stream.seek(0)
        yield from _tar_entries(stream, kind)


def _tar_entries(stream: BufferedIOBase, kind: Kind) -> Iterator[tuple[Member, str, int]]:
    with tarfile.open(fileobj=stream, mode="r:") as archive:
        while (info := archive.next()) is not None:
            # The library remembers every member, which for a whole archive is a lot.
            archive.members = []  # type: ignore[attr-defined]
            if info.isdir():
                continue
            usable = info.isreg() and not info.issparse()
            member = Member(kind, info.name, info.offset_data, info.size)
            yield member, "" if usable else "link", info.size


def _open_zip(place: Path) -> zipfile.ZipFile:
    stat = place.stat()
    return _cached_zip(place, stat.st_size, stat.st_mtime_ns)


# The directory of a large archive takes a second to read, and every slice would ask for it.
@lru_cache(OPEN_ZIPS)
def _cached_zip(place: Path, _size: int, _mtime_ns: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(place)


def _open_tar(place: Path, kind: Kind) -> BufferedIOBase:
    if kind == "tar":
        return place.open("rb")
    stat = place.stat()
    return _cached_gzip(place, stat.st_size, stat.st_mtime_ns)


# It remembers where to go on unpacking, so that a member costs little of what lies before it.
@lru_cache(OPEN_GZIPS)
def _cached_gzip(place: Path, _size: int, _mtime_ns: int) -> BufferedIOBase:
    return io.BufferedReader(SeekableGzip(place))


class _Window(io.RawIOBase):
    """A part of a stream as a stream of its own; errors of unpacking come out as ours."""

    def __init__(
        self,
        stream: BufferedIOBase,
        start: int,
        size: int,
        archive: str,
        *,
        keep_open: bool = False,
    ) -> None:
        self._stream, self._start, self._size, self._archive = stream, start, size, archive
        self._keep_open = keep_open
        self._at = 0
        # Asked for by the DICOM library, which takes any buffered reader for a file.
        self.name = archive

    def close(self) -> None:
        if not self._keep_open:
            self._stream.close()
        super().close()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401
        count = max(0, min(len(buffer), self._size - self._at))
        with _readable(self._archive):
            if self._stream.tell() != self._start + self._at:
                self._stream.seek(self._start + self._at)
            content = self._stream.read(count)
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except SourceError:
        raise
    except DamagedError as error:
        raise SourceError(
            f"the archive {name} is damaged, or packed in a way that cannot be read",
            verdict="unreadable",
            mend="fetch it again, or pack it as .zip, .tar or .tar.gz",
        ) from error
