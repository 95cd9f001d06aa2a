"""Where a benchmark's table goes: to the terminal, and into a file named by subject and machine."""

import os
import platform
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil


def publish(subject: str, lines: Sequence[str], folder: Path) -> None:
    """Print a table and write it as `<subject>_<cores>-core-<machine>_<date>.md`."""
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    machine = "x86" if platform.machine() == "x86_64" else platform.machine()
    name = f"{subject}_{os.cpu_count()}-core-{machine}_{datetime.now(UTC).date()}.md"
    (folder / name).write_text(text)


def cpu_s() -> float:
    """Tell the processor time of this process and of the helpers that it keeps, in seconds."""
    times = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return time.process_time() + sum(spent.user + spent.system for spent in times)
