"""Inspect a source: what an ingest of it would meet, told before anything is written."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ctprep.jobs import memory_budget
from ctprep.orientation import axis_moves
from ctprep.resample import plan_axis
from ctprep.sources.discover import discover
from ctprep.sources.paths import leads_somewhere
from ctprep.sources.read import read
from ctprep.sources.source import Found, Read, Refused
from ctprep.store.attributes import STORED_ORIENTATION, Grid, OriginalGeometry, Triple
from ctprep.store.errors import SourceError
from ctprep.store.names import printable

HIFI_BYTES_A_VOXEL = 0.94
JPEG_BYTES_A_VOXEL = 0.15
"""Of a real scan that fills the grid, at quality 90: `benchmarks/decode.py`."""


@dataclass(frozen=True)
class Kind:
    """Candidates of one format and sampling.

    Args:
        format: as in `Found`.
        shape: slices, rows and columns; None where only reading would tell.
        spacing_mm: likewise; rounded to 0.01 mm.
        axis_codes: where the array indices grow to; likewise.
        count: how many there are.
    """

    format: str
    shape: tuple[int, int, int] | None
    spacing_mm: Triple | None
    axis_codes: str | None
    count: int


@dataclass(frozen=True)
class RefusalGroup:
    """Refusals of one verdict.

    Args:
        verdict: the short, stable name of the reason.
        files: how many files are refused for it.
        groups: how many refusals that makes; a series is refused as one.
        example: one of them, relative to the source.
        what: its reason.
        mend: what the user can do about it.
    """

    verdict: str
    files: int
    groups: int
    example: str
    what: str
    mend: str


@dataclass(frozen=True)
class SourceSummary:
    """What lies in a source.

    Args:
        files: all of them.
        candidates: volumes that ingest would try to read.
        patients: of how many people, as far as headers and file names tell.
        kinds: the candidates by format and sampling, the most common first.
        mended: how many were found only because something was put right.
        verdicts: warnings that do not refuse a candidate, by how many have them.
        refusals: by verdict, the most files first.
        largest_peak_bytes: memory that the most demanding candidate needs.
        at_once: how many such fit in this machine's memory.
        grid: for which sizes are estimated.
        hifi_bytes: estimated size of the hi-fi store.
        jpeg_bytes: estimated size of the JPEG store at quality 90.
    """

    files: int
    candidates: int
    patients: int
    kinds: tuple[Kind, ...]
    mended: int
    verdicts: dict[str, int]
    refusals: tuple[RefusalGroup, ...]
    largest_peak_bytes: int
    at_once: int
    grid: str
    hifi_bytes: int
    jpeg_bytes: int


@dataclass(frozen=True)
class FileDetails:
    """The one scan of a source, as reading it shows it.

    Args:
        hu_decision: whether slope and intercept were applied, and why.
        hu_percentiles: HU at 1, 50 and 99 % of the voxels.
        acquisition: allow-listed facts.
        verdicts: warnings that do not refuse it.
        mends: what was put right.
        refusal: why it cannot be read; the others are empty then.
    """

    hu_decision: str = ""
    hu_percentiles: tuple[int, ...] = ()
    acquisition: tuple[tuple[str, str | float], ...] = ()
    verdicts: tuple[str, ...] = ()
    mends: tuple[str, ...] = ()
    refusal: str = ""


class Inspector:
    """Counts what is discovered, one outcome at a time.

    Args:
        grid: the sampling for which sizes are estimated.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._kinds: Counter[tuple[str, OriginalGeometry | None]] = Counter()
        self._first: dict[str, Refused] = {}
        self._files: Counter[str] = Counter()
        self._groups: Counter[str] = Counter()
        self._verdicts: Counter[str] = Counter()
        self._patients: set[int] = set()
        self._multiframe: set[int] = set()
        self._found_files = self._mended = self._peak = self._voxels = 0

    def add(self, outcome: Found | Refused) -> None:
        """Count one outcome of `discover`."""
        if isinstance(outcome, Refused):
            self._first.setdefault(outcome.verdict, outcome)
            self._files[outcome.verdict] += outcome.files
            self._groups[outcome.verdict] += 1
            return
        if any(frame is not None for _, frame in outcome.frames):
            # One multi-frame file may hold several candidates, and is one file.
            self._multiframe.update(hash(file.name) for file in outcome.paths)
        else:
            self._found_files += len(outcome.paths)
        self._kinds[outcome.format, _without_place(outcome.geometry)] += 1
        # A hash, so that a long run keeps no identifiers.
        self._patients.add(hash(outcome.patient_key))
        self._mended += bool(outcome.mends)
        self._verdicts.update(outcome.verdicts)
        self._peak = max(self._peak, outcome.peak_bytes)
        self._voxels += filled_voxels(outcome.geometry, self._grid)

    def summary(self) -> SourceSummary:
        """Give the counts so far."""
        counts = self._kinds.most_common()
        return SourceSummary(
            files=self._found_files + len(self._multiframe) + self._files.total(),
            candidates=self._kinds.total(),
            patients=len(self._patients),
            kinds=tuple(_kind(form, geometry, count) for (form, geometry), count in counts),
            mended=self._mended,
            verdicts=dict(self._verdicts.most_common()),
            refusals=tuple(self._refusals()),
            largest_peak_bytes=self._peak,
            at_once=memory_budget() // self._peak if self._peak else 0,
            grid=self._grid.name,
            hifi_bytes=round(self._voxels * HIFI_BYTES_A_VOXEL),
            jpeg_bytes=round(self._voxels * JPEG_BYTES_A_VOXEL),
        )

    def _refusals(self) -> Iterable[RefusalGroup]:
        for verdict, files in self._files.most_common():
            first = self._first[verdict]
            example, what, mend = map(printable, (first.name, first.what, first.mend))
            yield RefusalGroup(verdict, files, self._groups[verdict], example, what, mend)


