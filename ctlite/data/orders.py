"""Epoch after epoch: which scans come together in which batch, and where an iteration goes on."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

from ctlite.data.reports import Reports
from ctlite.data.sampler import epoch_order


class Orders:
    """The batches of every epoch, in which no patient and no text comes twice.

    Args:
        scan_ids: the scans.
        batch_size: scans in a batch over all ranks.
        seed: of the run.
        shuffle: in random order; otherwise as given.
        drop_last: leave out what does not fill a batch.
        reports: whose equal texts are kept apart.
        patients: patient by scan id.
    """

    def __init__(
        self,
        scan_ids: Sequence[str],
        *,
        batch_size: int,
        seed: int,
        shuffle: bool,
        drop_last: bool,
        reports: Reports | None,
        patients: Mapping[str, str] | None,
    ) -> None:
        self._scan_ids = scan_ids
        self._batch_size = batch_size
        self._seed = seed
        self._shuffle = shuffle
        self._drop_last = drop_last
        self._reports = reports
        self._patients = patients
        self._known: dict[int, list[tuple[str, ...]]] = {}

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
            self._known = dict(itertools.islice(reversed(self._known.items()), 1))
            self._known[epoch] = epoch_order(
                self._scan_ids,
                batch_size=self._batch_size,
                seed=self._seed,
                epoch=epoch,
                shuffle=self._shuffle,
                keys={scan_id: self._keys(scan_id, epoch) for scan_id in self._scan_ids},
                drop_last=self._drop_last,
            )
        return self._known[epoch]

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
        if self._patients is not None:
            keys.append(("patient", self._patients[scan_id]))
        if self._reports is not None:
            text = self._reports.unique_text(scan_id, epoch)
            keys += [] if text is None else [("text", text)]
        return tuple(keys)
