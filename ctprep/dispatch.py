"""Dispatch: gives jobs to the workers of a cluster in batches, and loses none with its worker.

- A batch is pinned to one worker, so dask never runs it anywhere else: which jobs a dead worker had
  is known, and dask's own retries, whatever the cluster's settings, do not come into it.
- A worker goes through its batch job by job, tells each item as an event, and after `SLICE_S`
  gives back what is left. Small jobs so share a trip, large ones travel alone.
- A worker's death makes suspects of the jobs of its batch that are not told yet. Each is tried once
  more with nothing else running; if that kills a worker again, the job is refused.
- A worker that leaves in order (retired, scaled down) makes no suspects: its jobs go back in line.
"""

import pickle
import secrets
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic

from ctprep.cluster import Fleet, connect
from ctprep.jobs import Item, J, killed, memory_budget, too_large
from ctprep.store.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client, Future

SLICE_S = 0.5
"""How long a worker goes on with a batch before it gives the rest back."""
LONGEST_BATCH = 32
TOPIC = "ctprep"
"""Of the events; the same for all runs, since a scheduler keeps the last thousand of each topic."""
POLL_S = 2.0
"""How often to ask for the workers when nothing is heard."""
WORKERS_WAIT_S = 60.0
"""How long a cluster may be without a worker that can be used."""


def work_through(pickled: bytes, sign: tuple[str, int]) -> None:
    """Do the jobs of a batch, on a worker, until the time is up.

    Args:
        pickled: what makes the item of a job, and the jobs in order.
        sign: of run and batch, sent with each item.
    """
    from distributed import get_worker

    worker, began = get_worker(), time.monotonic()
    work, jobs = pickle.loads(pickled)
    for job in jobs:
        # An event outlives the worker's next job; a result would wait for it, and die with it.
        worker.log_event(TOPIC, [*sign, pickle.dumps(work(job))])
        if time.monotonic() - began > SLICE_S:
            return


@dataclass(eq=False)
class _Batch(Generic[J]):
    jobs: deque[J]
    """Those that are not told yet, in order."""
    worker: str
    peak_bytes: int
    alone: bool
    """Whether its job is a suspect."""
    future: "Future[None]"
    length: int


def dispatch(
    work: Callable[[J], Item],
    jobs: Iterator[J | Item],
    *,
    workers: int,
    scheduler: str | None,
    budget_bytes: int | None,
    places: tuple[Path, ...],
) -> Iterator[Item]:
    """Do the work of every job on a cluster; see `ctprep.engine.run`.

    Raises:
        ClusterError: the scheduler does not answer or is lost, a worker is unfit at the start, or
            there was no worker for `WORKERS_WAIT_S`.
    """
    here_bytes = budget_bytes or memory_budget()
    with connect(workers, scheduler, here_bytes) as client:
        fleet = Fleet(
            client,
            places=places,
            limit_bytes=here_bytes if scheduler is None else budget_bytes,
            default_bytes=here_bytes,
            scheduler=scheduler,
        )
        budget_bytes = here_bytes if scheduler is None else budget_bytes
        yield from _Dispatch(client, fleet, work, jobs, budget_bytes, scheduler).items()


