"""Tiny stores and tokenizers for everything that trains or scores."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from ctprep.store.store import VolumeStore

from ctprep.store.attributes import (
    LUNG,
    Grid,
    HuDecision,
    Kind,
    OriginalGeometry,
    StoreAttributes,
    VolumeAttributes,
)

MakeStore = Callable[..., VolumeStore]

UNIT = ((1.0, 0, 0, 0), (0, 1.0, 0, 0), (0, 0, 1.0, 0), (0, 0, 0, 1.0))
SHAPE = (8, 16, 24)


def volume_attributes(scan_id: str, patient_id: str) -> VolumeAttributes:
    """Attributes of a made-up scan."""
    return VolumeAttributes(
        scan_id=scan_id,
        patient_id=patient_id,
        source_format="nifti",
        source_sha256=("0" * 64,),
        original=OriginalGeometry(
            shape=SHAPE, spacing_mm=(1.0, 1.0, 1.0), affine_ras=UNIT, axis_codes="SPL"
        ),
        affine_ras=UNIT,
        hu=HuDecision(policy="already", decision="already", slope=1, intercept=0, reason="made up"),
    )


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    """Build a store of random volumes: `make_store(kind, scan_ids, shape=..., name=...)`."""

    def make(
        kind: Kind,
        scan_ids: Sequence[str],
        *,
        shape: tuple[int, int, int] = SHAPE,
        name: str | None = None,
    ) -> VolumeStore:
        is_jpeg = kind == "jpeg"
        attributes = StoreAttributes(
            kind=kind,
            grid=Grid(name="tiny", spacing_mm=(1.5, 0.75, 0.75), shape=shape),
            window=LUNG if is_jpeg else None,
            quality=90 if is_jpeg else None,
            encode_at="resampled" if is_jpeg else None,
        )
        store = VolumeStore.create(tmp_path / (name or f"{kind}.zarr"), attributes)
        for number, scan_id in enumerate(scan_ids):
            random = np.random.default_rng(number)
            voxels = (
                random.integers(0, 256, shape, dtype=np.uint8)
                if is_jpeg
                else random.integers(-1024, 3072, shape, dtype=np.int16)
            )
            store.write(scan_id, voxels, volume_attributes(scan_id, f"p-{scan_id}"))
        return store

    return make
