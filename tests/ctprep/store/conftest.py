"""Small stores for the tests of the store."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ctprep.store.attributes import Grid, Kind, StoreAttributes, VolumeAttributes
from ctprep.store.store import VolumeStore
from tests.stores import smooth_voxels, store_attributes, volume_attributes

SHAPE = (16, 24, 20)


def grid_of(shape: tuple[int, int, int]) -> Grid:
    """A grid of the spacing that all these stores have."""
    return Grid(name="small", spacing_mm=(1.5, 0.75, 0.75), shape=shape)


class Bench:
    """Makes attributes, voxels and stores."""

    @staticmethod
    def store_attributes(
        kind: Kind, shape: tuple[int, int, int] = SHAPE, quality: int = 90
    ) -> StoreAttributes:
        """Attributes of a store of a small grid."""
        return store_attributes(kind, grid_of(shape), quality)

    @staticmethod
    def volume_attributes(scan_id: str) -> VolumeAttributes:
        """Attributes of a made-up scan."""
        return volume_attributes(scan_id, grid_of(SHAPE))

    @staticmethod
    def voxels(kind: Kind, shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> np.ndarray:
        """Smooth voxels with noise."""
        return smooth_voxels(kind, shape, seed)


@pytest.fixture
def bench() -> Bench:
    """What makes attributes and voxels."""
    return Bench()


@pytest.fixture
def make_small_store(tmp_path: Path) -> Callable[..., VolumeStore]:
    """Make a store with volumes: `make_small_store(kind, *scan_ids)`."""

    def make(kind: Kind, *scan_ids: str, shape: tuple[int, int, int] = SHAPE) -> VolumeStore:
        store = VolumeStore.create(tmp_path / f"{kind}.zarr", Bench.store_attributes(kind, shape))
        for seed, scan_id in enumerate(scan_ids):
            voxels = Bench.voxels(kind, shape, seed)
            store.write(scan_id, voxels, Bench.volume_attributes(scan_id))
        return store

    return make
