"""Ingest: every scan of a source onto one grid, into a store; nothing is lost without a row."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path

from ctprep.dataset import load_dataset
from ctprep.engine import run
from ctprep.fingerprints import Fingerprints, fingerprint_files
from ctprep.ingest_volume import Job, Settings, ingest_volume, is_made_alike
from ctprep.jobs import Item, refused
from ctprep.native import NativeJpeg, native_store_attributes
from ctprep.report import cataloged, recorded
from ctprep.roster import Roster, ScanIds
from ctprep.sources.discover import discover
from ctprep.sources.paths import is_file, is_folder, leads_somewhere, real_path
from ctprep.sources.source import Found, Refused
from ctprep.store.attributes import Grid, StoreAttributes, VolumeAttributes
from ctprep.store.errors import SourceError, StoreError, located
from ctprep.store.layout import METADATA
from ctprep.store.place import Place, Where, absolute, check_apart, find_place, paths_of
from ctprep.store.store import VolumeStore
from ctprep.versions import installed_versions


def ingest(
    source: Path,
    store: Where,
    *,
    grid: Grid,
    key: bytes,
    hu_policy: str | None = None,
    hu_range: tuple[int, int] = (-1024, 3071),
    scans: Path | None = None,
    scan_ids: ScanIds = "stem",
    workers: int = 1,
    tolerant: bool = False,
    scheduler: str | None = None,
    dry_run: bool = False,
    native: NativeJpeg | None = None,
    dataset: str | None = None,
    metadata: Path | None = None,
) -> Iterator[Item]:
    """Read every scan of a source, and store what can be stored.

    Run again, it does only what is missing or has changed: a volume is left alone if it was made
    from files of the same SHA-256 with the same parameters. Files whose size and time have not
    changed are not read for that. At the end it writes the catalog, and `<store>.report.jsonl`
    beside the store, or in the current folder where the store is in a bucket.

    With worker processes, a script must call this under `if __name__ == "__main__":`.

    Args:
        source: folder, or file, with scans.
        store: store to make, or to finish: a folder, or a URL in a bucket.
        grid: common sampling.
        key: key of the pseudonyms (`ctprep.pseudonym.load_key`).
        hu_policy: whether slope and intercept are applied: auto, rescale or already; None takes
            the data set's rule, else auto.
        hu_range: HU kept, lowest and highest.
        scans: scan table; without it scans are named by file name or pseudonym. Its paths are
            relative to `source`, or to the table's folder where they exist there only.
        scan_ids: without a table, `stem` names scans other than DICOM by their file names, `path`
            by their folders, too, and both may tell who the patient is; `pseudonym` names all by
            a keyed hash.
        workers: processes; 1 stays in this one.
        tolerant: mend what can be mended, and say so.
        scheduler: address of a running dask cluster to use instead.
        dry_run: write nothing.
        native: make a JPEG store instead, compressing the slices before they are resampled.
            Stacks of pictures go into such a store alone.
        dataset: name or manifest of the data set that the source is of.
        metadata: its metadata table; without `dataset` its columns tell which it is.

    Yields:
        What became of each input, as it is finished: stored, unchanged, refused, or planned in a
        dry run.

    Raises:
        SourceError: `source` is not there, or there is nothing in it.
        StoreMismatchError: `store` is there with other parameters.
        TableError: the scan table, the metadata table or the manifest breaks its schema.
    """
    # Workers of a running cluster have folders of their own that they are in.
    source, place = source.absolute(), absolute(find_place(store))
    check_places(source, place)
    known = load_dataset(dataset, metadata, tolerant=tolerant)
    roster = Roster(source, scans, key, scan_ids=scan_ids, dataset=known)
    hu_policy = hu_policy or ("auto" if known is None else known.manifest.hu.policy)
    open_target = VolumeStore.look if dry_run else VolumeStore.create
    target = open_target(place, _store_attributes(grid, hu_range, native))
    settings = Settings(target, grid, hu_policy, hu_range, tolerant, native, dry_run)
    work = partial(ingest_volume, settings=settings)
    plan = _Plan(source, roster, settings, Fingerprints(place), (scans, metadata))
    finished = run(
        work,
        plan.jobs(),
        workers=1 if dry_run else workers,
        scheduler=scheduler,
        places=(source, *([] if target is None else paths_of(place))),
    )
    if dry_run or target is None:
        yield from plan.noted(finished)
        return
    yield from recorded(chain(plan.noted(finished), cataloged(target)), place)
    plan.fingerprints.tidy()


def check_places(source: Path, store: Place) -> None:
    """Refuse a source and a store that cannot be meant, before anything is written.

    Args:
        source: folder or file of scans.
        store: where they are to go.

    Raises:
        SourceError: the source is not there, or is a store.
        StoreError: the store would lie inside its source or another store, or is a file.
    """
    if not leads_somewhere(source):
        raise SourceError(
            "there is no such source",
            verdict="absent",
            mend="check the path and its permissions: a source is a folder or file on this machine,"
            " not in a bucket",
            where=source.name,
        )
    if is_file(source / METADATA):
        raise SourceError(
            "it is a store, and no source",
            verdict="a-store",
            mend="give the folder with the original scans; `ctprep compress` reads hi-fi stores",
            where=source.name,
        )
    check_apart(store)
    if store.path is not None and real_path(store.path).is_relative_to(real_path(source)):
        raise StoreError(
            "the store would lie inside its own source",
            mend="put the store beside the source folder, not into it",
            where=store.name,
        )


def _store_attributes(
    grid: Grid, hu_range: tuple[int, int], native: NativeJpeg | None
) -> StoreAttributes:
    if native is not None:
        return native_store_attributes(native, grid, hu_range)
    return StoreAttributes(kind="hifi", grid=grid, hu_range=hu_range, versions=installed_versions())


class _Plan:
    """What is left to do; inputs that need no work are settled on the way."""

    def __init__(
        self,
        source: Path,
        roster: Roster,
        settings: Settings,
        fingerprints: Fingerprints,
        tables: tuple[Path | None, ...],
    ) -> None:
        self.fingerprints = fingerprints
        self._source, self._roster, self._settings = source, roster, settings
        # Names are relative to the folder, also where the source is a single file.
        self._root = source if is_folder(source) else source.parent
        self._target = settings.target
        self._tables = {real_path(table) for table in tables if table is not None}
        self._pending: dict[str, Job] = {}

    def jobs(self) -> Iterator[Job | Item]:
        """Yield what a worker has to look at, and the items of what needs no work."""
        found = discover(
            self._source,
            tolerant=self._settings.tolerant,
            may_be_bare=self._roster.gives_geometry,
        )
        scans = (
            entry
            for entry in found
            if not self._tables or real_path(self._root / entry.name) not in self._tables
        )
        at_once = 1 if self._target is None else self._target.place.at_once
        while entries := list(islice(scans, at_once)):
            yield from self._settled([self._identified(entry) for entry in entries])
        for row in self._roster.absent():
            yield refused(
                row.path or row.scan_id,
                SourceError(
                    "the table lists it, but no scan was found there",
                    verdict="listed-but-absent",
                    mend="fetch the file, or remove its row from the table",
                ),
                scan_id=row.scan_id,
            )

    def noted(self, items: Iterator[Item]) -> Iterator[Item]:
        """Remember what each volume was made from, and pass the items on."""
        for item in items:
            job = self._pending.pop(item.scan_id or "", None)
            # A refused one is looked at again by the next run, whatever it was made from.
            there = item.status in ("stored", "unchanged")
            if there and job and self._target:
                self._remember(job, self._target)
            yield item

    def _remember(self, job: Job, target: VolumeStore) -> None:
        # Where another run replaces it at this moment, its next run finds out by the files.
        with suppress(StoreError):
            made_from = target.read_attributes(job.scan_id).source_sha256
            origin = job.identity.origin
            self.fingerprints.remember(job.scan_id, job.fingerprint, made_from, origin)

    def _identified(self, entry: Found | Refused) -> Job | Item:
        if isinstance(entry, Refused):
            error = SourceError(entry.what, verdict=entry.verdict, mend=entry.mend)
            return refused(entry.name, error, scan_id=self._roster.listed(entry.name))
        try:
            with located(entry.name):
                identity = self._roster.identify(entry)
                return Job(entry, identity, fingerprint_files(entry.paths))
        except SourceError as error:
            return refused(entry.name, error)

    def _settled(self, jobs: list[Job | Item]) -> Iterator[Job | Item]:
        """Settle those that are in the store already, which is asked for all of them at once."""
        scan_ids = [job.scan_id for job in jobs if isinstance(job, Job)]
        there = {} if self._target is None else dict(self._target.each_attributes(scan_ids))
        for job in jobs:
            if isinstance(job, Item):
                yield job
                continue
            attributes = there.get(job.scan_id)
            made_from = None
            if isinstance(attributes, VolumeAttributes):
                made_from = attributes.source_sha256
                known = self.fingerprints.match(job.scan_id, job.fingerprint, made_from)
                if known and is_made_alike(attributes, job, self._settings):
                    yield Item("unchanged", job.name, job.scan_id)
                    continue
            self._pending[job.scan_id] = job
            yield replace(job, replaces=self._may_replace(job, made_from))

    def _may_replace(self, job: Job, made_from: tuple[str, ...] | None) -> bool:
        """Tell whether a volume made from these files is known to be of the job's own scan."""
        scan_id, origin = job.scan_id, job.identity.origin
        if origin is None:
            return True
        return made_from is not None and self.fingerprints.came_from(scan_id, origin, made_from)
