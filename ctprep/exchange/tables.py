"""The files that a description names: where they lie from it, how large they are, their SHA-256."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ctprep.store.errors import TableError

ENCODINGS = {
    ".csv": "text/csv",
    ".parquet": "application/x-parquet",
    ".json": "application/json",
}


@dataclass(frozen=True)
class TableFile:
    """A file of a corpus, as a description names it."""

    name: str
    """Its identifier there."""
    url: str
    """Its path from the folder of the description."""
    encoding: str
    nbytes: int
    sha256: str


def look_at_file(name: str, path: Path, folder: Path) -> TableFile:
    """Read a file for its digest.

    Args:
        name: identifier in the description.
        path: of the file.
        folder: of the description.

    Raises:
        TableError: there is no such file, it is packed or of an unknown kind, or it lies outside
            the folder.
    """
    encoding = ENCODINGS.get(path.suffix.lower())
    if encoding is None:
        raise TableError(
            f"a description cannot name a table that ends in {path.suffix!r}",
            mend="save it as .csv or .parquet, not packed",
            where=path.name,
        )
    url = relative_url(path, folder)
    try:
        with path.open("rb") as file:
            digest, nbytes = hashlib.file_digest(file, "sha256"), file.tell()
    except OSError as error:
        raise TableError("it cannot be read", mend="check the path", where=path.name) from error
    return TableFile(name, url, encoding, nbytes, digest.hexdigest())


def relative_url(path: Path, folder: Path) -> str:
    """Give the path of a file or folder from the folder of a description, with forward slashes.

    Raises:
        TableError: it lies outside, so that it would be lost when the folder is copied.
    """
    # Not resolved: a link in the folder is meant to be its content.
    there, base = (Path(os.path.normpath(own.absolute())) for own in (path, folder))
    if not there.is_relative_to(base):
        raise TableError(
            "it lies outside the folder of the description, which names files by their way from it",
            mend="write the description into a folder that holds store and tables",
            where=path.name,
        )
    return there.relative_to(base).as_posix()
