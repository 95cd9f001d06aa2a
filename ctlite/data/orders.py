"""Epoch after epoch: which scans come together in which batch, and where an iteration goes on."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ctlite.data.reports import Reports
from ctlite.data.sampler import epoch_order, order_digest, rank_share
from ctprep.store.errors import RecipeError


@dataclass(frozen=True)
class Orders:
    """The batches of every epoch, in which no patient and no text comes twice.

    Raises:
        RecipeError: a scan without a patient, or an impossible sharding.
        TableError: scans have no report.
    """

    scan_ids: tuple[str, ...]
    reports: Reports | None
    """Whose equal texts are kept apart."""
    patients: Mapping[str, str] | None
    """Patient by scan id."""
    batch_size: int
    """Scans in a batch of one process."""
    seed: int
    rank: int
    """Of this process, from 0."""
    world_size: int
    """Number of processes."""
    shuffle: bool
    """In random order; otherwise as given."""
    drop_last: bool
    """Leave out what does not fill a batch."""
    _known: dict[int, list[tuple[str, ...]]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.world_size > 1 and not self.drop_last:
            raise RecipeError(
                f"{self.world_size} processes need batches of the same size",
                mend="set drop_last, or use one process",
            )
        if not 0 <= self.rank < self.world_size:
            raise RecipeError(
                f"rank {self.rank} is not among {self.world_size} processes",
                mend="count ranks from 0",
            )
        if self.reports is not None:
            self.reports.check(self.scan_ids)
        unknown = [
            scan_id
            for scan_id in self.scan_ids
            if self.patients is not None and scan_id not in self.patients
        ]
        if unknown:
            raise RecipeError(
                f"{len(unknown)} scans have no patient, the first are {', '.join(unknown[:5])}",
                mend="add them to the scan table",
            )

    def of(self, epoch: int) -> list[tuple[str, ...]]:
        """Tell an epoch's order.

        Args:
            epoch: counts from 0.

        Returns:
            Scan ids by global batch.

        Raises:
            RecipeError: no batch can be made.
        """
        if epoch not in self._known:
            # Around the turn of an epoch two are needed; more would grow with the run.
            for old in list(self._known)[:-1]:
                del self._known[old]
            self._known[epoch] = epoch_order(
                self.scan_ids,
                batch_size=self.batch_size * self.world_size,
                seed=self.seed,
                epoch=epoch,
                shuffle=self.shuffle,
                keys={scan_id: self._keys(scan_id, epoch) for scan_id in self.scan_ids},
                drop_last=self.drop_last,
            )
        return self._known[epoch]

    def share(self, epoch: int, position: int) -> tuple[str, ...]:
        """Tell what this process loads of a batch.

        Args:
            epoch: counts from 0.
            position: of the batch in it.

        Returns:
            Scan ids.
        """
        return rank_share(self.of(epoch)[position], rank=self.rank, world_size=self.world_size)

    def digest(self, epoch: int) -> str:
        """Tell by what an epoch's order is known again.

        Args:
            epoch: counts from 0.

        Returns:
            A hash of all batches.
        """
        return order_digest(self.of(epoch))

    def places(self, epoch: int, position: int) -> Iterator[tuple[int, int]]:
        """Go over all batches from a place on, epoch after epoch, without an end.

        Args:
            epoch: of the first.
            position: of the first in its epoch.

        Yields:
            Epoch and position.
        """
        for each in itertools.count(epoch):
            for number in range(position, len(self.of(each))):
                yield each, number
            position = 0

    def _keys(self, scan_id: str, epoch: int) -> tuple[tuple[str, str], ...]:
        keys = []
        if self.patients is not None:
            keys.append(("patient", self.patients[scan_id]))
        if self.reports is not None:
            text = self.reports.unique_text(scan_id, epoch)
            keys += [] if text is None else [("text", text)]
        return tuple(keys)
