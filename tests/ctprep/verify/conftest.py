"""Stores to verify, and copies of them to damage."""

import shutil
from pathlib import Path

import pytest

from ctprep.compress import compress_store
from ctprep.ingest import ingest
from tests.ctprep.verify.damage import KEY


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny, tiny_grid) -> Path:
    """A source of three scans, its hi-fi store and its JPEG store; not to be changed."""
    folder = tmp_path_factory.mktemp("verify")
    for number in range(3):
        tiny.nifti(folder / "source" / f"scan-{number}.nii.gz", number)
    list(ingest(folder / "source", folder / "hifi.zarr", grid=tiny_grid, key=KEY))
    list(compress_store(folder / "hifi.zarr", folder / "jpeg.zarr"))
    return folder


@pytest.fixture
def place(made, tmp_path) -> Path:
    """A copy of everything, to be damaged."""
    return Path(shutil.copytree(made, tmp_path / "made"))
