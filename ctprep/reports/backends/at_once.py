"""Work in several threads whose end nobody has to wait for."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def work_at_once(
    work: Callable[[Item], Result], items: Sequence[Item], count: int
) -> Iterator[tuple[int, Result]]:
    """Work on items in threads, and give each result as soon as it is there.

    The threads of a pool are joined when the interpreter ends, so that an interrupt would wait
    for the slowest answer of a server; these are left behind.

    Args:
        work: called in a thread with one item.
        items: what to work on, begun in this order.
        count: threads.

    Yields:
        Position of an item, and its result.

    Raises:
        BaseException: the first that `work` raised; no item is begun after it.
    """
    todo: queue.SimpleQueue[tuple[int, Item]] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, Callable[[], Result]]] = queue.SimpleQueue()
    stopped = threading.Event()
    for numbered in enumerate(items):
        todo.put(numbered)

    def run() -> None:
        while not stopped.is_set():
            try:
                place, item = todo.get_nowait()
            except queue.Empty:
                return
            done.put((place, _outcome(work, item, stopped)))

    for _ in range(min(count, len(items))):
        threading.Thread(target=run, name="ask", daemon=True).start()
    try:
        for _ in items:
            place, outcome = done.get()
            yield place, outcome()
    finally:
        stopped.set()


def _outcome(
    work: Callable[[Item], Result], item: Item, stopped: threading.Event
) -> Callable[[], Result]:
    """Work on an item; what comes of it is given, or raised, where it is asked for."""
    try:
        result = work(item)
    except BaseException as caught:
        error = caught
        stopped.set()

        def fail() -> Result:
            raise error

        return fail
    return lambda: result
