"""What is remembered of a source: its sampling, and the hash of its file."""

import numpy as np
from jaxtyping import Float64, Int16

from ctprep.sources.source import Found, Read
from ctprep.store.attributes import HuDecision, OriginalGeometry
from ctprep.volume import Volume

GRID_BYTES = 160_000_000
"""The resampled volume and its work arrays, on the default grid."""


def original_geometry(volume: Volume) -> OriginalGeometry:
    """Describe the sampling of a volume as it was read, so that it can be undone."""
    slices, rows, columns = volume.hu.shape
    return OriginalGeometry(
        shape=(slices, rows, columns),
        spacing_mm=volume.spacing_mm,
        affine_ras=volume.affine_ras.tolist(),
        axis_codes=volume.axis_codes,
    )


def geometry_of(
    shape: tuple[int, int, int], affine_ras: Float64[np.ndarray, "4 4"]
) -> OriginalGeometry:
    """Describe the sampling of a volume whose voxels are not read yet.

    Args:
        shape: slices, rows and columns.
        affine_ras: array index to RAS+ mm.
    """
    return original_geometry(Volume(np.broadcast_to(np.int16(0), shape), affine_ras))


def read_of_file(
    found: Found,
    hu: Int16[np.ndarray, "slice row column"],
    affine_ras: Float64[np.ndarray, "4 4"],
    decision: HuDecision,
) -> Read:
    """Put together what was read from one file that tells nothing of the acquisition.

    Args:
        found: the file.
        hu: its voxels.
        affine_ras: array index to RAS+ mm.
        decision: how they became HU.
    """
    volume = Volume(hu=hu, affine_ras=affine_ras)
    return Read(
        volume=volume,
        hu=decision,
        original=original_geometry(volume),
        acquisition={},
        # Its second reading: `fingerprints.unchanging` holds it to the bytes of the first.
        source_sha256=(found.paths[0].sha256(),),
        mends=found.mends,
    )


def peak_bytes(voxels: int, bytes_a_voxel: int) -> int:
    """Estimate the memory to read and resample a volume.

    Args:
        voxels: of the source.
        bytes_a_voxel: of the array as it is stored; HU takes two more.
    """
    return voxels * (bytes_a_voxel + 2) + GRID_BYTES
