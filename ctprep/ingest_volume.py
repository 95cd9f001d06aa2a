"""Ingest of one volume, as a worker does it: read, bring onto the grid, write."""

import time
from dataclasses import dataclass, replace

from ctprep.compress import window_volume
from ctprep.dataset import TableFacts
from ctprep.fingerprints import hash_files, unchanging
from ctprep.geometry import to_canonical
from ctprep.jobs import Item, refused
from ctprep.native import NativeJpeg, native_gray
from ctprep.quality import write_measured
from ctprep.resample import content_box, to_grid
from ctprep.roster import Identity
from ctprep.sources.read import read
from ctprep.sources.source import Found, Read
from ctprep.store.attributes import Grid, VolumeAttributes
from ctprep.store.errors import CtError, PlaceError, SourceError, StoreError, located
from ctprep.store.store import VolumeStore
from ctprep.versions import installed_versions
from ctprep.windowed import check_taken, is_windowed, windowed_gray

REVISION = 1
"""Of reading, resampling and `--native-jpeg`. Raise it with any change after which the same files
and options give other voxels or other attributes: each volume says by which it was made, and one of
another is made again by the next run."""
ABSENT = (FileNotFoundError, NotADirectoryError)
NO_FACTS = TableFacts()
Parameters = dict[str, str | int | float | bool | None]


@dataclass(frozen=True)
class Job:
    """One found scan, and what it will be called."""

    found: Found
    identity: Identity
    fingerprint: str
    """Of its files, when they were found."""
    replaces: bool = True
    """Whether it may take the place of a volume that was made from other files: where that is known
    to be an earlier state of this scan."""

    @property
    def name(self) -> str:
        """The scan, relative to the source."""
        return self.found.name

    @property
    def scan_id(self) -> str:
        """The volume's place in the store."""
        return self.identity.scan_id

    @property
    def facts(self) -> TableFacts:
        """What a metadata table says of it; without a table nothing."""
        return self.identity.facts or NO_FACTS

    @property
    def peak_bytes(self) -> int:
        """Memory to read and resample it."""
        return self.found.peak_bytes


@dataclass(frozen=True)
class Settings:
    """What holds for every volume of a run."""

    target: VolumeStore | None
    """None where there is none yet, in a dry run."""
    grid: Grid
    hu_policy: str
    hu_range: tuple[int, int]
    tolerant: bool
    native: NativeJpeg | None = None
    """Compress the native slices, into a JPEG store; None writes a hi-fi store."""
    dry_run: bool = False

    @property
    def parameters(self) -> Parameters:
        """What determines the voxels besides the source and the store's own attributes."""
        return {"hu_policy": self.hu_policy, "tolerant": self.tolerant, "revision": REVISION}


def ingest_volume(job: Job, settings: Settings) -> Item:
    """Store one scan, unless the store has it already.

    Args:
        job: the scan.
        settings: those of the run.

    Returns:
        What became of it; a fault of the scan is a refused item.

    Raises:
        PlaceError: the store cannot be written, which is no fault of the scan.
    """
    began = time.perf_counter()
    try:
        with located(job.name):
            return _ingest(job, settings, began)
    except PlaceError:
        raise
    except CtError as error:
        seconds = time.perf_counter() - began
        return refused(job.name, error, scan_id=job.scan_id, seconds=seconds)


def is_made_alike(attributes: VolumeAttributes, job: Job, settings: Settings) -> bool:
    """Tell whether a volume was made as the job would make it.

    Whether it was made from the same files is left to ask.
    """
    return (
        attributes.parameters == _parameters(job, settings)
        and attributes.patient_id == job.identity.patient_id
        and attributes.source_format == job.found.format
    )


def _ingest(job: Job, settings: Settings, began: float) -> Item:
    check_taken(job.found, settings.native)
    store = settings.target
    there = None if store is None else _attributes_there(store, job.scan_id)
    if there is not None and _is_there(there, job, settings):
        seconds = time.perf_counter() - began
        return Item("unchanged", job.name, job.scan_id, seconds=seconds)
    if store is None or settings.dry_run:
        return Item("planned", job.name, job.scan_id, seconds=time.perf_counter() - began)
    with unchanging(job.found.paths, job.fingerprint):
        scan = _read(job, settings)
    nbytes = _write(store, job, scan, settings)
    return Item(
        "stored",
        job.name,
        job.scan_id,
        mends=scan.mends,
        nbytes=nbytes,
        seconds=time.perf_counter() - began,
    )


def _is_there(there: VolumeAttributes, job: Job, settings: Settings) -> bool:
    """Tell whether the volume is what the job would make.

    Raises:
        SourceError: `scan-id-taken`, it is of other files, which the job must not replace.
    """
    is_alike = is_made_alike(there, job, settings)
    if job.replaces and not is_alike:
        return False
    is_of_same = there.source_sha256 == _hashes(job)
    if not is_of_same and not job.replaces:
        raise SourceError(
            f"the store has a volume {job.scan_id} that was made from another file, not known to "
            "be this one before it changed",
            verdict="scan-id-taken",
            mend="another scan: give it its own id in a scan table (--scans), or a store of its "
            "own; the same scan, corrected: remove that volume from the store, then run again",
        )
    return is_alike and is_of_same


def _attributes_there(store: VolumeStore, scan_id: str) -> VolumeAttributes | None:
    try:
        return store.read_attributes(scan_id)
    except StoreError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and not isinstance(cause, ABSENT):
            # A sound one may be there, which a passing fault keeps from being read.
            raise
        # None is there, or a damaged one, which is as good as none: it will be replaced.
        return None


def _parameters(job: Job, settings: Settings) -> Parameters:
    return {**settings.parameters, **job.facts.parameters}


def _read(job: Job, settings: Settings) -> Read:
    facts = job.facts
    scan = read(
        job.found,
        hu_policy=settings.hu_policy,
        tolerant=settings.tolerant,
        slope=facts.slope,
        intercept=facts.intercept,
        geometry=facts.geometry,
    )
    return replace(
        scan,
        # What a file says of its own acquisition is nearer to the truth.
        acquisition={**facts.acquisition, **scan.acquisition},
        verdicts=(*facts.verdicts, *scan.verdicts),
        mends=(*facts.mends, *scan.mends),
    )


def _hashes(job: Job) -> tuple[str, ...]:
    with unchanging(job.found.paths, job.fingerprint):
        return hash_files(job.found.paths)


def _write(store: VolumeStore, job: Job, scan: Read, settings: Settings) -> int:
    canonical = to_canonical(scan.volume)
    lowest, highest = settings.hu_range
    gridded = to_grid(canonical, settings.grid, hu_range=(float(lowest), float(highest)))
    attributes = VolumeAttributes(
        scan_id=job.scan_id,
        patient_id=job.identity.patient_id,
        source_format=job.found.format,
        source_sha256=scan.source_sha256,
        parameters=_parameters(job, settings),
        original=scan.original,
        affine_ras=gridded.affine_ras.tolist(),
        content=content_box(canonical, settings.grid),
        hu=scan.hu,
        acquisition=scan.acquisition,
        verdicts=scan.verdicts,
        mends=scan.mends,
        versions=installed_versions(),
    )
    if settings.native is None:
        return store.write(job.scan_id, gridded.hu, attributes)
    if is_windowed(job.found):
        gray = windowed_gray(canonical, settings.grid, settings.native)
        # Nothing cleaner is known than what came.
        return write_measured(store, gray, gray, attributes)
    gray = native_gray(canonical, settings.grid, settings.native)
    clean = window_volume(gridded.hu, settings.native.window, attributes)
    return write_measured(store, gray, clean, attributes)
