"""Export for MONAI: the volumes as NIfTI, and the datalist that names them."""

import time
from collections.abc import Iterator
from pathlib import Path

from ctprep.exchange.datalist import (
    DATALIST,
    DatalistPlan,
    check_continues,
    check_values,
    encode_datalist,
)
from ctprep.jobs import Item
from ctprep.look.export import export_store
from ctprep.store.disk import write_atomically
from ctprep.store.outputs import check_outputs
from ctprep.store.place import Where


def export_monai(
    store: Where,
    out: Path,
    plan: DatalistPlan,
    *,
    original_grid: bool = False,
    overwrite: bool = False,
    workers: int = 1,
    dry_run: bool = False,
) -> Iterator[Item]:
    """Write the volumes of a plan as NIfTI, and then the datalist beside them.

    Files that are there and the same stay as they are, so that a run that was cut short goes on
    when it is repeated.

    Args:
        store: that the plan was made of.
        out: folder for the files; it is made.
        plan: which volumes, and what the list says of each.
        original_grid: resample each back onto the grid of its source.
        overwrite: replace other files of these names.
        workers: processes; 1 stays in this one.
        dry_run: write nothing.

    Yields:
        What became of each volume, and last of the list, which names those that have a file.

    Raises:
        TableError: an id is the name of a file beside the list, or another list is there.
        StoreError: there is no such store, or `out` cannot take files.
        PlaceError: the disk of `out` is full, read-only or fails, or the bucket cannot be reached.
    """
    if not dry_run:
        check_outputs(out / DATALIST)
    check_values(plan, out)
    if not overwrite:
        check_continues(out / DATALIST, plan)
    left_out = set()
    items = export_store(
        store,
        out,
        format="nifti",
        scan_ids=plan.scan_ids,
        original_grid=original_grid,
        overwrite=overwrite,
        workers=workers,
        dry_run=dry_run,
        keep_equal=True,
    )
    for item in items:
        if item.status == "refused":
            left_out.add(item.name)
        yield item
    if dry_run:
        yield Item("planned", DATALIST)
    else:
        yield _write(out / DATALIST, plan, left_out)


def _write(path: Path, plan: DatalistPlan, left_out: set[str]) -> Item:
    began = time.perf_counter()
    if left_out >= set(plan.scan_ids):
        what, mend = "no volume has a file", "mend what is said of the volumes"
        return Item("refused", DATALIST, verdict="empty", what=what, mend=mend)
    content = encode_datalist(plan, left_out)
    if path.is_file() and path.read_bytes() == content:
        return Item("unchanged", DATALIST, nbytes=len(content))
    write_atomically(path, content)
    seconds = time.perf_counter() - began
    return Item("stored", DATALIST, nbytes=len(content), seconds=seconds)
