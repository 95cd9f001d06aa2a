"""Fingerprints: tell by size and time alone that a source is the one already in the store."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ctprep.report import append_line, beside
from ctprep.store.disk import writing
from ctprep.store.errors import SourceError


class Fingerprints:
    """Remembers, beside a store, which files each volume was made from.

    Derived and disposable: without it, or where it does not fit, the files are hashed. It holds
    hashes only, no paths.

    Args:
        store: the store; the file is `<store>.fingerprints.jsonl` beside it.
    """

    def __init__(self, store: Path) -> None:
        self._path = beside(store, ".fingerprints.jsonl")
        self._known: dict[str, tuple[str, str]] = {}
        lines = self._path.read_text().splitlines() if self._path.is_file() else []
        for line in lines:
            # A killed run may have left half a line.
            try:
                scan_id, fingerprint, content = json.loads(line)
            except ValueError:
                continue
            self._known[scan_id] = (fingerprint, content)

    def match(self, scan_id: str, fingerprint: str, source_sha256: Sequence[str]) -> bool:
        """Say whether files of this fingerprint are known to have these hashes."""
        return self._known.get(scan_id) == (fingerprint, _join(source_sha256))

    def remember(self, scan_id: str, fingerprint: str, source_sha256: Sequence[str]) -> None:
        """Note what a volume was made from."""
        entry = (fingerprint, _join(source_sha256))
        if self._known.get(scan_id) != entry:
            self._known[scan_id] = entry
            append_line(self._path, [scan_id, *entry])

    def tidy(self) -> None:
        """Write the file anew, a line a volume."""
        lines = (json.dumps([scan_id, *entry]) + "\n" for scan_id, entry in self._known.items())
        # Always the same name, so that a killed run's is overwritten by the next.
        partial = self._path.with_name(f".{self._path.name}.partial")
        with writing(self._path.name):
            partial.write_text("".join(lines))
            partial.replace(self._path)


def fingerprint_files(paths: Sequence[Path]) -> str:
    """Hash names, sizes and times of files, not their content.

    Args:
        paths: files of one scan, in any order.

    Raises:
        SourceError: a file is gone.
    """
    with _readable():
        stats = [(str(path.absolute()), path.stat()) for path in sorted(paths)]
    text = "\n".join(f"{name}|{stat.st_size}|{stat.st_mtime_ns}" for name, stat in stats)
    return _join([text])


def hash_files(paths: Sequence[Path]) -> tuple[str, ...]:
    """Give the SHA-256 of each file, in the order given.

    Raises:
        SourceError: a file cannot be read.
    """
    digests = []
    with _readable():
        for path in paths:
            with path.open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return tuple(digests)


@contextmanager
def unchanging(paths: Sequence[Path], fingerprint: str) -> Iterator[None]:
    """Refuse what is made of files that change while they are read.

    Voxels and hashes come from several reads, and must be of the same bytes.

    Args:
        paths: files of one scan.
        fingerprint: what `fingerprint_files` gave when they were found.

    Raises:
        SourceError: `changed`, in place of what else went wrong because of it.
    """
    with _readable():
        before = _states(paths)
    if fingerprint_files(paths) != fingerprint:
        raise _changed()
    try:
        yield
    except SourceError as error:
        if _states_or_none(paths) != before:
            raise _changed() from error
        raise
    if _states_or_none(paths) != before:
        raise _changed()


def _states(paths: Sequence[Path]) -> list[tuple[int, ...]]:
    # The time of the inode cannot be set back, as that of the content can.
    stats = [path.stat() for path in paths]
    return [(stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for stat in stats]


def _states_or_none(paths: Sequence[Path]) -> list[tuple[int, ...]] | None:
    try:
        return _states(paths)
    except OSError:
        return None


def _changed() -> SourceError:
    return SourceError(
        "a file changed since it was found",
        verdict="changed",
        mend="run again while nothing else writes to the source",
    )


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceError(
            f"a file cannot be read: {error.strerror}",
            mend="check that the file is still there and may be read",
        ) from error


def _join(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()
