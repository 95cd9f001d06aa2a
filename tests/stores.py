"""Small stores of made-up scans, for the tests of the store and for the fuzzer."""

import numpy as np

from ctprep.store.attributes import (
    LUNG,
    Affine,
    Grid,
    HuDecision,
    Kind,
    OriginalGeometry,
    StoreAttributes,
    VolumeAttributes,
)

Shape = tuple[int, int, int]


def store_attributes(kind: Kind, grid: Grid, quality: int = 90) -> StoreAttributes:
    """Attributes of a store of a grid."""
    is_jpeg = kind == "jpeg"
    return StoreAttributes(
        kind=kind,
        grid=grid,
        window=LUNG if is_jpeg else None,
        quality=quality if is_jpeg else None,
        encode_at="resampled" if is_jpeg else None,
    )


def spl_affine(grid: Grid) -> Affine:
    """Affine of a grid: slices to the head, rows to the back, columns to the left."""
    slice_mm, row_mm, column_mm = grid.spacing_mm
    return ((0, 0, -column_mm, 90), (0, -row_mm, 0, 80), (slice_mm, 0, 0, -300), (0, 0, 0, 1))


def volume_attributes(scan_id: str, grid: Grid) -> VolumeAttributes:
    """Attributes of a made-up scan."""
    affine = spl_affine(grid)
    return VolumeAttributes(
        scan_id=scan_id,
        patient_id=f"patient-of-{scan_id}",
        source_format="nifti",
        source_sha256=("0" * 64,),
        original=OriginalGeometry(
            shape=(8, 9, 10), spacing_mm=(3.0, 0.8, 0.8), affine_ras=affine, axis_codes="SPL"
        ),
        affine_ras=affine,
        hu=HuDecision(
            policy="auto", decision="rescaled", slope=1, intercept=-1024, reason="made up"
        ),
        acquisition={"ConvolutionKernel": "B30f", "KVP": 120.0},
    )


def smooth_voxels(kind: Kind, shape: Shape, seed: int = 0) -> np.ndarray:
    """Smooth voxels with noise."""
    random = np.random.default_rng(seed)
    z, y, x = np.indices(shape)
    wave = 90 * np.sin(z / 5 + y / 7 + x / 9 + seed) + random.normal(0, 8, shape) + 120
    if kind == "jpeg":
        return np.clip(wave, 0, 255).astype(np.uint8)
    return (wave * 10 - 1024).astype(np.int16)
