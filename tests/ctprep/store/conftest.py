"""Small stores for the tests of the store."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ctprep.store.attributes import (
    LUNG,
    Grid,
    HuDecision,
    Kind,
    OriginalGeometry,
    StoreAttributes,
    VolumeAttributes,
)
from ctprep.store.store import VolumeStore

SHAPE = (16, 24, 20)
AFFINE = ((0.0, 0, -0.75, 90), (0, -0.75, 0, 80), (1.5, 0, 0, -300), (0, 0, 0, 1))
"""SPL: slices to the head, rows to the back, columns to the left."""


class Bench:
    """Makes attributes, voxels and stores."""

    @staticmethod
    def store_attributes(
        kind: Kind, shape: tuple[int, int, int] = SHAPE, quality: int = 90
    ) -> StoreAttributes:
        """Attributes of a store of a small grid."""
        is_jpeg = kind == "jpeg"
        return StoreAttributes(
            kind=kind,
            grid=Grid(name="small", spacing_mm=(1.5, 0.75, 0.75), shape=shape),
            window=LUNG if is_jpeg else None,
            quality=quality if is_jpeg else None,
            encode_at="resampled" if is_jpeg else None,
        )

    @staticmethod
    def volume_attributes(scan_id: str) -> VolumeAttributes:
        """Attributes of a made-up scan."""
        return VolumeAttributes(
            scan_id=scan_id,
            patient_id=f"patient-of-{scan_id}",
            source_format="nifti",
            source_sha256=("0" * 64,),
            original=OriginalGeometry(
                shape=(8, 9, 10), spacing_mm=(3.0, 0.8, 0.8), affine_ras=AFFINE, axis_codes="SPL"
            ),
            affine_ras=AFFINE,
            hu=HuDecision(
                policy="auto", decision="rescaled", slope=1, intercept=-1024, reason="made up"
            ),
            acquisition={"ConvolutionKernel": "B30f", "KVP": 120.0},
        )

    @staticmethod
    def voxels(kind: Kind, shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> np.ndarray:
        """Smooth voxels with noise."""
        random = np.random.default_rng(seed)
        z, y, x = np.indices(shape)
        wave = 90 * np.sin(z / 5 + y / 7 + x / 9 + seed) + random.normal(0, 8, shape) + 120
        if kind == "jpeg":
            return np.clip(wave, 0, 255).astype(np.uint8)
        return (wave * 10 - 1024).astype(np.int16)


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
