"""Tiny stores of both kinds."""

import json
from pathlib import Path

from ctprep.store.attributes import Grid, Kind
from ctprep.store.store import VolumeStore
from tests.stores import smooth_voxels, store_attributes, volume_attributes

GRID = Grid(name="tiny", spacing_mm=(4.0, 4.0, 4.0), shape=(16, 24, 24))
SCAN_ID = "scan_1"
ARRAY = f"{SCAN_ID}/0/zarr.json"
SHARD = f"{SCAN_ID}/0/c/0/0/0"
VOLUME = f"{SCAN_ID}/zarr.json"


def make_store(path: Path, kind: Kind) -> VolumeStore:
    """Make a store with one volume, whose chunks have no checksums: they reach the decoders."""
    store = VolumeStore.create(path, store_attributes(kind, GRID))
    store.write(SCAN_ID, smooth_voxels(kind, GRID.shape), volume_attributes(SCAN_ID, GRID))
    store.write_catalog()
    document = json.loads((path / ARRAY).read_bytes())
    document["attributes"] = {}
    (path / ARRAY).write_text(json.dumps(document))
    return store
