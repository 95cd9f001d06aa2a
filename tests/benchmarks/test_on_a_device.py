"""Benchmarks that also run on a GPU come to an end on a processor, at a size for tests."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


def run(script: str, out: Path, *options: str) -> str:
    command = [sys.executable, FOLDER / script, "--out", out, "--device", "cpu", *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=FOLDER.parent)
    (table,) = out.iterdir()
    return table.read_text()


@pytest.mark.slow
def test_feed_measures_both_kinds_of_batches(tmp_path):
    """A row a question, with a figure for gray levels and one for both stores."""
    sizes = ("--batch", "2", "--volumes", "4", "--steps", "2", "--threads", "2")
    text = run("feed.py", tmp_path, "--geometry", "tiny", *sizes)

    table = [line.split("|") for line in text.splitlines() if line.startswith("|")]
    rows = {cells[1].strip(): cells[2:4] for cells in table}
    assert all(float(cell) > 0 for cell in rows["both together, volumes/s"])
    waiting = rows["share of the time that the step waits for data"]
    assert all(0 <= float(cell.strip(" %")) <= 100 for cell in waiting)


@pytest.mark.slow
@pytest.mark.parametrize("script", ["step.py", "head.py"])
def test_both_precisions_are_measured(tmp_path, script):
    """The file says which it was; float32, that of all tables so far, is not named."""
    sizes = ("--geometry", "tiny") if script == "step.py" else ("--blocks", "2")
    run(script, tmp_path, "--precision", "bf16", "--rounds", "1", *sizes)

    (table,) = tmp_path.iterdir()
    assert "bf16" in table.name
    assert "bf16" in table.read_text()
