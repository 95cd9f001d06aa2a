"""Errors are three lines and an exit code; bugs keep their traceback."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cli import ctlite, ctprep
from cli.errors import mendable
from ctprep.store.errors import CtError, located

runner = CliRunner()


def test_a_mendable_error_prints_what_where_and_how(capsys: pytest.CaptureFixture[str]) -> None:
    """The three lines in their order, and exit code 1."""
    with pytest.raises(typer.Exit) as left, mendable(), located("scan_7"):
        raise CtError("1 of 8 voxels is not finite", mend="export the scan again")

    assert left.value.exit_code == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: 1 of 8 voxels is not finite",
        "  where: scan_7",
        "  mend:  export the scan again",
    ]


def test_a_bug_keeps_its_traceback() -> None:
    """Only what a user can mend is caught."""
    with pytest.raises(ZeroDivisionError), mendable():
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("app", "arguments", "told"),
    [
        (ctprep.app, ["ingest", "{tmp}/absent", "{tmp}/s.zarr"], "absent"),
        (ctprep.app, ["ingest", "{tmp}", "{tmp}/s.zarr", "--grid", "ct-clop"], "ct-clop"),
        (ctprep.app, ["compress", "{tmp}/absent.zarr", "{tmp}/s.zarr"], "absent.zarr"),
        (ctprep.app, ["filter-reports", "{tmp}/absent.csv", "{tmp}/r.parquet"], "absent.csv"),
        (ctlite.app, ["train", "no-such-recipe"], "no-such-recipe"),
        (ctlite.app, ["compare", "{tmp}/absent"], "absent"),
    ],
)
def test_what_is_not_there_is_named(
    app: typer.Typer, arguments: list[str], told: str, tmp_path: Path
) -> None:
    """Every verb answers missing input with a named, mendable error."""
    result = runner.invoke(app, [part.format(tmp=tmp_path) for part in arguments])

    assert result.exit_code == 1, result.output
    assert "error:" in result.output
    assert told in result.output
    assert "mend:" in result.output
