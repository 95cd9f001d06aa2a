"""Paths that cannot be meant are told in three lines, and nothing is written."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.ctprep import app


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A source without scans, a file, a table of one report, and what looks like a store."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "notes.txt").write_text("no scan")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "reports.csv").write_text(
        "scan_id,findings,impression\nscan-1,Emphysema is seen.,\n"
    )
    (tmp_path / "made.zarr").mkdir()
    (tmp_path / "made.zarr" / "zarr.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("ingest {0}/source {0}/file", "a file is in the way"),
        ("ingest {0}/source {0}/made.zarr/in.zarr", "inside another store"),
        ("ingest {0}/source {0}/made.zarr/in.zarr --dry-run", "inside another store"),
        ("ingest {0}/made.zarr {0}/other.zarr", "it is a store, and no source"),
        ("compress {0}/hifi.zarr {0}/made.zarr/in.zarr", "inside another store"),
        ("phantom {0}/file --patients 3 --workers 1", "a file is in the way"),
        ("filter-reports {0}/reports.csv {0}/file/table.parquet", "a file is in the way"),
        ("verify {0}/source", "there is no store here"),
    ],
)
def test_what_cannot_be_meant_is_told(folder: Path, arguments: str, told: str) -> None:
    """What, where and how to mend; not even a key is left behind."""
    before = sorted(folder.rglob("*"))

    done = CliRunner().invoke(app, arguments.format(folder).split())

    assert done.exit_code == 1, done.output
    assert told in done.output
    assert [line[:9] for line in done.output.splitlines()[1:]] == ["  where: ", "  mend:  "]
    assert sorted(folder.rglob("*")) == before


def test_an_unknown_hu_rule_is_wrong_usage(folder: Path) -> None:
    """Told once before anything is read, and not as a refusal of every scan."""
    done = CliRunner().invoke(app, ["ingest", f"{folder}/source", f"{folder}/s.zarr", "--hu", "no"])

    assert done.exit_code == 2
    assert not (folder / "s.zarr").exists()
