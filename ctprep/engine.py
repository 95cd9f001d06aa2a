"""The engine: does one step for many volumes, and yields each item as it is finished."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

from ctprep.dispatch import dispatch
from ctprep.jobs import Item, J, memory_budget, too_large


def run(
    work: Callable[[J], Item],
    jobs: Iterable[J | Item],
    *,
    workers: int = 1,
    scheduler: str | None = None,
    budget_bytes: int | None = None,
    places: Iterable[Path] = (),
) -> Iterator[Item]:
    """Do the work of every job, and yield the items in the order in which they finish.

    The jobs are taken as they are needed, so their number costs no memory.

    Args:
        work: picklable; turns the faults of its input into refused items. What it raises is a
            bug, and comes out here with its traceback.
        jobs: what to do; an item among them needs no work, and is passed on.
        workers: processes on this machine; 1 stays in this process.
        scheduler: address of a running dask cluster to use instead, `tcp://host:port`.
        budget_bytes: memory that the running jobs may need together; None measures it.
        places: absolute paths that the workers of a running cluster must see.

    Yields:
        An item a job. A job that needs more than the whole budget is refused as `too-large`, one
        whose worker was killed twice as `worker-killed`.

    Raises:
        ClusterError: the cluster cannot be reached or used, or is lost.
    """
    entries = iter(jobs)
    head: list[J] = []
    for entry in entries:
        if isinstance(entry, Item):
            yield entry
            continue
        head.append(entry)
        if len(head) == 2:
            break
    entries = chain(head, entries)
    if head and (scheduler is not None or (workers > 1 and len(head) > 1)):
        yield from dispatch(
            work,
            entries,
            workers=workers,
            scheduler=scheduler,
            budget_bytes=budget_bytes,
            places=tuple(places),
        )
        return
    budget_bytes = budget_bytes or memory_budget()
    for entry in entries:
        if isinstance(entry, Item):
            yield entry
        elif entry.peak_bytes > budget_bytes:
            yield too_large(entry, budget_bytes)
        else:
            yield work(entry)
