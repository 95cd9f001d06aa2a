"""Stores of synthetic chests, for benchmarks of what reads them."""

from pathlib import Path

from jaxtyping import Int16
from numpy import ndarray

from ctprep.phantom.patient import draw_patient
from ctprep.phantom.render import render_hu
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

QUALITY = 90
UNIT = ((1.0, 0, 0, 0), (0, 1.0, 0, 0), (0, 0, 1.0, 0), (0, 0, 0, 1.0))


def create_store(path: Path, grid: Grid, kind: Kind) -> VolumeStore:
    """Make an empty store, with the lung window and quality 90 where it is of gray levels."""
    attributes = (
        StoreAttributes(kind=kind, grid=grid)
        if kind == "hifi"
        else StoreAttributes(
            kind=kind, grid=grid, window=LUNG, quality=QUALITY, encode_at="resampled"
        )
    )
    return VolumeStore.create(path, attributes)


def draw_hu(grid: Grid, seed: int) -> Int16[ndarray, "slice row column"]:
    """Render a chest on a grid."""
    return render_hu(draw_patient(0, seed), grid.spacing_mm, grid.shape)


def describe(scan_id: str, grid: Grid) -> VolumeAttributes:
    """Give the attributes of a volume that is its own original."""
    return VolumeAttributes(
        scan_id=scan_id,
        patient_id=scan_id,
        source_format="phantom",
        source_sha256=("0" * 64,),
        original=OriginalGeometry(
            shape=grid.shape, spacing_mm=grid.spacing_mm, affine_ras=UNIT, axis_codes="SPL"
        ),
        affine_ras=UNIT,
        hu=HuDecision(policy="already", decision="already", slope=1, intercept=0, reason="made"),
    )
