"""Grids by name, or from a TOML file of the user's own."""

import tomllib
from pathlib import Path

from ctprep.store.attributes import GRIDS, Grid
from ctprep.store.errors import TableError


def load_grid(name_or_path: str) -> Grid:
    """Find a grid.

    Args:
        name_or_path: a name in `GRIDS`, or a TOML file with `name`, `spacing_mm` and `shape`, the
            latter two in the order slice, row, column.

    Returns:
        The grid; spacing in mm.

    Raises:
        TableError: no grid of that name, no such file, or the file says something else.
    """
    if name_or_path in GRIDS:
        return GRIDS[name_or_path]
    path = Path(name_or_path)
    if not path.is_file():
        raise TableError(
            f"no grid is called {name_or_path!r}, and no file either",
            mend=f"use one of {', '.join(GRIDS)}, or a TOML file with name, spacing_mm and shape",
        )
    try:
        grid = Grid.model_validate(tomllib.loads(path.read_text()))
    except (ValueError, RecursionError) as error:
        raise TableError(
            f"the grid cannot be read: {str(error).splitlines()[0]}",
            mend="write name = '...', spacing_mm = [mm, mm, mm] and shape = [n, n, n]",
            where=path.name,
        ) from error
    if min(grid.spacing_mm) <= 0 or min(grid.shape) <= 0:
        raise TableError(
            f"spacing {grid.spacing_mm} and shape {grid.shape} must be positive",
            mend="give spacing in mm and shape in voxels, in the order slice, row, column",
            where=path.name,
        )
    return grid
