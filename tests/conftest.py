"""What every test may ask for: the shared real data, where it is there."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real scans and reports; skips where it is absent."""
    folder = Path(os.environ.get("CTLITE_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("real scans are not here; set CTLITE_TEST_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of reference vectors."""
    return Path(__file__).parent / "golden"
