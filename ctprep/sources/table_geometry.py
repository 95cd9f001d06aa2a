"""The geometry of a scan whose spacing a table tells, whether or not its header does."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from ctprep.orientation import affine_of, nearest_world_axes
from ctprep.store.errors import SourceError

TOLERANCE = 0.01
"""Share by which header and table may differ: both are rounded when written."""
BARE = np.eye(4)[:, [2, 1, 0, 3]]
"""What converters write that know no geometry: the identity, as an array of slices sees it."""
AXIS_NAMES = ("slices", "rows", "columns")
AXIAL_AXIS = (2, 1, 0)
"""For the world axes right, anterior and superior: the axis of axial pictures that follows it."""


@dataclass(frozen=True)
class TableGeometry:
    """What a table says of the sampling of a scan.

    Args:
        spacing_mm: between the slices, rows and columns of the axial pictures; None where empty.
        axis_codes: of an array (slice, row, column) whose header tells none; None refuses it.
    """

    spacing_mm: tuple[float | None, float | None, float | None]
    axis_codes: str | None = None


def settle_geometry(
    declared_ras: Float64[np.ndarray, "4 4"] | None,
    table: TableGeometry | None,
    *,
    tolerant: bool,
) -> tuple[Float64[np.ndarray, "4 4"], tuple[str, ...]]:
    """Reconcile the geometry of a header with that of a table.

    Args:
        declared_ras: array index to RAS+ mm, as the header has it; None where it has none.
        table: None where there is no table.
        tolerant: let the table rule where they differ.

    Returns:
        The affine, and what was mended.

    Raises:
        SourceError: `no-orientation` or `no-spacing` when neither tells; `spacing-disagrees`.
    """
    if table is None:
        if declared_ras is None:
            raise _no_orientation()
        return declared_ras, ()
    if declared_ras is None or np.array_equal(declared_ras, BARE):
        return _from_table(table)
    affine_ras = declared_ras.copy()
    differing = []
    for axis, world in enumerate(nearest_world_axes(declared_ras)):
        header_mm = float(np.sqrt((declared_ras[:3, axis] ** 2).sum()))
        table_mm = table.spacing_mm[AXIAL_AXIS[world]]
        if table_mm is not None and abs(header_mm - table_mm) > TOLERANCE * table_mm:
            name = AXIS_NAMES[AXIAL_AXIS[world]]
            differing.append(f"{name} lie {header_mm:.6g} mm apart, not {table_mm:.6g}")
            affine_ras[:3, axis] *= table_mm / header_mm
    if not differing:
        return declared_ras, ()
    what = f"by the header, {', '.join(differing)} as the metadata table says"
    if not tolerant:
        raise SourceError(
            what,
            verdict="spacing-disagrees",
            mend="correct the table or the file; --tolerant lets the table rule",
        )
    return affine_ras, (f"{what}: took the table's",)


def _from_table(table: TableGeometry) -> tuple[Float64[np.ndarray, "4 4"], tuple[str, ...]]:
    if table.axis_codes is None:
        raise _no_orientation()
    slice_mm, row_mm, column_mm = table.spacing_mm
    if slice_mm is None or row_mm is None or column_mm is None:
        raise SourceError(
            "neither the header nor the metadata table tells the whole spacing",
            verdict="no-spacing",
            mend="fill XYSpacing and ZSpacing of its row, or fetch the file with a full header",
        )
    by_world = (column_mm, row_mm, slice_mm)
    worlds = ["RASLPI".index(code) % 3 for code in table.axis_codes]
    first, second, third = (by_world[world] for world in worlds)
    affine_ras = affine_of(table.axis_codes, (first, second, third), (0.0, 0.0, 0.0))
    told = f"{slice_mm:.6g} x {row_mm:.6g} x {column_mm:.6g} mm"
    return affine_ras, (
        f"the header declares no geometry: spacing {told} from the metadata table, "
        f"axes {table.axis_codes} by the rule of the data set",
    )


def _no_orientation() -> SourceError:
    return SourceError(
        "the header declares no orientation, and no data set says which it is",
        verdict="no-orientation",
        mend="name the data set with --dataset, or convert the scan again with its orientation",
    )
