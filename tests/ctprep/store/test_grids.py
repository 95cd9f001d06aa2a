"""Grids come by name or from a user's file, and a wrong one is told."""

from pathlib import Path

import pytest

from ctprep.store.errors import TableError
from ctprep.store.grids import load_grid


def test_the_reference_grid() -> None:
    """CT-CLIP's grid: 1.5 x 0.75 x 0.75 mm, 240 x 480 x 480."""
    grid = load_grid("ct-clip")

    assert grid.spacing_mm == (1.5, 0.75, 0.75)
    assert grid.shape == (240, 480, 480)


def test_a_grid_of_ones_own(tmp_path: Path) -> None:
    """A TOML file with three keys is a grid."""
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nspacing_mm = [2, 1, 1]\nshape = [8, 16, 24]\n')

    assert load_grid(str(path)).shape == (8, 16, 24)


@pytest.mark.parametrize(
    "text",
    [
        'name = "mine"\nspacing_mm = [2, 1]\nshape = [8, 16, 24]\n',
        'name = "mine"\nspacing_mm = [2, 1, 0]\nshape = [8, 16, 24]\n',
        'name = "mine"\nspacing = [2, 1, 1]\nshape = [8, 16, 24]\n',
        "name = mine",
    ],
)
def test_a_wrong_file_is_told(tmp_path: Path, text: str) -> None:
    """Missing axes, zero spacing, unknown keys and broken TOML name the file."""
    path = tmp_path / "mine.toml"
    path.write_text(text)

    with pytest.raises(TableError) as caught:
        load_grid(str(path))

    assert caught.value.where == "mine.toml"


def test_an_unknown_name_lists_the_known() -> None:
    """The mend names what there is."""
    with pytest.raises(TableError, match="isotropic-2mm"):
        load_grid("isotropic-3mm")
