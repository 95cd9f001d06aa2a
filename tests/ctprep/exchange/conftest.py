"""A small corpus for each test."""

from pathlib import Path

import pytest

from tests.corpora import write_corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Folder of a store and its tables."""
    return write_corpus(tmp_path)
