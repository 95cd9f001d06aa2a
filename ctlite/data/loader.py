"""Stores and reports to batches: threads in one process, decoding into reused memory.

Decoding releases the interpreter lock, so threads are enough: nothing is pickled, no shared
memory is left behind, and closing the iterator ends the threads.

The consumer's own thread plans ahead: whenever a batch is asked for, it waits for the oldest of
the planned ones and hands the volumes of another to the threads.
"""

import itertools
import logging
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch

from ctlite import ranks
from ctlite.data.batch import Batch
from ctlite.data.buffers import Buffer, BufferPool
from ctlite.data.orders import Orders
from ctlite.data.reports import Reports
from ctlite.data.stores import read_scan, stores_by_kind
from ctprep.store.errors import CheckpointError, CtError, PlaceError, StoreError
from ctprep.store.store import VolumeStore

logger = logging.getLogger(__name__)

THREAD_NAME = "ctlite-loader"
IN_A_ROW = 100
"""Batches that several processes leave out, at the least, before there seems to be no other."""
VOXEL_TYPES = {"jpeg": torch.uint8, "hifi": torch.int16}


@dataclass(frozen=True)
class _Planned:
    """A batch whose volumes are being decoded."""

    scan_ids: tuple[str, ...]
    epoch: int
    buffers: dict[str, Buffer]
    reads: list[Future[None]]
    """One a scan."""


@dataclass(frozen=True)
class _Outcome:
    """What one rank could not read of its part of a batch."""

    rank: int
    lost: dict[str, StoreError]
    fault: CtError | None
    """Of the place that all volumes lie at."""


