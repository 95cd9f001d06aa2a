"""The order in which scans are seen: a pure function of seed, epoch and rank."""

import hashlib
from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator, Mapping, Sequence

import numpy as np

from ctprep.store.errors import RecipeError

Keys = Mapping[str, tuple[Hashable, ...]]


def epoch_order(
    scan_ids: Sequence[str],
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    shuffle: bool = True,
    keys: Keys | None = None,
    drop_last: bool = True,
) -> list[tuple[str, ...]]:
    """Divide the scans of an epoch into batches without repeated keys.

    A scan that shares a key with one already in the batch waits for the next batch that has
    none of its keys. At the end of the epoch some scans may be left over: fewer than a batch,
    or all of one patient or one text. With `drop_last` they sit out this epoch, and another
    shuffle chooses others in the next; without it they come in smaller batches.

    Args:
        scan_ids: the scans, none twice.
        batch_size: scans in a batch over all ranks, since the contrastive loss is over all.
        seed: of the run.
        epoch: counts from 0.
        shuffle: in random order; otherwise as given.
        keys: what may not repeat within a batch, by scan id: patient, text of the report.
        drop_last: leave out the batches that are not full.

    Returns:
        Scan ids by batch. The order in which `scan_ids` are given is of no account when
        shuffled.

    Raises:
        RecipeError: a scan is given twice, or not one full batch can be made.
    """
    repeated = len(scan_ids) - len(set(scan_ids))
    if repeated or batch_size < 1:
        raise RecipeError(
            f"{repeated} scans are given twice and the batch size is {batch_size}",
            mend="give every scan once, and a batch size of at least 1",
        )
    order = _shuffled(scan_ids, seed, epoch) if shuffle else list(scan_ids)
    batches = list(_pack(order, batch_size, keys or {}))
    if not drop_last:
        return batches
    full = [batch for batch in batches if len(batch) == batch_size]
    if not full:
        _refuse(len(order), max((len(batch) for batch in batches), default=0), batch_size)
    return full


def rank_share(batch: tuple[str, ...], *, rank: int, world_size: int) -> tuple[str, ...]:
    """Take the part of a global batch that one process trains on.

    Args:
        batch: scan ids over all ranks.
        rank: of the process, from 0.
        world_size: number of processes.

    Returns:
        A contiguous part; the parts of all ranks make up the batch.
    """
    share = len(batch) // world_size
    return batch[rank * share : (rank + 1) * share]


def order_digest(batches: Sequence[tuple[str, ...]]) -> str:
    """Fingerprint an epoch's order, to recognize it when a run is resumed.

    Args:
        batches: scan ids by global batch.

    Returns:
        32 hexadecimal digits.
    """
    text = "\n".join(" ".join(batch) for batch in batches)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _shuffled(scan_ids: Sequence[str], seed: int, epoch: int) -> list[str]:
    random = np.random.default_rng([seed, epoch])
    ordered = sorted(scan_ids)
    return [ordered[index] for index in random.permutation(len(ordered))]


def _pack(order: list[str], batch_size: int, keys: Keys) -> Iterator[tuple[str, ...]]:
    fresh = deque(order)
    # Waiting scans by the key that held them back: of one key only the first can be placed in
    # a batch, so a corpus full of equal reports costs one look a batch, not one a scan.
    waiting: OrderedDict[Hashable, deque[str]] = OrderedDict()
    while fresh or waiting:
        batch: list[str] = []
        used: set[Hashable] = set()
        for key in list(waiting):
            if len(batch) == batch_size:
                break
            held = waiting[key]
            _place(held.popleft(), batch, used, waiting, keys)
            if not held:
                del waiting[key]
        while fresh and len(batch) < batch_size:
            _place(fresh.popleft(), batch, used, waiting, keys)
        yield tuple(batch)


def _place(
    scan_id: str,
    batch: list[str],
    used: set[Hashable],
    waiting: OrderedDict[Hashable, deque[str]],
    keys: Keys,
) -> None:
    own = keys.get(scan_id, ())
    clash = next((key for key in own if key in used), None)
    if clash is None:
        batch.append(scan_id)
        used.update(own)
    else:
        waiting.setdefault(clash, deque()).append(scan_id)


def _refuse(scans: int, largest: int, batch_size: int) -> None:
    raise RecipeError(
        f"no batch of {batch_size} scans (over all ranks) can be made: of {scans} scans only "
        f"{largest} go together, as no patient and no report may come twice",
        mend=f"set a batch size of at most {largest} over all ranks (data.batch_size is that of "
        "one), use fewer processes, or add scans",
    )
