"""The table of probabilities that a classifier of reports gives, beside the label table."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from ctprep.store.table_bytes import encode_table

CUT = "report_cut"
"""Column that is 1 where the end of the report was not read."""


def encode_probabilities(
    path: Path, names: Sequence[str], rows: Sequence[tuple[str, bool, Sequence[float]]]
) -> bytes:
    """Give the content of a table of probabilities.

    Args:
        path: where it will be; its suffix, `.csv` or `.parquet`, says the format.
        names: of the label columns.
        rows: scan id, whether its report was cut, and a probability a label.

    Raises:
        TableError: the suffix is another one.
    """
    columns = [
        pa.array([scan_id for scan_id, _, _ in rows], pa.string()),
        pa.array([int(is_cut) for _, is_cut, _ in rows], pa.int8()),
        *(
            pa.array([values[place] for _, _, values in rows], pa.float64())
            for place in range(len(names))
        ),
    ]
    return encode_table(path, pa.Table.from_arrays(columns, ["scan_id", CUT, *names]))