class _Dispatch(Generic[J]):
    """What runs where, what waits, and what has killed its worker once."""

    def __init__(
        self,
        client: "Client",
        fleet: Fleet,
        work: Callable[[J], Item],
        jobs: Iterator[J | Item],
        budget_bytes: int | None,
        scheduler: str | None,
    ) -> None:
        self._client, self._fleet, self._work, self._jobs = client, fleet, work, jobs
        self._budget_bytes, self._scheduler = budget_bytes, scheduler
        self._waiting: deque[J] = deque()
        self._suspects: deque[J] = deque()
        self._running: dict[int, _Batch[J]] = {}
        self._inbox: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._run = secrets.token_hex(8)
        self._numbers = iter(range(2**63))
        self._length = 1
        self._last_worker_s = time.monotonic()

    def items(self) -> Iterator[Item]:
        """Yield an item a job, in the order in which they finish."""
        self._client.subscribe_topic("all", self._hear_cluster)  # type: ignore[no-untyped-call]
        self._client.subscribe_topic(TOPIC, self._hear_item)  # type: ignore[no-untyped-call]
        try:
            self._fleet.refresh()
            self._fleet.check()
            yield from self._all_items()
        finally:
            for topic in ("all", TOPIC):
                # Else the scheduler would go on to tell a client that is gone.
                self._client.unsubscribe_topic(topic)  # type: ignore[no-untyped-call]

    def _all_items(self) -> Iterator[Item]:
        while True:
            yield from self._hand_out()
            if not self._running and not self._suspects and not self._waiting:
                return
            yield from self._take_in()

    def _hear_cluster(self, event: tuple[float, Any]) -> None:
        _, message = event
        if isinstance(message, dict) and message.get("action") in ("add-worker", "remove-worker"):
            self._inbox.put((message["action"], message))

    def _hear_item(self, event: tuple[float, Any]) -> None:
        _, (run, number, item) = event
        if run == self._run:
            self._inbox.put(("item", (number, item)))

    def _hand_out(self) -> Iterator[Item]:
        """Give every idle worker something to do, as far as memory goes."""
        yield from self._refill()
        busy = {batch.worker for batch in self._running.values()}
        for address in [address for address in self._fleet.limits if address not in busy]:
            if self._suspects:
                # Alone, a job has all memory to itself, and none dies for its neighbour.
                if not self._running:
                    roomiest = max(self._fleet.limits, key=self._fleet.limits.__getitem__)
                    self._submit(roomiest, deque([self._suspects.popleft()]), alone=True)
                return
            jobs = yield from self._fitting(address)
            if jobs:
                self._submit(address, jobs, alone=False)

    def _refill(self) -> Iterator[Item]:
        """See to it that a job waits, unless there are no more; yield what needs no worker."""
        while not self._waiting:
            entry = next(self._jobs, None)
            if entry is None:
                return
            if isinstance(entry, Item):
                yield entry
            else:
                self._waiting.append(entry)

    def _fitting(self, address: str) -> Generator[Item, None, deque[J]]:
        """Take the jobs of a batch; they run one after the other, so the largest one counts."""
        free = self._fleet.limits[address]
        most = max(self._fleet.limits.values())
        if self._budget_bytes is not None:
            used = sum(batch.peak_bytes for batch in self._running.values())
            free, most = min(free, self._budget_bytes - used), min(most, self._budget_bytes)
        jobs: deque[J] = deque()
        while len(jobs) < self._length:
            yield from self._refill()
            if not self._waiting:
                break
            if self._waiting[0].peak_bytes > most:
                yield too_large(self._waiting.popleft(), most)
            elif self._waiting[0].peak_bytes > free:
                break
            else:
                jobs.append(self._waiting.popleft())
        return jobs

    def _submit(self, address: str, jobs: deque[J], *, alone: bool) -> None:
        from distributed.protocol.pickle import dumps

        number = next(self._numbers)
        future = self._client.submit(
            work_through,
            # As bytes, or the scheduler would unpickle them, and need all that reads scans.
            dumps((self._work, list(jobs))),  # type: ignore[no-untyped-call]
            (self._run, number),
            workers=[address],
            allow_other_workers=False,
            pure=False,
        )
        peak_bytes = max(job.peak_bytes for job in jobs)
        self._running[number] = _Batch(jobs, address, peak_bytes, alone, future, len(jobs))
        future.add_done_callback(  # type: ignore[no-untyped-call]
            lambda _: self._inbox.put(("done", number))
        )

    def _take_in(self) -> Iterator[Item]:
        """Wait until something is heard, and see to it."""
        try:
            kind, message = self._inbox.get(timeout=POLL_S)
        except Empty:
            yield from self._poll()
            return
        if kind == "item":
            yield from self._told(*message)
        elif kind == "done":
            yield from self._done(message)
        elif kind == "add-worker":
            self._ask_fleet()
        else:
            self._fleet.remove(message["worker"])
            lost = set() if message.get("expected") else set(message["processing-tasks"])
            for number, batch in list(self._running.items()):
                if batch.worker == message["worker"]:
                    yield from self._lost(number, blamed=batch.future.key in lost)

    def _poll(self) -> Iterator[Item]:
        """Look after what no event has told."""
        self._ask_fleet()
        for number, batch in list(self._running.items()):
            if batch.worker not in self._fleet.limits:
                yield from self._lost(number, blamed=True)
        if self._fleet.limits:
            self._last_worker_s = time.monotonic()
        elif time.monotonic() - self._last_worker_s > WORKERS_WAIT_S:
            self._fleet.check()
            raise ClusterError(
                f"the cluster has had no worker for {WORKERS_WAIT_S:.0f} s",
                mend="start workers with `dask worker ADDRESS`, best with a nanny, which replaces "
                "one that is killed; then run the same command again to go on",
                where=self._scheduler,
            )

    def _ask_fleet(self) -> None:
        try:
            self._fleet.refresh()
        except OSError as error:
            raise self._scheduler_lost() from error

    def _told(self, number: int, item: bytes) -> Iterator[Item]:
        batch = self._running.get(number)
        if batch is not None:
            batch.jobs.popleft()
            # From our own worker, which could run any code here just as well.
            yield pickle.loads(item)

    def _done(self, number: int) -> Iterator[Item]:
        from distributed import KilledWorker

        batch = self._running.get(number)
        if batch is None:
            return
        if batch.future.status == "cancelled":
            raise self._scheduler_lost()
        if batch.future.status == "error":
            error = batch.future.exception()  # type: ignore[no-untyped-call]
            if not isinstance(error, KilledWorker):
                batch.future.result()
            yield from self._lost(number, blamed=True)
            return
        del self._running[number]
        if batch.jobs:
            self._length = max(1, batch.length - len(batch.jobs))
            self._waiting.extendleft(reversed(batch.jobs))
        elif batch.length == self._length:
            self._length = min(2 * self._length, LONGEST_BATCH)

    def _lost(self, number: int, *, blamed: bool) -> Iterator[Item]:
        """See to the jobs of a batch whose worker is gone."""
        batch = self._running.pop(number)
        if blamed and batch.alone:
            for job in batch.jobs:
                yield killed(job)
        elif blamed or batch.alone:
            self._suspects.extend(batch.jobs)
        else:
            self._waiting.extendleft(reversed(batch.jobs))

    def _scheduler_lost(self) -> ClusterError:
        return ClusterError(
            "the scheduler is gone, or has dropped the work",
            mend="see to the cluster, then run the same command again to go on",
            where=self._scheduler,
        )
