"""The cluster: connects to dask, started here or by somebody else, and knows its workers."""

import asyncio
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctprep.interrupts import interrupts_held
from ctprep.jobs import MEMORY_SHARE
from ctprep.scratch import scratch_folder
from ctprep.store.errors import ClusterError
from ctprep.versions import installed_versions

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

logger = logging.getLogger(__name__)

CONNECT_S = 15.0
"""How long a scheduler may take to answer."""

CLUSTER_SETTINGS = {
    # Retries are ours, and which job was running is known.
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


class Fleet:
    """The workers that jobs may be given to.

    A worker of somebody else's cluster must have our packages in our versions, or it would write
    other voxels under the same parameters, and must see the same files.

    Args:
        client: connected to the scheduler.
        places: paths that every worker must see.
        limit_bytes: what a worker may fill; None takes it from the worker's own memory limit.
        default_bytes: what a worker without a memory limit may fill.
        scheduler: address of somebody else's scheduler; None where we started the workers, so
            that there is nothing to check.
    """

    def __init__(
        self,
        client: "Client",
        *,
        places: Sequence[Path],
        limit_bytes: int | None,
        default_bytes: int,
        scheduler: str | None,
    ) -> None:
        self.limits: dict[str, int] = {}
        """Bytes that each worker may fill, by its address."""
        self.unfit: dict[str, str] = {}
        """What is wrong with the workers that are not used, by address."""
        self._client, self._places, self._scheduler = client, tuple(places), scheduler
        self._limit_bytes, self._default_bytes = limit_bytes, default_bytes

    def refresh(self) -> None:
        """Ask the scheduler which workers there are, and check those that are new."""
        found: dict[str, Any] = self._client.scheduler_info(n_workers=-1)["workers"]
        for known in (self.limits, self.unfit):
            for address in known.keys() - found.keys():
                del known[address]
        new = found.keys() - self.limits.keys() - self.unfit.keys()
        faults = {} if self._scheduler is None else _faults(self._client, sorted(new), self._places)
        for address in sorted(new):
            if address in faults:
                self.unfit[address] = faults[address]
                logger.warning("worker %s is not used: it %s", address, faults[address])
            else:
                own = int((found[address]["memory_limit"] or self._default_bytes) * MEMORY_SHARE)
                self.limits[address] = self._limit_bytes or own

    def remove(self, address: str) -> None:
        """Forget a worker that is gone."""
        self.limits.pop(address, None)
        self.unfit.pop(address, None)

    def check(self) -> None:
        """Refuse a cluster whose scheduler or one of whose workers is unfit.

        Raises:
            ClusterError: one is; the first is named with what is wrong.
        """
        if self._scheduler is not None:
            _check_scheduler(self._client, self._scheduler)
        for address, fault in sorted(self.unfit.items()):
            others = len(self.unfit) - 1
            also = f", and {others} more are unfit" if others else ""
            raise ClusterError(
                f"a worker {fault}{also}",
                mend="install the same version of ct-lite and its packages wherever workers run, "
                "and keep source and store where all see them at the same path",
                where=address,
            )


def _check_scheduler(client: "Client", scheduler: str | None) -> None:
    # It unpickles the tasks that it passes on, so it needs our package as well.
    try:
        found = client.run_on_scheduler(  # type: ignore[no-untyped-call]
            metadata.version, "ct-lite"
        )
    except metadata.PackageNotFoundError:
        found = "none"
    if found != metadata.version("ct-lite"):
        raise ClusterError(
            f"the scheduler has ct-lite {found}, where this is {metadata.version('ct-lite')}",
            mend="install the same version wherever scheduler and workers run",
            where=scheduler,
        )


def _faults(client: "Client", addresses: Sequence[str], places: Sequence[Path]) -> dict[str, str]:
    """Say what is wrong with workers, by address; those with nothing wrong are left out."""
    if not addresses:
        return {}

    def asked(function: Any, *arguments: str) -> dict[str, Any]:  # noqa: ANN401 - of dask's own
        answers: dict[str, Any] = client.run(
            function, *arguments, workers=list(addresses), on_error="return"
        )
        return answers

    faults: dict[str, str] = {}
    # Functions of the standard library travel by name: a worker without our package answers, too.
    for address, answer in asked(metadata.version, "ct-lite").items():
        if isinstance(answer, metadata.PackageNotFoundError):
            faults[address] = "has no ct-lite installed"
        elif isinstance(answer, BaseException):
            faults[address] = f"did not answer: {type(answer).__name__}"
    addresses = [address for address in addresses if address not in faults]
    if not addresses:
        return faults
    wanted = installed_versions()
    for address, answer in asked(installed_versions).items():
        if isinstance(answer, BaseException):
            faults[address] = f"cannot import ctprep: {type(answer).__name__}"
        elif answer != wanted:
            faults[address] = f"has other versions: {_difference(answer, wanted)}"
    for place in places:
        for address, answer in asked(os.path.exists, str(place)).items():
            if answer is not True:
                faults.setdefault(address, f"does not see {place.name}")
    return faults


def _difference(there: dict[str, str], here: dict[str, str]) -> str:
    return ", ".join(
        f"{package} {there.get(package, 'not installed')}, here {here.get(package, 'none')}"
        for package in sorted(there.keys() | here.keys())
        if there.get(package) != here.get(package)
    )


@contextmanager
def connect(workers: int, scheduler: str | None, budget_bytes: int) -> Iterator["Client"]:
    """Connect to a running cluster, or start one on this machine.

    Args:
        workers: processes to start.
        scheduler: address of a running one to use instead.
        budget_bytes: what the workers started here may fill.

    Raises:
        ClusterError: no scheduler answers at the address.
    """
    import dask  # late: a second to import, and one worker does without
    from distributed import Client

    with _silenced():
        if scheduler is not None:
            with _client(scheduler) as client:
                yield client
            return
        with (
            # Workers keep files where they run, unless told otherwise.
            scratch_folder() as scratch,
            dask.config.set(CLUSTER_SETTINGS),
            _started(workers, budget_bytes, str(scratch)) as cluster,
            Client(cluster, set_as_default=False) as client,  # type: ignore[no-untyped-call]
        ):
            yield client


@contextmanager
def _started(workers: int, budget_bytes: int, scratch: str) -> Iterator["LocalCluster"]:
    from distributed import LocalCluster

    with ExitStack() as held:
        # The loop's thread and all workers inherit it; it ends when there is something to close.
        held.enter_context(interrupts_held())
        cluster = LocalCluster(  # type: ignore[no-untyped-call]
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
        )
        with cluster:
            held.close()
            yield cluster


def _client(scheduler: str) -> "Client":
    from distributed import Client

    try:
        # dask's client waits without end for a port that takes the call and never answers.
        with ThreadPoolExecutor(1) as thread:
            # In a thread, since a notebook has a loop running in its own.
            thread.submit(asyncio.run, asyncio.wait_for(_greet(scheduler), CONNECT_S)).result()
        return Client(  # type: ignore[no-untyped-call]
            scheduler, set_as_default=False, timeout=CONNECT_S
        )
    except (OSError, ValueError) as error:
        raise ClusterError(
            "no dask scheduler answers",
            mend="start one with `dask scheduler`, and give the address that it prints: "
            "tcp://host:port",
            where=scheduler,
        ) from error


async def _greet(scheduler: str) -> None:
    from distributed import rpc

    remote = rpc(scheduler, timeout=CONNECT_S)  # type: ignore[no-untyped-call]
    try:
        await remote.identity()
    finally:
        await remote.close_rpc()  # type: ignore[no-untyped-call]


@contextmanager
def _silenced() -> Iterator[None]:
    # Both log what we turn into items: lost workers, closed connections.
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado")]
    levels = [logger.level for logger in loggers]
    for silent in loggers:
        silent.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for silent, level in zip(loggers, levels, strict=True):
            silent.setLevel(level)
