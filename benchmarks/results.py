"""Where a benchmark's table goes: to the terminal, and into a file named by subject and machine."""

import os
import platform
import re
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil

VENDOR_OR_MEMORY = re.compile(r"nvidia|\d+gb|hbm\w*")


def publish(
    subject: str, lines: Sequence[str], folder: Path, *, accelerator: str | None = None
) -> None:
    """Print a table and write it as `<subject>_<hardware>_<date>.md`.

    Args:
        subject: what was measured.
        lines: of the file.
        folder: which is there already.
        accelerator: name of the card that computed; without one the processor is named.
    """
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    hardware = processor_slug() if accelerator is None else accelerator_slug(accelerator)
    (folder / f"{subject}_{hardware}_{datetime.now(UTC).date()}.md").write_text(text)


def processor_slug() -> str:
    """Name the cores and the machine as a file name does."""
    machine = "x86" if platform.machine() == "x86_64" else platform.machine()
    return f"{os.cpu_count()}-core-{machine}"


def accelerator_slug(name: str) -> str:
    """Name a card as a file name does, without its vendor and its memory.

    Args:
        name: as the driver has it, such as `NVIDIA H100 80GB HBM3`.

    Returns:
        Such as `h100`.
    """
    words = re.findall(r"[a-z0-9]+", name.lower())
    return "-".join(word for word in words if not VENDOR_OR_MEMORY.fullmatch(word))


def cpu_s() -> float:
    """Tell the processor time of this process and of the helpers that it keeps, in seconds."""
    times = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    helpers: float = sum(spent.user + spent.system for spent in times)
    return time.process_time() + helpers
