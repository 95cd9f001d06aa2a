"""The engine: does one step for many volumes, and yields each item as it is finished."""

import logging
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, runtime_checkable

from ctprep.store.errors import CtError

if TYPE_CHECKING:
    from distributed import Client, Future

Status = Literal["stored", "unchanged", "refused", "planned"]

MEMORY_SHARE = 0.8
"""Part of the machine's memory that workers may fill together."""

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")

CLUSTER_SETTINGS = {
    # Retries are ours: dask would blame whatever else was waiting for the same worker.
    "distributed.scheduler.allowed-failures": 0,
    # Voxels are never kept between tasks, so there is nothing to spill or to wait for.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    # dask's own has malloc give memory back at every turn, which doubles the time of small scans.
    "distributed.nanny.pre-spawn-environ": {
        "OMP_NUM_THREADS": 1,
        "OPENBLAS_NUM_THREADS": 1,
        "MKL_NUM_THREADS": 1,
    },
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}

IGNORE_INTERRUPT = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""Run in each worker: a terminal interrupts them too, but we close them in order."""


@dataclass(frozen=True)
class Item:
    """What became of one input; every input has exactly one."""

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


def run(
    work: Callable[[J], Item],
    jobs: Iterable[J],
    *,
    workers: int = 1,
    scheduler: str | None = None,
    budget_bytes: int | None = None,
) -> Iterator[Item]:
    """Do the work of every job, and yield the items in the order in which they finish.

    The jobs are taken as they are needed, so their number costs no memory.

    Args:
        work: picklable; turns the faults of its input into refused items. What it raises is a
            bug, and comes out here with its traceback.
        jobs: what to do.
        workers: processes on this machine; 1 stays in this process.
        scheduler: address of a running dask cluster to use instead, `tcp://host:port`.
        budget_bytes: memory that the running jobs may need together; None measures it.

    Yields:
        An item a job. A job that needs more than the whole budget is refused as `too-large`, one
        whose worker was killed twice as `worker-killed`.
    """
    jobs = iter(jobs)
    head = list(islice(jobs, 2))
    jobs = chain(head, jobs)
    if scheduler is not None or (workers > 1 and len(head) > 1):
        yield from _run_on_cluster(work, jobs, workers, scheduler, budget_bytes)
        return
    budget_bytes = budget_bytes or memory_budget()
    for job in jobs:
        yield work(job) if job.peak_bytes <= budget_bytes else _too_large(job, budget_bytes)


def memory_budget() -> int:
    """Give the bytes that workers may fill together, of the machine or of its container."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if CGROUP_LIMIT.is_file():
        limit = CGROUP_LIMIT.read_text().strip()
        total = min(total, int(limit)) if limit.isdigit() else total
    return int(total * MEMORY_SHARE)


def _run_on_cluster(
    work: Callable[[J], Item],
    jobs: Iterator[J],
    workers: int,
    scheduler: str | None,
    budget_bytes: int | None,
) -> Iterator[Item]:
    with _connect(workers, scheduler, budget_bytes or memory_budget()) as client:
        known = client.scheduler_info(n_workers=-1)["workers"].values()
        if scheduler is not None:
            workers = max(1, len(known))
            budget_bytes = budget_bytes or sum(worker["memory_limit"] for worker in known)
        budget_bytes = budget_bytes or memory_budget()
        running: dict[Future[Item], J] = {}
        suspects: deque[J] = deque()
        waiting = next(jobs, None)
        while running or suspects or waiting is not None:
            used = sum(job.peak_bytes for job in running.values())
            if suspects:
                # Alone, a job has all memory to itself, and none dies for its neighbour.
                yield from _settle(client, running, suspects)
                job = suspects.popleft()
                yield from _settle(client, {client.submit(work, job, pure=False): job}, None)
            elif waiting is not None and waiting.peak_bytes > budget_bytes:
                yield _too_large(waiting, budget_bytes)
                waiting = next(jobs, None)
            elif (
                waiting is not None
                and len(running) < workers
                and used + waiting.peak_bytes <= budget_bytes
            ):
                running[client.submit(work, waiting, pure=False)] = waiting
                waiting = next(jobs, None)
            else:
                yield from _collect(client, running, suspects)


def _settle(
    client: "Client", running: "dict[Future[Item], J]", suspects: deque[J] | None
) -> Iterator[Item]:
    while running:
        yield from _collect(client, running, suspects)


def _collect(
    client: "Client", running: "dict[Future[Item], J]", suspects: deque[J] | None
) -> Iterator[Item]:
    """Yield what has finished; jobs that lost their worker become suspects, or are refused."""
    from distributed import KilledWorker, wait

    with client.as_current():
        done = wait(list(running), return_when="FIRST_COMPLETED").done  # type: ignore[no-untyped-call]
    for future in done:
        job = running.pop(future)
        try:
            yield future.result()
        except KilledWorker:
            if suspects is None:
                yield _killed(job)
            else:
                suspects.append(job)


def _killed(job: Job) -> Item:
    return Item(
        "refused",
        job.name,
        job.scan_id,
        verdict="worker-killed",
        what="the worker was killed twice while it worked on this, most likely for memory; "
        f"the need was estimated at {_gib(job.peak_bytes)}",
        mend="run again with --workers 1, or on a machine with more memory",
    )


def _too_large(job: Job, budget_bytes: int) -> Item:
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


@contextmanager
def _connect(workers: int, scheduler: str | None, budget_bytes: int) -> Iterator["Client"]:
    import dask  # late: a second to import, and one worker does without
    from distributed import Client, LocalCluster

    with _silenced():
        if scheduler is not None:
            with Client(scheduler, set_as_default=False) as client:  # type: ignore[no-untyped-call]
                yield client
            return
        with (
            # Workers keep files where they run, unless told otherwise.
            tempfile.TemporaryDirectory(prefix="ctprep-") as scratch,
            dask.config.set(CLUSTER_SETTINGS),
            LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=workers,
                threads_per_worker=1,
                host="127.0.0.1",
                # No dashboard; and any free port, where dask would warn that its own is taken.
                scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
                dashboard_address=None,
                memory_limit=budget_bytes,
                local_directory=scratch,
                silence_logs=logging.CRITICAL,
                preload=[IGNORE_INTERRUPT],
            ) as cluster,
            Client(cluster, set_as_default=False) as client,  # type: ignore[no-untyped-call]
        ):
            yield client


@contextmanager
def _silenced() -> Iterator[None]:
    # Both log what we turn into items: lost workers, closed connections.
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
