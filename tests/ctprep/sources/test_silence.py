"""What a library prints past Python goes nowhere, and what comes after it is heard again."""

import os
from pathlib import Path

import pytest

from ctprep.sources.silence import silenced


def test_nothing_comes_through_until_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    """On both streams, also where reading fails."""
    before = _open_files()
    with pytest.raises(RuntimeError), silenced():  # noqa: PT012
        os.write(1, b"Doe^Jane")
        os.write(2, b"Doe^Jane")
        raise RuntimeError
    os.write(1, b"out")
    os.write(2, b"err")

    assert tuple(capfd.readouterr()) == ("out", "err")
    assert _open_files() == before


def _open_files() -> int | None:
    descriptors = Path("/proc/self/fd")
    return len(list(descriptors.iterdir())) if descriptors.is_dir() else None
