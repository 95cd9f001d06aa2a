"""The order is pure, whole and free of repeated patients and reports."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctlite.data.sampler import epoch_order, order_digest, rank_share
from ctprep.store.errors import RecipeError

corpora = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=40).map(
    lambda rows: {f"s{index}": (("p", row[0]), ("t", row[1])) for index, row in enumerate(rows)}
)


@given(corpora, st.integers(1, 5), st.integers(0, 3))
def test_every_scan_once_and_no_key_twice_in_a_batch(
    keys: dict[str, tuple[tuple[str, int], ...]], batch_size: int, seed: int
) -> None:
    """Whatever the patients and texts, an epoch without drop_last holds each scan once."""
    batches = epoch_order(
        list(keys), batch_size=batch_size, seed=seed, epoch=0, keys=keys, drop_last=False
    )

    assert sorted(scan for batch in batches for scan in batch) == sorted(keys)
    for batch in batches:
        assert 1 <= len(batch) <= batch_size
        counts = Counter(key for scan in batch for key in keys[scan])
        assert max(counts.values()) == 1


def test_order_is_a_function_of_seed_and_epoch() -> None:
    """The same twice; another for another seed or epoch; the given order does not matter."""
    scans = [f"s{index:02}" for index in range(20)]

    def order(seed: int, epoch: int, given: list[str]) -> list[tuple[str, ...]]:
        return epoch_order(given, batch_size=4, seed=seed, epoch=epoch)

    first = order(0, 0, scans)
    assert order(0, 0, scans[::-1]) == first
    assert order(1, 0, scans) != first
    assert order(0, 1, scans) != first
    assert order_digest(order(0, 1, scans)) != order_digest(first)


def test_unshuffled_keeps_the_given_order() -> None:
    """Evaluation walks through the scans as they are listed, the last batch being short."""
    batches = epoch_order(
        ["c", "a", "b"], batch_size=2, seed=0, epoch=0, shuffle=False, drop_last=False
    )

    assert batches == [("c", "a"), ("b",)]


def test_leftovers_differ_between_epochs() -> None:
    """With drop_last, over some epochs every scan is seen."""
    scans = [f"s{index}" for index in range(10)]

    seen = {
        scan
        for epoch in range(8)
        for batch in epoch_order(scans, batch_size=4, seed=0, epoch=epoch)
        for scan in batch
    }

    assert seen == set(scans)


def test_ranks_share_a_batch() -> None:
    """The parts of all ranks make up the global batch, which has no key twice."""
    batch = tuple("abcdef")

    parts = [rank_share(batch, rank=rank, world_size=3) for rank in range(3)]

    assert parts == [("a", "b"), ("c", "d"), ("e", "f")]


def test_many_equal_reports_stay_fast_and_spread() -> None:
    """Half of 4,000 scans being normal, every batch of 4 has one of them until they run out."""
    keys = {
        f"s{index:04}": (("t", "normal" if index % 2 else str(index)),) for index in range(4000)
    }

    batches = epoch_order(list(keys), batch_size=4, seed=0, epoch=0, keys=keys)

    assert len(batches) == pytest.approx(2000 / 3, abs=2)


def test_impossible_batches_are_refused() -> None:
    """More scans a batch than patients cannot end in an endless search."""
    keys = {f"s{index}": (("p", index % 3),) for index in range(30)}

    with pytest.raises(RecipeError, match="only 3 go together") as caught:
        epoch_order(list(keys), batch_size=4, seed=0, epoch=0, keys=keys)

    assert "at most 3" in caught.value.mend


def test_repeated_scans_are_refused() -> None:
    """A scan listed twice would be seen twice an epoch."""
    with pytest.raises(RecipeError, match="1 scans are given twice"):
        epoch_order(["a", "a"], batch_size=1, seed=0, epoch=0)
