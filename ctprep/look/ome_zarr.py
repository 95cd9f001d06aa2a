"""A volume as a plain OME-Zarr image: a pyramid that any reader of Zarr v3 opens.

Of the codecs only `bytes` and `blosc` are used, which zarr brings.
"""

import numpy as np
import zarr
from jaxtyping import Int16, Shaped, UInt8
from zarr.codecs import BloscCodec
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore

from ctprep.store.attributes import LUNG, STORED_ORIENTATION, StoreAttributes, VolumeAttributes
from ctprep.store.layout import DTYPE, FILL_VALUE, origin_mm, spatial_axes

CHUNK = (32, 256, 256)
SMALLEST_SIDE = 64
"""Levels are added until both sides of a slice are shorter."""
Voxels = Int16[np.ndarray, "slice row column"] | UInt8[np.ndarray, "slice row column"]


def encode_image(
    voxels: Voxels, attributes: VolumeAttributes, store: StoreAttributes
) -> dict[str, bytes]:
    """Write a stored volume as the files of an OME-Zarr image.

    Args:
        voxels: of the volume, on the grid of its store.
        attributes: of the volume.
        store: attributes of the store it is in.

    Returns:
        Content by path relative to the image's folder.

    Source:
        OME-Zarr 0.5, "multiscales" and "omero"; RFC-4, axis orientation.
    """
    levels = build_pyramid(voxels)
    entries: dict[str, Buffer] = {}
    ome = {
        "version": "0.5",
        "multiscales": [
            {
                "name": attributes.scan_id,
                "axes": spatial_axes(STORED_ORIENTATION),
                "datasets": [_dataset(n, attributes, store) for n in range(len(levels))],
                "type": "mean of 2 x 2 pixels in each slice",
            }
        ],
        "omero": _display(store),
    }
    group = zarr.create_group(MemoryStore(entries), attributes={"ome": ome})
    for number, level in enumerate(levels):
        chunks = tuple(min(pair) for pair in zip(CHUNK, level.shape, strict=True))
        array = group.create_array(
            str(number),
            shape=level.shape,
            dtype=DTYPE[store.kind],
            chunks=chunks,
            compressors=BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
            fill_value=FILL_VALUE[store.kind],
            dimension_names=("z", "y", "x"),
        )
        array[:] = level
    return {path: buffer.to_bytes() for path, buffer in entries.items()}


def build_pyramid(voxels: Voxels) -> list[Shaped[np.ndarray, "slice _ _"]]:
    """Halve the rows and columns of a volume again and again; slices, the coarser axis, stay.

    Args:
        voxels: the finest level.

    Returns:
        All levels, finest first; at least one.
    """
    levels = [voxels]
    while max(levels[-1].shape[1:]) >= SMALLEST_SIDE:
        levels.append(_halve(levels[-1]))
    return levels


def _halve(
    voxels: Shaped[np.ndarray, "slice row column"],
) -> Shaped[np.ndarray, "slice half_row half_column"]:
    slices, rows, columns = voxels.shape
    halved = np.empty((slices, -(-rows // 2), -(-columns // 2)), voxels.dtype)
    for plane, half in zip(voxels, halved, strict=True):
        # An odd last row or column is averaged with itself.
        even = np.pad(plane.astype(np.int32), ((0, rows % 2), (0, columns % 2)), "edge")
        total = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
        half[...] = np.rint(total / 4)
    return halved


def _dataset(
    number: int, attributes: VolumeAttributes, store: StoreAttributes
) -> dict[str, object]:
    factors = np.array([1, 2**number, 2**number])
    spacing_mm = np.array(store.grid.spacing_mm)
    # The first coarse voxel is centered on those it was made of.
    shift_mm = (factors - 1) / 2 * spacing_mm
    origin = np.array(origin_mm(attributes.affine_ras, STORED_ORIENTATION)) + shift_mm
    return {
        "path": str(number),
        "coordinateTransformations": [
            {"type": "scale", "scale": (spacing_mm * factors).tolist()},
            {"type": "translation", "translation": origin.tolist()},
        ],
    }


def _display(store: StoreAttributes) -> dict[str, object]:
    if store.kind == "jpeg":
        label, limits, shown = "gray", (0, 255), (0.0, 255.0)
    else:
        half = LUNG.width_hu / 2
        label, limits = "HU", store.hu_range
        shown = (LUNG.center_hu - half, LUNG.center_hu + half)
    window = {"min": limits[0], "max": limits[1], "start": shown[0], "end": shown[1]}
    channel = {"active": True, "color": "FFFFFF", "label": label, "window": window}
    return {"channels": [channel], "rdefs": {"model": "greyscale"}}
