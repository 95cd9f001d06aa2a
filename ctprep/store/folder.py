"""A store in a folder of a file system."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import numpy as np

from ctprep.store.commit import clean, create_file, remove_folder, write_file, write_folder
from ctprep.store.disk import writing
from ctprep.store.errors import StoreError
from ctprep.store.layout import METADATA


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
        return [entry.name for entry in self.path.iterdir()]

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

    def write_volume(self, name: str, files: Mapping[str, bytes | memoryview]) -> None:
        """Build the folder aside, then rename it into place."""
        write_folder(self.path, name, files)

    def remove_volume(self, name: str) -> None:
        """Rename the folder away, then remove it."""
        remove_folder(self.path, name)

    def clean(self) -> None:
        """Remove what no living writer holds."""
        clean(self.path)


def _read_from(file: BufferedReader, nbytes: int) -> memoryview:
    # Not `read`: numpy's memory lies in large pages where it is large, which takes half the time.
    content = np.empty(nbytes, np.uint8).data
    return content[: file.readinto(content)]
