"""Where an input is put, and what is done with it: what a worker of `ingest` would do."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from ctprep.fingerprints import fingerprint_files
from ctprep.ingest_volume import Job, Settings, ingest_volume
from ctprep.native import NativeJpeg
from ctprep.roster import Identity
from ctprep.sources.discover import discover
from ctprep.sources.source import Refused
from ctprep.store.attributes import Kind
from ctprep.store.errors import CtError
from ctprep.store.store import VolumeStore
from tests.fuzz.store_seeds import GRID, SCAN_ID, make_store

ACCEPTED = "accepted"
BUDGET_BYTES = 1 << 30
"""The engine refuses what says that it needs more."""
Outcome = tuple[str, ...]
"""`ACCEPTED`, or the verdicts of what was refused."""


class Bench:
    """A folder with stores, in which one input after the other is read.

    Args:
        folder: empty, and its own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._source = folder / "source"
        self._stores = {kind: make_store(folder / f"{kind}.zarr", kind) for kind in KINDS}
        self._target = make_store(folder / "target.zarr", "hifi")
        self._pictures = make_store(folder / "pictures.zarr", "jpeg")

    def ingest(self, files: Mapping[str, bytes], *, pictures: bool = False) -> Outcome:
        """Find, read and store what lies in a folder.

        Args:
            files: content by name.
            pictures: into a JPEG store, as stacks of pictures need it.
        """
        shutil.rmtree(self._source, ignore_errors=True)
        self._source.mkdir()
        for name, content in files.items():
            (self._source / name).write_bytes(content)
        store, native = (self._pictures, NativeJpeg()) if pictures else (self._target, None)
        settings = Settings(store, GRID, "auto", (-1024, 3071), tolerant=False, native=native)
        identity = Identity("scan", "patient")
        verdicts = []
        for entry in discover(self._source):
            if isinstance(entry, Refused):
                verdicts.append(entry.verdict)
            elif entry.peak_bytes > BUDGET_BYTES:
                verdicts.append("too-large")
            else:
                item = ingest_volume(Job(entry, identity, fingerprint_files(entry.paths)), settings)
                verdicts.append(item.verdict or ACCEPTED)
        return tuple(verdicts)

    def read_store(self, kind: Kind, member: str, content: bytes) -> Outcome:
        """Read all of a store, one of whose files is another.

        Args:
            kind: of the store.
            member: the file, relative to the store.
            content: in place of what it held.
        """
        path = self._stores[kind].path
        whole = (path / member).read_bytes()
        (path / member).write_bytes(content)
        try:
            return tuple(dict.fromkeys(_verdict(step, path) for step in STORE_STEPS))
        finally:
            (path / member).write_bytes(whole)

    def read_table(self, read: Callable[[Path], object], name: str, content: bytes) -> Outcome:
        """Read a file by a function of `ctprep.store`."""
        path = self.folder / name
        path.write_bytes(content)
        return (_verdict(read, path),)

    def voxels_of(self, kind: Kind) -> tuple[bytes, Path]:
        """Give the valid shard of a store, and the store."""
        path = self._stores[kind].path
        return (path / f"{SCAN_ID}/0/c/0/0/0").read_bytes(), path


KINDS: tuple[Kind, ...] = ("jpeg", "hifi")


def _verdict(step: Callable[[Path], object], path: Path) -> str:
    try:
        step(path)
    except CtError as error:
        return str(getattr(error, "verdict", type(error).__name__))
    return ACCEPTED


STORE_STEPS: tuple[Callable[[Path], object], ...] = (
    lambda path: VolumeStore.open(path).read(SCAN_ID),
    lambda path: VolumeStore.open(path).read(SCAN_ID, threads=2),
    lambda path: VolumeStore.open(path).read_attributes(SCAN_ID),
    lambda path: VolumeStore.open(path).catalog(),
    lambda path: VolumeStore.open(path).write_catalog(),
)
