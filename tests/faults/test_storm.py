"""Real commands killed at random instants; `CTLITE_KILLS` asks for a longer storm."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_storm_of_kills() -> None:
    """Coordinators and workers of ingest and compress; each rerun equals an unbroken run."""
    kills = os.environ.get("CTLITE_KILLS", "6")
    command = [sys.executable, "-m", "tests.faults.storm", "--kills", kills]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)

    assert done.returncode == 0, done.stderr
    assert "every rerun equals an unbroken run" in done.stdout
