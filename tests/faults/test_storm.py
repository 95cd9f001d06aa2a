"""Real commands killed at random instants; `CTLITE_KILLS` asks for a longer storm."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

STORM = Path(__file__).with_name("storm.py")


@pytest.mark.slow
def test_a_storm_of_kills() -> None:
    """Coordinators and workers of ingest and compress; each rerun equals an unbroken run."""
    kills = os.environ.get("CTLITE_KILLS", "6")
    done = subprocess.run(
        [sys.executable, str(STORM), "--kills", kills], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "every rerun equals an unbroken run" in done.stdout
