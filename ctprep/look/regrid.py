"""From the store's grid back onto the grid of the source, every voxel where it was."""

import numpy as np
from jaxtyping import Float64, Shaped

from ctprep.affines import compose, invert
from ctprep.oblique import resample_linear
from ctprep.store.attributes import VolumeAttributes


def to_original(
    voxels: Shaped[np.ndarray, "slice row column"], attributes: VolumeAttributes, *, fill: int
) -> tuple[Shaped[np.ndarray, "old_slice old_row old_column"], Float64[np.ndarray, "4 4"]]:
    """Resample a stored volume onto the sampling that its source had.

    Ingest is undone as far as it can be: what its grid was too coarse for stays lost, and so does
    what it cropped.

    Args:
        voxels: of the volume, on the grid of its store.
        attributes: of the volume.
        fill: value where the store holds nothing of the scan.

    Returns:
        Voxels on the source's grid, in its orientation, and its affine: index to RAS+ mm.
    """
    original_ras = np.array(attributes.original.affine_ras)
    index_map = compose(invert(np.array(attributes.affine_ras)), original_ras)
    inside = attributes.content or tuple((0, length) for length in voxels.shape)
    # Padding must not blend into the outermost voxels of the scan.
    scan = voxels[tuple(slice(begin, end) for begin, end in inside)]
    index_map[:3, 3] -= [begin for begin, _ in inside]
    return resample_linear(scan, index_map, attributes.original.shape, fill=fill), original_ras
