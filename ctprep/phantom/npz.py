"""Volumes to RAD-ChestCT's NPZ, byte for byte the same every time."""

import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Int16

NPZ_SPACING_MM = 0.8
"""RAD-ChestCT is 0.8 mm isotropic by definition; the files do not say so."""


def write_npz(path: Path, ct: Int16[np.ndarray, "slice row column"]) -> None:
    """Write a volume as RAD-ChestCT does: one array `ct`, nothing about its geometry.

    Args:
        path: ends in `.npz`.
        ct: HU at 0.8 mm, slices run down, rows to the back, columns to the left.
    """
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        # An entry opened by its name is dated 1980, so equal volumes give equal bytes.
        archive.open("ct.npy", "w") as file,
    ):
        np.lib.format.write_array(file, ct, allow_pickle=False)
