"""Where a benchmark's table goes: to the terminal, and into a file named by subject and machine."""

import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path


def publish(subject: str, lines: Sequence[str], folder: Path) -> None:
    """Print a table and write it as `<subject>_<cores>-core-<machine>_<date>.md`."""
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    machine = "x86" if platform.machine() == "x86_64" else platform.machine()
    name = f"{subject}_{os.cpu_count()}-core-{machine}_{datetime.now(UTC).date()}.md"
    (folder / name).write_text(text)
