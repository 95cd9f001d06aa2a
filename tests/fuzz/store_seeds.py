"""Tiny stores of both kinds."""

import json
from pathlib import Path

import numpy as np

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

GRID = Grid(name="tiny", spacing_mm=(4.0, 4.0, 4.0), shape=(16, 24, 24))
AFFINE = ((0.0, 0, -4, 90), (0, -4, 0, 80), (4, 0, 0, -300), (0, 0, 0, 1))
SCAN_ID = "scan_1"
ARRAY = f"{SCAN_ID}/0/zarr.json"
SHARD = f"{SCAN_ID}/0/c/0/0/0"
VOLUME = f"{SCAN_ID}/zarr.json"


def make_store(path: Path, kind: Kind) -> VolumeStore:
    """Make a store with one volume, whose chunks have no checksums: they reach the decoders."""
    is_jpeg = kind == "jpeg"
    attributes = StoreAttributes(
        kind=kind,
        grid=GRID,
        window=LUNG if is_jpeg else None,
        quality=90 if is_jpeg else None,
        encode_at="resampled" if is_jpeg else None,
    )
    store = VolumeStore.create(path, attributes)
    z, y, x = np.indices(GRID.shape)
    wave = 90 * np.sin(z / 5 + y / 7 + x / 9) + 120
    voxels = wave.astype(np.uint8) if is_jpeg else (wave * 10 - 1024).astype(np.int16)
    store.write(SCAN_ID, voxels, _volume_attributes())
    store.write_catalog()
    document = json.loads((path / ARRAY).read_bytes())
    document["attributes"] = {}
    (path / ARRAY).write_text(json.dumps(document))
    return store


def _volume_attributes() -> VolumeAttributes:
    return VolumeAttributes(
        scan_id=SCAN_ID,
        patient_id="patient",
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
