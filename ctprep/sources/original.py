"""What is remembered of a source's sampling."""

from ctprep.store.attributes import OriginalGeometry
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


def peak_bytes(voxels: int, bytes_a_voxel: int) -> int:
    """Estimate the memory to read and resample a volume.

    Args:
        voxels: of the source.
        bytes_a_voxel: of the array as it is stored; HU takes two more.
    """
    return voxels * (bytes_a_voxel + 2) + GRID_BYTES