def _kind(form: str, geometry: OriginalGeometry | None, count: int) -> Kind:
    if geometry is None:
        return Kind(form, None, None, None, count)
    return Kind(form, geometry.shape, geometry.spacing_mm, geometry.axis_codes, count)


def check_there(source: Path) -> None:
    """Refuse a source that is not there.

    Raises:
        SourceError: names it.
    """
    if not leads_somewhere(source):
        raise SourceError(
            "there is no such source or store",
            verdict="absent",
            mend="check the path and its permissions",
            where=source.name,
        )


def read_details(source: Path, *, tolerant: bool = False) -> FileDetails | None:
    """Read the scan in a file, and tell what its header alone does not.

    Args:
        source: one file.
        tolerant: whether to mend what can be mended.

    Returns:
        The details; None where the file holds no candidate, or several.
    """
    found = [item for item in discover(source, tolerant=tolerant) if isinstance(item, Found)]
    if len(found) != 1:
        return None
    try:
        return _details(read(found[0], tolerant=tolerant))
    except SourceError as error:
        return FileDetails(refusal=printable(f"{error.verdict}: {error.what}"))


def _details(scan: Read) -> FileDetails:
    percentiles = np.percentile(scan.volume.hu[::2, ::2, ::2], (1, 50, 99))
    return FileDetails(
        hu_decision=f"{scan.hu.decision}: {scan.hu.reason}",
        hu_percentiles=tuple(round(value) for value in percentiles.tolist()),
        acquisition=tuple(scan.acquisition.items()),
        verdicts=scan.verdicts,
        mends=scan.mends,
    )


def filled_voxels(geometry: OriginalGeometry | None, grid: Grid) -> int:
    """Count the voxels of a grid that a scan would fill; the rest is padding.

    Args:
        geometry: of the scan; None counts as filling all of it.
        grid: the common sampling.
    """
    if geometry is None:
        return int(np.prod(grid.shape))
    order, _ = axis_moves(np.array(geometry.affine_ras), STORED_ORIENTATION)
    voxels = 1
    for axis, target_mm, target in zip(order, grid.spacing_mm, grid.shape, strict=True):
        try:
            plan = plan_axis(geometry.shape[axis], geometry.spacing_mm[axis], target_mm, target)
        except SourceError:
            # Too thin for one voxel: ingest will refuse it, so it takes no room.
            return 0
        voxels *= plan.kept
    return voxels


def _without_place(geometry: OriginalGeometry | None) -> OriginalGeometry | None:
    """Leave of a sampling what scans share, so that their kinds can be counted."""
    if geometry is None:
        return None
    slice_mm, row_mm, column_mm = (round(mm, 2) for mm in geometry.spacing_mm)
    nowhere = np.zeros((4, 4)).tolist()
    return geometry.model_copy(
        update={
            "spacing_mm": (slice_mm, row_mm, column_mm),
            "affine_ras": tuple(tuple(row) for row in nowhere),
        }
    )
