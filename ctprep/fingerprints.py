"""Fingerprints: tell by size and time alone that a source is the one already in the store."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from ctprep.report import append_line, beside
from ctprep.sources.files import SourceFile
from ctprep.sources.source import changed_source
from ctprep.store.disk import writing
from ctprep.store.errors import SourceError
from ctprep.store.names import name_bytes
from ctprep.store.place import Where


class Fingerprints:
    """Remembers, beside a store, which files each volume was made from, and where they lay.

    Disposable: without it, or where it does not fit, the files are hashed, and only a volume whose
    file has changed is refused, as it could be another scan of the same name. It holds hashes
    only, no paths.

    Args:
        store: the store; the file is `<store>.fingerprints.jsonl` beside it.
    """

    def __init__(self, store: Where) -> None:
        self._path = beside(store, ".fingerprints.jsonl")
        self._known = self._read()

    def match(self, scan_id: str, fingerprint: str, source_sha256: Sequence[str]) -> bool:
        """Say whether files of this fingerprint are known to have these hashes."""
        known = self._known.get(scan_id)
        return known is not None and known[:2] == (fingerprint, _join(source_sha256))

    def came_from(self, scan_id: str, origin: str, source_sha256: Sequence[str]) -> bool:
        """Say whether a volume made from files of these hashes is known to be of this origin."""
        known = self._known.get(scan_id)
        return known is not None and known[1:] == (_join(source_sha256), origin)

    def remember(
        self, scan_id: str, fingerprint: str, source_sha256: Sequence[str], origin: str | None
    ) -> None:
        """Note what a volume was made from.

        Args:
            scan_id: of the volume.
            fingerprint: of its files.
            source_sha256: of each of them.
            origin: keyed hash of where they lie, as `Identity` has it.
        """
        entry = (fingerprint, _join(source_sha256), origin)
        if self._known.get(scan_id) != entry:
            self._known[scan_id] = entry
            append_line(self._path, [scan_id, *entry])

    def tidy(self) -> None:
        """Write the file anew, a line a volume."""
        # Read again: another run may have added to it.
        lines = [json.dumps([scan_id, *entry]) + "\n" for scan_id, entry in self._read().items()]
        # Always the same name, so that a killed run's is overwritten by the next.
        partial = self._path.with_name(f".{self._path.name}.partial")
        with writing(self._path.name):
            partial.write_text("".join(lines))
            partial.replace(self._path)

    def _read(self) -> dict[str, tuple[str, str, str | None]]:
        known = {}
        for line in (
            self._path.read_text(errors="replace").splitlines() if self._path.is_file() else ()
        ):
            # A killed run may have left half a line, an earlier version a shorter one.
            with suppress(ValueError, TypeError):
                scan_id, fingerprint, content, origin = json.loads(line)
                known[scan_id] = (fingerprint, content, origin)
        return known


def fingerprint_files(files: Sequence[SourceFile]) -> str:
    """Hash names, sizes and times of files, not their content.

    Args:
        files: those of one scan, in any order.

    Raises:
        SourceError: a file is gone.
    """
    with _readable():
        return _join([file.fingerprint() for file in files])


def hash_files(files: Sequence[SourceFile]) -> tuple[str, ...]:
    """Give the SHA-256 of each file, in the order given.

    Raises:
        SourceError: a file cannot be read.
    """
    with _readable():
        return tuple(file.sha256() for file in files)


@contextmanager
def unchanging(files: Sequence[SourceFile], fingerprint: str) -> Iterator[None]:
    """Refuse what is made of files that change while they are read.

    Voxels and hashes come from several reads, and must be of the same bytes.

    Args:
        files: those of one scan.
        fingerprint: what `fingerprint_files` gave when they were found.

    Raises:
        SourceError: `changed`, in place of what else went wrong because of it.
    """
    with _readable():
        before = _states(files)
    if fingerprint_files(files) != fingerprint:
        raise changed_source()
    try:
        yield
    except SourceError as error:
        if _states_or_none(files) != before:
            raise changed_source() from error
        raise
    if _states_or_none(files) != before:
        raise changed_source()


def _states(files: Sequence[SourceFile]) -> list[tuple[int, ...]]:
    # The time of the inode cannot be set back, as that of the content can.
    stats = [path.stat() for path in dict.fromkeys(file.place for file in files)]
    return [(stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for stat in stats]


def _states_or_none(files: Sequence[SourceFile]) -> list[tuple[int, ...]] | None:
    try:
        return _states(files)
    except OSError:
        return None


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
    return hashlib.sha256(name_bytes("\n".join(sorted(parts)))).hexdigest()
