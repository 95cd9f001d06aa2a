"""The files of a source: each once, links followed, and a row for whatever cannot be reached."""

import os
import stat
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from ctprep.sources.paths import is_file, is_folder, real_path
from ctprep.sources.source import Refused

Inode = tuple[int, int]
"""Device and number, which are those of the file or folder itself by whatever name."""
NO_FILE = "not a regular file"


def walk(source: Path, root: Path) -> Iterator[Path | Refused]:
    """Yield the files below a folder, or the one file that is the source.

    What lies in the folder itself comes first, folder by folder in the order of names, then what
    links lead to: folders, then files. So a file is read under the name of the place where it
    lies, and a link to it is told; of several links to one place outside the first is followed.

    Args:
        source: folder or file.
        root: what names are relative to.

    Yields:
        The path of each regular file, or why something is no file that can be read.
    """
    if is_folder(source):
        yield from _Walk(source, root).paths()
    elif is_file(source):
        yield source
    else:
        yield Refused(source.name, "not-a-scan", NO_FILE, "nothing to do", 1)


class _Walk:
    """What has been seen so far, so that nothing is read twice or walked in a circle."""

    def __init__(self, source: Path, root: Path) -> None:
        self._source, self._root = source, root
        self._above = {_inode(folder.stat()) for folder in real_path(source).parents}
        self._folders: set[Inode] = set()
        self._linked: set[Inode] = set()
        self._links: deque[str] = deque()

    def paths(self) -> Iterator[Path | Refused]:
        yield from self._below(str(self._source))
        files = []
        while self._links:
            link = self._links.popleft()
            try:
                target = Path(link).stat()
            except OSError as error:
                yield self._broken(link, error)
                continue
            if not stat.S_ISDIR(target.st_mode):
                files.append(link)
            elif _inode(target) in self._above:
                yield self._refused(link, "link", "a link to a folder that holds the source")
            else:
                yield from self._below(link)
        for link in files:
            yield self._linked_file(link)

    def _below(self, top: str) -> Iterator[Path | Refused]:
        """Walk a folder without following the links in it, which are kept for later."""
        folders = [top]
        while folders:
            folder = folders.pop()
            try:
                inode = _inode(Path(folder).stat())
                with os.scandir(folder) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
                inside = [entry.is_dir(follow_symlinks=False) for entry in entries]
            except OSError as error:
                what = f"the folder cannot be listed: {error.strerror}"
                mend = "check its permissions, or leave it out of the source"
                yield self._refused(folder, "unreadable", what, mend)
                continue
            if inode in self._folders:
                yield self._refused(folder, "link", "reached by a link, and read elsewhere")
                continue
            self._folders.add(inode)
            subfolders = []
            for entry, is_subfolder in zip(entries, inside, strict=True):
                if entry.is_symlink():
                    self._links.append(entry.path)
                elif is_subfolder:
                    subfolders.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    yield Path(entry.path)
                else:
                    yield self._refused(entry.path, "not-a-scan", NO_FILE)
            folders += reversed(subfolders)

    def _linked_file(self, link: str) -> Path | Refused:
        try:
            target = Path(link).stat()
            folder = real_path(Path(link)).parent.stat()
        except OSError as error:
            return self._broken(link, error)
        if not stat.S_ISREG(target.st_mode):
            return self._refused(link, "not-a-scan", NO_FILE)
        if _inode(folder) in self._folders or _inode(target) in self._linked:
            return self._refused(link, "link", "a link to a file that is read elsewhere")
        self._linked.add(_inode(target))
        return Path(link)

    def _broken(self, link: str, error: OSError) -> Refused:
        what = f"a link that cannot be followed: {error.strerror}"
        return self._refused(link, "link", what, "mend the link, or remove it")

    def _refused(self, path: str, verdict: str, what: str, mend: str = "nothing to do") -> Refused:
        return Refused(Path(path).relative_to(self._root).as_posix(), verdict, what, mend, 1)


def _inode(status: os.stat_result) -> Inode:
    return status.st_dev, status.st_ino
