"""Repair a store: what is damaged goes beside it, and what can be made again is made again."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from ctprep.compress import compress_store
from ctprep.jobs import Item
from ctprep.report import append_line, beside
from ctprep.store.attributes import GRIDS
from ctprep.store.disk import writing
from ctprep.store.errors import StoreMismatchError
from ctprep.store.listing import quarantine_of
from ctprep.store.place import Where
from ctprep.store.store import VolumeStore
from ctprep.verify.finding import Finding
from ctprep.verify.volume import unknown_in
from ctprep.versions import jpeg_encoder

RECORD = "findings.jsonl"


class Repairs:
    """What is done about findings; nothing that holds data is deleted.

    Args:
        store: to repair.
        hifi: hi-fi store to make lost volumes of a JPEG store from.

    Raises:
        StoreMismatchError: `hifi` is not what the store was compressed from.
    """

    def __init__(self, store: VolumeStore, hifi: Where | None) -> None:
        self.hifi = hifi
        self._store = store
        self._record = beside(store.place, ".quarantine") / RECORD
        if hifi is not None:
            _check_restorable(store, VolumeStore.open(hifi, kind="hifi"))

    @property
    def command_to_make(self) -> str:
        """What to run once lost volumes are moved away."""
        return f"run {command_to_make(self._store)}"

    def clean(self) -> None:
        """Remove what dead writers have left, and put back what they had moved aside."""
        self._store.place.clean()

    def move_away(self, name: str) -> str:
        """Move something of the store into the quarantine, and say where it is."""
        return f"moved to {self._store.place.set_aside(name)}"

    def move_unknown_files(self, scan_id: str) -> str:
        """Move what does not belong to a volume out of its folder, and say where it is."""
        for key in unknown_in(self._store.place, scan_id):
            if key.endswith("/"):
                self._store.place.remove_empty(key)
            else:
                self.move_away(key)
        return f"moved to {quarantine_of(self._store.name)}"

    def remove_empty(self, name: str) -> str:
        """Remove a folder without a file, and say so."""
        self._store.place.remove_empty(name)
        return "removed"

    def record(self, finding: Finding) -> None:
        """Note what was found, so that it outlives the repair.

        In the quarantine of a folder; for a bucket, to which no line can be added, in a folder of
        that name here.
        """
        with writing(self._record.parent.name):
            self._record.parent.mkdir(exist_ok=True)
        append_line(self._record, asdict(finding))

    def restore(self, scan_ids: Sequence[str], workers: int) -> Iterator[Item]:
        """Make volumes again from the hi-fi store, where one was given."""
        window, quality = self._store.attributes.window, self._store.attributes.quality
        if self.hifi is None or not scan_ids or window is None or quality is None:
            return
        yield from compress_store(
            self.hifi,
            self._store.place,
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
    shown = store.url if store.place.path is None else store.name
    window, quality = attributes.window, attributes.quality
    if window is not None and attributes.encode_at != "native":
        return (
            f"`ctprep compress HIFI {shown} --quality {quality} "
            f"--window {window.center_hu:g} {window.width_hu:g}`"
        )
    grid = attributes.grid
    name = grid.name if GRIDS.get(grid.name) == grid else "GRID.toml"
    native = "" if window is None else f" --native-jpeg {quality}"
    lowest, highest = attributes.hu_range
    return (
        f"`ctprep ingest SOURCE {shown} --grid {name} "
        f"--hu-range {lowest} {highest}{native}` with the other options of the first run"
    )


def _check_restorable(store: VolumeStore, hifi: VolumeStore) -> None:
    ours, theirs = store.attributes, hifi.attributes
    if ours.kind != "jpeg" or ours.encode_at != "resampled":
        raise StoreMismatchError(
            "volumes of this store are not made from a hi-fi store",
            mend=f"repair it without --from, then run {command_to_make(store)}",
            where=store.name,
        )
    if (ours.grid, ours.orientation, ours.hu_range) != (
        theirs.grid,
        theirs.orientation,
        theirs.hu_range,
    ):
        raise StoreMismatchError(
            "the hi-fi store has another grid or HU range",
            mend="give the hi-fi store that this one was compressed from",
            where=hifi.name,
        )
    if ours.encoder != jpeg_encoder():
        raise StoreMismatchError(
            f"the store was written by {ours.encoder}, and {jpeg_encoder()} is installed",
            mend=f"install {ours.encoder}, so that all its volumes come from one encoder",
            where=store.name,
        )
