"""Repair a store: what is damaged goes beside it, and what can be made again is made again."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ctprep.compress import compress_store
from ctprep.engine import Item
from ctprep.report import append_line, beside
from ctprep.store.attributes import GRIDS
from ctprep.store.commit import clean
from ctprep.store.disk import writing
from ctprep.store.errors import StoreMismatchError
from ctprep.store.store import VolumeStore
from ctprep.verify.volume import unknown_in
from ctprep.versions import jpeg_encoder

if TYPE_CHECKING:
    from ctprep.verify.verify import Finding

RECORD = "findings.jsonl"


class Repairs:
    """What is done about findings; nothing that holds data is deleted.

    Args:
        store: to repair.
        hifi: hi-fi store to make lost volumes of a JPEG store from.

    Raises:
        StoreMismatchError: `hifi` is not what the store was compressed from.
    """

    def __init__(self, store: VolumeStore, hifi: Path | None) -> None:
        self.hifi = hifi
        self._store = store
        self._quarantine = beside(store.path, ".quarantine")
        if hifi is not None:
            _check_restorable(store, VolumeStore.open(hifi, kind="hifi"))

    @property
    def command_to_make(self) -> str:
        """What to run once lost volumes are moved away."""
        return f"run {command_to_make(self._store)}"

    def clean(self) -> None:
        """Remove what dead writers have left, and put back what they had moved aside."""
        clean(self._store.path)

    def move_away(self, name: str) -> str:
        """Move something of the store into the quarantine, and say where it is."""
        with writing(self._quarantine.name):
            self._quarantine.mkdir(exist_ok=True)
            number = 1
            flat = name.replace("/", "~")
            while (place := self._quarantine / f"{flat}~{number}").exists():
                number += 1
            shutil.move(self._store.path / name, place)
        return f"moved to {self._quarantine.name}/{place.name}"

    def move_unknown_files(self, scan_id: str) -> str:
        """Move what does not belong to a volume out of its folder, and say where it is."""
        volume = self._store.path / scan_id
        for path in unknown_in(volume):
            if path.is_dir():
                path.rmdir()
            else:
                self.move_away(path.relative_to(self._store.path).as_posix())
        return f"moved to {self._quarantine.name}"

    def remove_empty(self, name: str) -> str:
        """Remove a folder without a file, and say so."""
        folder = self._store.path / name
        with writing(self._store.path.name):
            for path in sorted(folder.rglob("*"), reverse=True):
                path.rmdir()
            folder.rmdir()
        return "removed"

    def record(self, finding: "Finding") -> None:
        """Note in the quarantine what was found, so that it outlives the repair."""
        with writing(self._quarantine.name):
            self._quarantine.mkdir(exist_ok=True)
        append_line(self._quarantine / RECORD, asdict(finding))

    def restore(self, scan_ids: Sequence[str], workers: int) -> Iterator[Item]:
        """Make volumes again from the hi-fi store, where one was given."""
        window, quality = self._store.attributes.window, self._store.attributes.quality
        if self.hifi is None or not scan_ids or window is None or quality is None:
            return
        yield from compress_store(
            self.hifi,
            self._store.path,
            quality=quality,
            window=window,
            workers=workers,
            only=scan_ids,
        )

    def rebuild_catalog(self) -> None:
        """Write the catalog anew from the volumes."""
        self._store.write_catalog()


def command_to_make(store: VolumeStore) -> str:
    """Give the command that makes lost volumes of a store again.

    Args:
        store: which has lost them.

    Returns:
        A shell command; what the store does not know is a word in capitals.
    """
    attributes = store.attributes
    window, quality = attributes.window, attributes.quality
    if window is not None and attributes.encode_at != "native":
        return (
            f"`ctprep compress HIFI {store.path.name} --quality {quality} "
            f"--window {window.center_hu:g} {window.width_hu:g}`"
        )
    grid = attributes.grid
    name = grid.name if GRIDS.get(grid.name) == grid else "GRID.toml"
    native = "" if window is None else f" --native-jpeg {quality}"
    lowest, highest = attributes.hu_range
    return (
        f"`ctprep ingest SOURCE {store.path.name} --grid {name} "
        f"--hu-range {lowest} {highest}{native}` with the other options of the first run"
    )


def _check_restorable(store: VolumeStore, hifi: VolumeStore) -> None:
    ours, theirs = store.attributes, hifi.attributes
    if ours.kind != "jpeg" or ours.encode_at != "resampled":
        raise StoreMismatchError(
            "volumes of this store are not made from a hi-fi store",
            mend=f"repair it without --from, then run {command_to_make(store)}",
            where=store.path.name,
        )
    if (ours.grid, ours.orientation, ours.hu_range) != (
        theirs.grid,
        theirs.orientation,
        theirs.hu_range,
    ):
        raise StoreMismatchError(
            "the hi-fi store has another grid or HU range",
            mend="give the hi-fi store that this one was compressed from",
            where=hifi.path.name,
        )
    if ours.encoder != jpeg_encoder():
        raise StoreMismatchError(
            f"the store was written by {ours.encoder}, and {jpeg_encoder()} is installed",
            mend=f"install {ours.encoder}, so that all its volumes come from one encoder",
            where=store.path.name,
        )
