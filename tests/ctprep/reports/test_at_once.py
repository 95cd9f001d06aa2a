"""Results come as they are ready, and nothing is begun after a failure."""

import threading

import pytest

from ctprep.reports.backends.at_once import work_at_once


def test_each_result_comes_as_it_is_ready() -> None:
    """The first item waits until the result of the last has been taken."""
    taken = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert taken.wait(10)
        return item * item

    order = []
    for place, result in work_at_once(work, range(5), 2):
        order.append((place, result))
        if place == 4:
            taken.set()

    assert order == [(1, 1), (2, 4), (3, 9), (4, 16), (0, 0)]


def test_nothing_is_begun_after_a_failure() -> None:
    """It is raised where results are taken."""
    begun: list[int] = []
    failed = threading.Event()

    def work(item: int) -> int:
        begun.append(item)
        if item == 1:
            raise ValueError("one")
        if item == 0:
            assert failed.wait(10)
        return item

    with pytest.raises(ValueError, match="one"):
        list(work_at_once(work, range(100), 2))
    failed.set()

    assert sorted(begun) == [0, 1]


def test_no_items() -> None:
    """No thread, no result."""
    assert list(work_at_once(str, [], 3)) == []
