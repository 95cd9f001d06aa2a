"""The files of a source: on disk, or members of an archive that are read where they lie."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path, PurePosixPath

from ctprep.scratch import scratch_folder
from ctprep.sources.archives import Member, open_member
from ctprep.sources.paths import real_path
from ctprep.store.errors import SourceError

CHUNK = 1 << 20


@dataclass(frozen=True, order=True)
class SourceFile:
    """One file of a source; small, picklable, and opened only when asked.

    Args:
        name: path relative to the source with forward slashes; a member's goes on behind the
            name of its archive, as in `export.zip/series/1.dcm`.
        place: the file on disk, or the archive that holds it.
        member: which member of the archive; None for a file on disk.
    """

    name: str
    place: Path = field(repr=False)
    member: Member | None = field(default=None, compare=False, repr=False)

    @property
    def basename(self) -> str:
        """The last part of the name."""
        return PurePosixPath(self.name).name

    @property
    def folder(self) -> str:
        """The name of the folder it lies in, `.` for the source itself."""
        return PurePosixPath(self.name).parent.as_posix()

    @property
    def location(self) -> Path:
        """Absolute path; that of a member goes on behind its archive, where no file is."""
        resolved = real_path(self.place)
        return resolved if self.member is None else resolved / self.member.name

    @property
    def size(self) -> int:
        """Bytes, unpacked."""
        return self.place.stat().st_size if self.member is None else self.member.size

    def open(self) -> BufferedIOBase:
        """Open it for reading; the stream can seek, backwards perhaps slowly.

        Raises:
            OSError: it cannot be read.
            SourceError: its archive is damaged, or another than when it was listed.
        """
        if self.member is None:
            return self.place.open("rb")
        return open_member(self.place, self.member)

    def read_bytes(self) -> bytes:
        """Read the whole of it.

        Raises:
            OSError: it cannot be read.
            SourceError: its archive is damaged, or another than when it was listed.
        """
        if self.member is None:
            return self.place.read_bytes()
        with self.open() as stream:
            content = stream.read(self.member.size)
        if len(content) < self.member.size:
            raise _cut_off(self.basename)
        return content

    def sha256(self) -> str:
        """Hash its content."""
        with self.open() as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def fingerprint(self) -> str:
        """Tell, without reading it, whether it is still the same: its place, size and time.

        Raises:
            OSError: it is gone.
        """
        stat = self.place.stat()
        inside = "" if self.member is None else f"|{self.member}"
        return f"{self.place.absolute()}|{stat.st_size}|{stat.st_mtime_ns}{inside}"

    @contextmanager
    def on_disk(self) -> Iterator[Path]:
        """Give a path of plain text for a library that takes nothing else.

        A member is copied out meanwhile.
        """
        if self.member is None and str(self.place).isprintable():
            yield self.place
            return
        with scratch_folder(is_of_run=False) as folder:
            path = folder / f"file{PurePosixPath(self.name).suffix}"
            if self.member is None:
                path.symlink_to(self.place)
            else:
                with self.open() as stream, path.open("wb") as file:
                    shutil.copyfileobj(stream, file, CHUNK)
            yield path


def _cut_off(name: str) -> SourceError:
    return SourceError(
        f"the archive ends within {name}", verdict="truncated", mend="fetch the archive again"
    )
