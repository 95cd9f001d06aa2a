"""Orders of epochs are worked out once, and not held for the whole run."""

import pytest

from ctlite.data.orders import Orders
from ctprep.store.errors import RecipeError

SCANS = tuple("abcdefgh")


def orders(**options) -> Orders:
    plain = {"reports": None, "patients": None, "batch_size": 2, "seed": 0}
    ranks = {"rank": 0, "world_size": 1, "shuffle": True, "drop_last": True}
    return Orders(SCANS, **{**plain, **ranks, **options})


def test_two_epochs_are_held():
    """Around the turn of an epoch both are asked for again and again."""
    own = orders()
    first, second = own.of(0), own.of(1)
    assert (own.of(0), own.of(1)) == (first, second)
    assert own.of(0) is first

    own.of(2)
    assert own.of(1) is second
    assert own.of(0) is not first
    assert own.of(0) == first


def test_shares_of_all_processes_make_up_a_batch():
    """Each has its own scans, of one order."""
    parts = [orders(rank=rank, world_size=2).share(3, 1) for rank in range(2)]

    assert parts[0] + parts[1] == orders(world_size=2).of(3)[1]
    assert len(parts[0]) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"world_size": 2, "drop_last": False}, "batches of the same size"),
        ({"rank": 1}, "rank 1 is not among 1 processes"),
        ({"patients": dict.fromkeys("abcdefg", "p")}, "1 scans have no patient"),
    ],
)
def test_an_impossible_division_is_refused(options, message):
    """Before any volume is read."""
    with pytest.raises(RecipeError, match=message):
        orders(**options)
