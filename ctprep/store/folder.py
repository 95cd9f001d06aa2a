"""A store in a folder of a file system."""

import errno
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import numpy as np

from ctprep.store.commit import (
    PARTIAL,
    clean,
    create_file,
    leftovers,
    remove_folder,
    write_file,
    write_folder,
)
from ctprep.store.disk import writing
from ctprep.store.errors import StoreError
from ctprep.store.layout import ARRAY, METADATA, SHARD
from ctprep.store.listing import Leftover, Seen, free_name, quarantine_of


@dataclass(frozen=True)
class FolderPlace:
    """A folder; see `Place` for what its methods promise."""

    path: Path

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name

    @property
    def url(self) -> str:
        """Its path, as given."""
        return str(self.path)

    @property
    def at_once(self) -> int:
        """A disk answers at once; asking it from several threads gains little."""
        return 1

    def exists(self) -> bool:
        """Tell whether the folder, or a file of its name, is there."""
        return self.path.exists()

    def make(self) -> Sequence[str]:
        """Make the folder with its parents, and name what is in it."""
        with writing(self.name):
            try:
                self.path.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError) as error:
                raise StoreError("a file is in the way", mend="choose another path") from error
        return self.names()

    def has(self, key: str) -> bool:
        """Tell whether a file is there."""
        return (self.path / key).is_file()

    def read(self, key: str) -> memoryview:
        """Read a whole file."""
        with (self.path / key).open("rb") as file:
            return _read_from(file, os.fstat(file.fileno()).st_size)

    def read_end(self, key: str, nbytes: int) -> tuple[bytes, int]:
        """Read the last bytes of a file, and tell how many it has."""
        with (self.path / key).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - nbytes))
            return file.read(), size

    def read_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes | memoryview]:
        """Read parts of a file."""
        parts: list[bytes | memoryview] = []
        with (self.path / key).open("rb") as file:
            for begin, end in ranges:
                file.seek(begin)
                parts.append(_read_from(file, end - begin))
        return parts

    def sizes(self, keys: Sequence[str]) -> list[int]:
        """Give the bytes of some files."""
        return [(self.path / key).stat().st_size for key in keys]

    def create(self, key: str, data: bytes) -> bool:
        """Make a file, unless it exists."""
        return create_file(self.path / key, data)

    def replace(self, key: str, data: bytes) -> None:
        """Write a file whole or not at all."""
        write_file(self.path / key, data)

    def volumes(self) -> list[str]:
        """Name the folders that have metadata."""
        return [entry.name for entry in self.path.iterdir() if (entry / METADATA).is_file()]

    def survey(self) -> dict[str, Seen]:
        """Tell volumes by the inode, time and size of their metadata."""
        seen = {}
        with writing(self.name):
            for entry in self.path.iterdir():
                try:
                    stat = (entry / METADATA).stat()
                    nbytes = _size(entry / ARRAY / SHARD)
                except OSError as error:
                    # One that goes in the meantime is not there, nor is what links to itself.
                    if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                        raise
                    continue
                state = f"{stat.st_ino}-{stat.st_mtime_ns}-{stat.st_size}"
                seen[entry.name] = Seen(state, nbytes)
        return seen

    def names(self) -> list[str]:
        """Name what is in the folder."""
        return [entry.name for entry in self.path.iterdir()]

    def below(self, name: str) -> list[str]:
        """Give all files below, and the folders."""
        path = self.path / name
        if not _is_folder(path):
            return [name]
        return [
            entry.relative_to(self.path).as_posix() + "/" * _is_folder(entry)
            for entry in path.rglob("*")
        ]

    def write_volume(self, name: str, files: Mapping[str, bytes | memoryview]) -> None:
        """Build the folder aside, then rename it into place."""
        write_folder(self.path, name, files)

    def remove_volume(self, name: str) -> None:
        """Rename the folder away, then remove it."""
        remove_folder(self.path, name)

    def clean(self) -> None:
        """Remove what no living writer holds."""
        clean(self.path)

    def leftovers(self) -> list[Leftover]:
        """Tell what no living writer holds."""
        return [
            Leftover(f"{PARTIAL}/{folder.name}", put_back)
            for folder, put_back in leftovers(self.path)
        ]

    def is_in_work(self, name: str) -> bool:
        """Writers build aside, so a volume is never half there."""
        return False

    def set_aside(self, key: str) -> str:
        """Move it into the folder beside the store."""
        quarantine = self.path.with_name(quarantine_of(self.name))
        with writing(quarantine.name):
            quarantine.mkdir(exist_ok=True)
            name = free_name(key, lambda name: (quarantine / name).exists())
            shutil.move(self.path / key, quarantine / name)
        return f"{quarantine.name}/{name}"

    def remove_empty(self, name: str) -> None:
        """Remove it with the folders in it."""
        with writing(self.name):
            for path in sorted((self.path / name).rglob("*"), reverse=True):
                path.rmdir()
            (self.path / name).rmdir()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _size(path: Path) -> int | None:
    with suppress(FileNotFoundError, NotADirectoryError):
        return path.stat().st_size
    return None


def _read_from(file: BufferedReader, nbytes: int) -> memoryview:
    # Not `read`: numpy's memory lies in large pages where it is large, which takes half the time.
    content = np.empty(nbytes, np.uint8).data
    return content[: file.readinto(content)]
