"""Jobs and items: what the engine is given to do, what became of it, and its share of memory."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeVar, runtime_checkable

from ctprep.store.errors import CtError
from ctprep.store.names import printable

Status = Literal["stored", "unchanged", "refused", "planned"]

MEMORY_SHARE = 0.8
"""Part of the machine's memory that workers may fill together."""

PROCESS_BYTES = 200 * 2**20
"""What a worker needs before it holds any voxel."""

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Item:
    """What became of one input, as it may be written; every input has exactly one."""

    status: Status
    name: str
    """The input: relative to the source, or the scan id in a store."""
    scan_id: str | None = None
    verdict: str | None = None
    """Short, stable name of the reason for a refusal."""
    what: str | None = None
    mend: str | None = None
    mends: tuple[str, ...] = ()
    """What was mended on the way in."""
    nbytes: int | None = None
    """Bytes of the stored shard."""
    seconds: float = 0.0

    def __post_init__(self) -> None:
        """Spell what may hold names of files so that it can be written."""
        object.__setattr__(self, "name", printable(self.name))
        object.__setattr__(self, "what", self.what and printable(self.what))
        object.__setattr__(self, "mend", self.mend and printable(self.mend))
        object.__setattr__(self, "mends", tuple(map(printable, self.mends)))


@runtime_checkable
class Job(Protocol):
    """One volume's work: picklable, its need of memory known beforehand."""

    @property
    def name(self) -> str:
        """The input, as the item will call it."""

    @property
    def scan_id(self) -> str:
        """The volume's place in the store."""

    @property
    def peak_bytes(self) -> int:
        """Most memory the work needs at once."""


@dataclass(frozen=True)
class VolumeJob:
    """One volume of a store."""

    scan_id: str
    peak_bytes: int

    @property
    def name(self) -> str:
        """The volume, by its scan id."""
        return self.scan_id


J = TypeVar("J", bound=Job)


def refused(name: str, error: CtError, *, scan_id: str | None = None, seconds: float = 0.0) -> Item:
    """Turn an error of the input into its row."""
    inside = f" (in {error.where})" if error.where not in (None, name, scan_id) else ""
    return Item(
        "refused",
        name,
        scan_id,
        verdict=getattr(error, "verdict", "unusable"),
        what=error.what + inside,
        mend=error.mend,
        seconds=seconds,
    )


def memory_budget() -> int:
    """Give the bytes that workers may fill together, of the machine or of its container."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if CGROUP_LIMIT.is_file():
        limit = CGROUP_LIMIT.read_text().strip()
        total = min(total, int(limit)) if limit.isdigit() else total
    return int(total * MEMORY_SHARE)


def killed(job: Job) -> Item:
    """Refuse a job that has killed two workers."""
    return Item(
        "refused",
        job.name,
        job.scan_id,
        verdict="worker-killed",
        what="the worker was killed twice while it worked on this, most likely for memory; "
        f"the need was estimated at {_gib(job.peak_bytes)}",
        mend="run again with --workers 1, or on a machine with more memory",
    )


def too_large(job: Job, budget_bytes: int) -> Item:
    """Refuse a job that needs more memory than there is."""
    return Item(
        "refused",
        job.name,
        job.scan_id,
        verdict="too-large",
        what=f"needs {_gib(job.peak_bytes)} of memory, and {_gib(budget_bytes)} may be used",
        mend="run on a machine with more memory, or crop the scan",
    )


def _gib(nbytes: int) -> str:
    return f"{nbytes / 2**30:.2f} GiB"
