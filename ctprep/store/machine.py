"""What the machine lends this process."""

import os


def count_cores() -> int:
    """Tell how many cores this process may use; a job of a scheduler has fewer than the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