class Loader:
    """Batches of scans in an order that depends on seed, epoch and rank alone.

    Iterating goes on for ever, epoch after epoch, from where `state_dict` says; `epoch` goes
    over one epoch, `anew` over all, and both leave that state alone. One iteration at a time.

    A batch belongs to its consumer: its memory is used again only after every tensor that
    shares it is gone. A consumer that holds one batch at a time bounds memory at `prefetch` + 2
    batches.

    Args:
        scan_ids: the scans to load; all must be in every store given, and have a report.
        gray_store: JPEG store that fills `Batch.gray`.
        hu_store: hi-fi store that fills `Batch.hu`.
        reports: fill the tokens; no two equal texts come in one global batch, but for drawn
            sentences.
        patients: patient by scan id; no two scans of one patient come in one global batch.
        batch_size: scans in a batch of this process.
        seed: of the order.
        rank: of this process, from 0.
        world_size: number of processes.
        shuffle: in random order; otherwise as given.
        drop_last: leave out what does not fill a batch (see `sampler.epoch_order`).
        prefetch: batches decoded ahead.
        threads: volumes decoded at once.
        unreadable_quota: unreadable volumes to go without, each with a warning, before the
            run stops; their batches are smaller by them, or left out on several processes,
            which must then all iterate.

    Raises:
        RecipeError: no store, a scan without a patient, or an impossible batch size or sharding.
        StoreError: scans are missing from a store.
        StoreMismatchError: a store is of the wrong kind, or the two differ in their grid.
        TableError: scans have no report.
    """

    def __init__(
        self,
        scan_ids: Sequence[str],
        *,
        gray_store: VolumeStore | None = None,
        hu_store: VolumeStore | None = None,
        reports: Reports | None = None,
        patients: Mapping[str, str] | None = None,
        batch_size: int = 1,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        shuffle: bool = True,
        drop_last: bool = True,
        prefetch: int = 2,
        threads: int = 2,
        unreadable_quota: int = 0,
    ) -> None:
        ids = tuple(scan_ids)
        self._stores = stores_by_kind(ids, gray_store, hu_store)
        self._orders = Orders(
            ids,
            reports=reports,
            patients=patients,
            batch_size=batch_size,
            seed=seed,
            rank=rank,
            world_size=world_size,
            shuffle=shuffle,
            drop_last=drop_last,
        )
        self._reports = reports
        self._prefetch = max(1, prefetch)
        self._threads = max(1, threads)
        self._quota = unreadable_quota
        self._epoch = 0
        self._position = 0
        self.unreadable: list[str] = []
        """Scans gone without so far, over all starts of a run."""
        self._texts_digest = None if reports is None else reports.digest(ids)
        self._pools = self._make_pools(batch_size)
        self.order(0)

    def order(self, epoch: int) -> list[tuple[str, ...]]:
        """Tell an epoch's order.

        Args:
            epoch: counts from 0.

        Returns:
            Scan ids by global batch, of which this process loads its share.

        Raises:
            RecipeError: no batch can be made.
        """
        return self._orders.of(epoch)

    def epoch(self, epoch: int) -> Generator[Batch, None, None]:
        """Go over one epoch from its beginning.

        Args:
            epoch: counts from 0.

        Yields:
            Its batches.

        Raises:
            CtError: a volume cannot be read, with its scan id, and the quota is used up; or the
                object store cannot be reached, whatever the quota.
        """
        yield from self._leaving_state(
            (epoch, position) for position in range(len(self.order(epoch)))
        )

    def anew(self) -> Generator[Batch, None, None]:
        """Go over all epochs from the first, without an end.

        Yields:
            Batches.

        Raises:
            CtError: as `epoch`, or so many batches in a row are lost that no other may come.
        """
        yield from self._leaving_state(self._orders.places(0, 0))

    def __iter__(self) -> Generator[Batch, None, None]:
        """Go on from the current state, epoch after epoch, without an end."""
        with closing(self._load(self._orders.places(*self.place))) as loading:
            for epoch, position, batch in loading:
                self._epoch, self._position = epoch, position + 1
                yield batch
                del batch

    @property
    def place(self) -> tuple[int, int]:
        """Epoch, and batches delivered of it; set to give back what was delivered last."""
        return self._epoch, self._position

    @place.setter
    def place(self, place: tuple[int, int]) -> None:
        self._epoch, self._position = place

    def state_dict(self) -> dict[str, Any]:
        """Tell where the iteration stands: behind the batch that was delivered last.

        Returns:
            Plain values, the same on every rank.
        """
        return {
            "seed": self._orders.seed,
            "epoch": self._epoch,
            "position": self._position,
            "order_digest": self._orders.digest(self._epoch),
            "texts_digest": self._texts_digest,
            "unreadable": list(self.unreadable),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another loader stood; stores may have moved, scans must be the same.

        Args:
            state: from `state_dict`.

        Raises:
            CheckpointError: the same place cannot be found, as scans, reports, batch size,
                number of processes or seed have changed; or texts of reports have.
        """
        missing = {"seed", "epoch", "position", "order_digest"} - state.keys()
        if missing:
            raise CheckpointError(
                f"the data position lacks {', '.join(sorted(missing))}",
                mend="remove the checkpoint, or start a new run",
            )
        seed = self._orders.seed
        if state["seed"] != seed or state["order_digest"] != self._orders.digest(state["epoch"]):
            raise CheckpointError(
                f"the order of epoch {state['epoch']} is not the one the run was in (seed "
                f"{state['seed']} then, {seed} now)",
                mend="resume with the same scans, reports, batch size, number of processes and "
                "seed, or start a new run from this checkpoint",
            )
        # A checkpoint of before texts were compared has no digest of them.
        if state.get("texts_digest", self._texts_digest) != self._texts_digest:
            raise CheckpointError(
                "texts of reports are not those that the run was trained on",
                mend="resume with the same report table and data.text, or start a new run from "
                "this checkpoint",
            )
        self._epoch, self._position = state["epoch"], state["position"]
        # A checkpoint of before the quota went on has none of them.
        self.unreadable = list(state.get("unreadable", ()))

    def _leaving_state(self, places: Iterator[tuple[int, int]]) -> Generator[Batch, None, None]:
        with closing(self._load(places)) as loading:
            for _, _, batch in loading:
                yield batch
                # Held here, the last batch would keep its memory while the next is awaited.
                del batch

    def _load(
        self, places: Iterator[tuple[int, int]]
    ) -> Generator[tuple[int, int, Batch], None, None]:
        pending: deque[tuple[int, int, _Planned]] = deque()
        nothing = 0
        executor = ThreadPoolExecutor(self._threads, thread_name_prefix=THREAD_NAME)
        try:
            self._plan_ahead(executor, pending, places)
            while pending:
                epoch, position, planned = pending.popleft()
                batch = self._deliver(planned)
                del planned
                # Before the consumer goes to work, so that the threads do too.
                self._plan_ahead(executor, pending, places)
                if batch is not None:
                    nothing = 0
                    yield epoch, position, batch
                else:
                    nothing += 1
                    self._check_some(nothing, epoch)
                del batch
        finally:
            executor.shutdown(wait=True, cancel_futures=True)

    def _plan_ahead(
        self,
        executor: ThreadPoolExecutor,
        pending: deque[tuple[int, int, _Planned]],
        places: Iterator[tuple[int, int]],
    ) -> None:
        for epoch, position in itertools.islice(places, self._prefetch - len(pending)):
            pending.append((epoch, position, self._plan(executor, epoch, position)))

    def _plan(self, executor: ThreadPoolExecutor, epoch: int, position: int) -> _Planned:
        share = self._orders.share(epoch, position)
        buffers = {kind: pool.take() for kind, pool in self._pools.items()}
        reads = [
            executor.submit(
                read_scan,
                scan_id,
                [(self._stores[kind], buffer[row]) for kind, buffer in buffers.items()],
            )
            for row, scan_id in enumerate(share)
        ]
        return _Planned(share, epoch, buffers, reads)

    def _deliver(self, planned: _Planned) -> Batch | None:
        lost = self._await(planned)
        rows = [row for row, scan_id in enumerate(planned.scan_ids) if scan_id not in lost]
        # Losses over all ranks need parts of the same size.
        if not rows or (lost and self._orders.world_size > 1):
            for kind, buffer in planned.buffers.items():
                self._pools[kind].give_back(buffer)
            return None
        for place, row in enumerate(rows):
            if place < row:
                for buffer in planned.buffers.values():
                    buffer[place] = buffer[row]
        lent = {
            kind: self._pools[kind].lend(buffer, len(rows))
            for kind, buffer in planned.buffers.items()
        }
        kept = tuple(planned.scan_ids[row] for row in rows)
        token_ids, mask = (None, None)
        if self._reports is not None:
            token_ids, mask = self._reports.tokenize(kept, planned.epoch)
        return Batch(kept, lent.get("jpeg"), lent.get("hifi"), token_ids, mask)

    def _await(self, planned: _Planned) -> set[str]:
        """Wait for the volumes of a batch; give those of all ranks that are gone without."""
        lost: dict[str, StoreError] = {}
        fault: CtError | None = None
        for scan_id, reading in zip(planned.scan_ids, planned.reads, strict=True):
            try:
                reading.result()
            except PlaceError as error:
                # Where nothing answers no volume is at fault, and none after it could be read.
                fault = error
                break
            except StoreError as error:
                lost[scan_id] = error
        rank, is_one_of_many = self._orders.rank, self._orders.world_size > 1
        own = _Outcome(rank, lost, fault)
        # Without a quota whatever is lost ends the run, which the loop tells the other ranks.
        shares = ranks.gather_values(own) if self._quota and is_one_of_many else [own]
        for share in shares:
            for scan_id, damage in share.lost.items():
                self._go_without(scan_id, damage, is_told=share.rank == rank)
        if any(share.fault for share in shares):
            raise fault or CtError(
                "another process could not read its scans", mend="do what that process says"
            )
        return {scan_id for share in shares for scan_id in share.lost}

    def _go_without(self, scan_id: str, error: StoreError, *, is_told: bool) -> None:
        # One scan counts once, whatever the epoch. The quota may be lower than when the run began.
        count = len({*self.unreadable, scan_id})
        if count > self._quota:
            error.mend += f", or go without: --set data.unreadable_quota={count}"
            raise error
        if scan_id in self.unreadable:
            return
        self.unreadable.append(scan_id)
        if is_told:
            logger.warning(
                "went without scan %s (%d of %d allowed): %s",
                scan_id,
                len(self.unreadable),
                self._quota,
                error,
            )

    def _check_some(self, nothing: int, epoch: int) -> None:
        # The quota may exceed the scans, and an endless iteration would never come to a batch.
        enough, what = len(self.order(epoch)), "not one scan of a whole epoch could be read"
        if self._orders.world_size > 1:
            # One damaged scan leaves a whole batch out, and an epoch may have no other.
            enough, what = max(enough, IN_A_ROW), f"{nothing} batches in a row were left out"
        if nothing >= enough:
            raise StoreError(
                f"{what}, the first unreadable scans are {', '.join(self.unreadable[:5])}",
                mend="look at the store: ctprep verify",
            )

    def _make_pools(self, batch_size: int) -> dict[str, BufferPool]:
        return {
            kind: BufferPool(
                (batch_size, *store.attributes.grid.shape),
                VOXEL_TYPES[kind],
                keep=self._prefetch + 2,
                is_pinned=torch.cuda.is_available(),
            )
            for kind, store in self._stores.items()
        }
