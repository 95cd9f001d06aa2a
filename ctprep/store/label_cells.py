"""The label columns of a table: which they are, and what their cells say."""

import re
from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from ctprep.store.cells import tell_cell
from ctprep.store.columns import check_faults

CELLS = {
    **{"0": 0.0, "0.0": 0.0, "false": 0.0, "1": 1.0, "1.0": 1.0, "true": 1.0},
    **dict.fromkeys(("", "nan"), float("nan")),
}
"""What cells say, in lower case; NaN is missing."""
LOCATED = "*"
"""Between abnormality and place in RAD-ChestCT's label tables: `nodule*left_upper`."""
WORDS = (
    *("yes", "no", "y", "n", "pos", "neg", "positive", "negative", "present", "absent"),
    *("na", "n/a", "none", "null", "unknown", "uncertain"),
)
"""Cells that are no labels, and that an error shows; another may be text about a person."""
_INDEX = re.compile(r"(Unnamed: [0-9]+)?")
"""How pandas reads the head of an index column."""


def read_label_cells(
    table: pa.Table, scan_ids: Sequence[str], others: Collection[str]
) -> tuple[tuple[str, ...], Float[np.ndarray, "scan label"]]:
    """Read the label columns of a table.

    Columns of one abnormality in several places become one label: present where it is present in
    any place, missing where it is in none and a place is missing.

    Args:
        table: with a row a scan.
        scan_ids: of the rows.
        others: columns that are no labels.

    Returns:
        Names of the labels, and 1 present, 0 absent, NaN missing.

    Raises:
        TableError: there are no labels, one has no name, or a cell is something else.
    """
    columns = [name for name in table.column_names if name not in others]
    check_faults(
        [] if columns else ["no column is a label"],
        mend="give a table with a column a label, such as `ctprep label-reports` writes",
    )
    is_named = not any(map(_INDEX.fullmatch, columns))
    check_faults(
        [] if is_named else ["a label column has no name"],
        mend="give every label column a name; save without an index column",
    )
    names = tuple(dict.fromkeys(name.split(LOCATED)[0] for name in columns))
    values = np.zeros((table.num_rows, len(names)), np.float64)
    faults: list[str] = []
    for name in columns:
        told, cells = _values(table.column(name))
        wrong = np.flatnonzero(np.isinf(told))
        if wrong.size:
            faults.append(_fault(name, cells[wrong[0]].as_py(), scan_ids[wrong[0]], wrong.size))
        label = names.index(name.split(LOCATED)[0])
        values[:, label] = _present_in_any(values[:, label], told)
    check_faults(
        faults,
        mend="a label is 0, 1, or an empty cell where it is missing; remove columns that are no "
        "labels",
    )
    return names, values


def _values(column: pa.ChunkedArray) -> tuple[Float[np.ndarray, " scan"], pa.ChunkedArray]:
    """Values of the cells, infinite where they are no label, and the cells."""
    # Few cells differ, and a published table has 16 million.
    encoded = column.dictionary_encode(null_encoding="encode").combine_chunks()
    texts = ["" if cell is None else str(cell) for cell in encoded.dictionary.to_pylist()]
    told = np.array([CELLS.get(text.strip().lower(), np.inf) for text in texts], np.float64)
    if not len(encoded):
        return np.empty(0), column
    return told[encoded.indices.to_numpy(zero_copy_only=False)], column


def _present_in_any(
    found: Float[np.ndarray, " scan"], told: Float[np.ndarray, " scan"]
) -> Float[np.ndarray, " scan"]:
    return np.where((found == 1) | (told == 1), 1.0, found + told)


def _fault(name: str, cell: object, scan_id: str, count: int) -> str:
    shown = tell_cell(str(cell).strip(), WORDS)
    more = f", and {count - 1} more are no label" if count > 1 else ""
    return f"label {name!r}: scan {scan_id!r} has {shown}{more}"
