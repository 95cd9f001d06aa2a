"""The table of probabilities that a classifier of reports gives, beside the label table."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from ctprep.store.disk import write_atomically

CUT = "report_cut"
"""Column that is 1 where the end of the report was not read."""


def write_probabilities(
    path: Path, names: Sequence[str], rows: Iterable[tuple[str, bool, Sequence[float]]]
) -> None:
    """Write a CSV of probabilities, whole or not at all.

    Args:
        path: of the CSV.
        names: of the label columns.
        rows: scan id, whether its report was cut, and a probability a label.

    Raises:
        PlaceError: the disk does not take it.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("scan_id", CUT, *names))
    for scan_id, is_cut, values in rows:
        writer.writerow((scan_id, int(is_cut), *(f"{value:.6f}" for value in values)))
    write_atomically(path, buffer.getvalue().encode("utf-8"))
