"""How much memory something takes, held to a limit that no other test notices."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

GIB = 1 << 30


@contextmanager
def bounded(most_bytes: int) -> Iterator[None]:
    """Fail where more resident memory is taken meanwhile; a gibibyte more is never given.

    Args:
        most_bytes: that may be taken beyond what is in use.
    """
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the peak of memory is only told by Linux")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    # Writing 5 starts the peak anew: proc(5), /proc/pid/clear_refs.
    Path("/proc/self/clear_refs").write_text("5")
    before = status_bytes("VmHWM")
    resource.setrlimit(resource.RLIMIT_AS, (status_bytes("VmSize") + most_bytes + GIB, hard))
    try:
        yield
        taken = status_bytes("VmHWM") - before
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert taken <= most_bytes, f"{taken >> 20} MiB were taken"


def status_bytes(key: str) -> int:
    """Read a number of bytes that the system tells of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) << 10
    raise KeyError(key)
