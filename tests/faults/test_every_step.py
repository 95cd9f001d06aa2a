"""Killed or failing at any step on the disk, a run leaves no half volume; a rerun mends all."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REFUSED_BY_DISK = 10


def sweep(work: Path, verb: str, action: str, stride: int) -> list[dict]:
    """Disturb every so many steps; the last row is of a run that had no more of them."""
    command = [sys.executable, "-m", "tests.faults.steps", str(work), verb, action, str(stride)]
    told = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert told.returncode == 0, told.stderr
    rows = [json.loads(line) for line in told.stdout.splitlines()]
    assert rows, told.stderr
    assert all(row["after"] == 0 and row["equal"] for row in rows), (rows, told.stderr)
    assert not any(row["beside"] for row in rows), rows
    return rows


def check(rows: list[dict], action: str) -> None:
    """Each disturbed run ended as it must, and the last was not disturbed."""
    expected = -signal.SIGKILL if action == "kill" else REFUSED_BY_DISK

    assert [row["status"] for row in rows] == [*[expected] * (len(rows) - 1), 0]


@pytest.mark.parametrize(("verb", "action"), [("ingest", "kill"), ("compress", "ENOSPC")])
def test_some_steps(tmp_path, verb, action) -> None:
    """A few steps of a run: the store afterwards, and after a rerun, byte for byte."""
    rows = sweep(tmp_path, verb, action, 19)

    assert len(rows) > 2
    check(rows, action)


@pytest.mark.slow
@pytest.mark.parametrize("action", ["kill", "ENOSPC", "EROFS", "EACCES", "EIO"])
@pytest.mark.parametrize("verb", ["ingest", "compress"])
def test_every_step(tmp_path, verb, action) -> None:
    """Every single step of a run that makes, and of one that replaces volumes."""
    rows = sweep(tmp_path, verb, action, 1)

    assert len(rows) > 40
    check(rows, action)
