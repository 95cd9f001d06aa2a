"""What lies where in a store: names, and the metadata documents that describe a volume."""

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from ctprep.store.attributes import PAD_HU, Affine, Grid, Kind, StoreAttributes, VolumeAttributes
from ctprep.store.columns import SCAN_ID_PATTERN
from ctprep.store.errors import StoreError
from ctprep.store.jpeg import LONGEST_SIDE
from ctprep.store.shard import checksum

METADATA = "zarr.json"
CATALOG = "catalog.parquet"
ARRAY = "0"
SHARD = "c/0/0/0"
"""The array's only chunk in zarr's sense, which holds the inner chunks."""

CHUNK_SLICES = 8
OURS = "ctprep"
"""Key of our part in `attributes`."""
ARRAY_CHECKSUM = "ctprep_array_crc32c"
"""Key, beside ours, of the CRC-32C of the array's `zarr.json`, which has those of the chunks."""
TWO_WRITERS = "its attributes and its voxels are of two writers"
"""What is wrong with a volume whose array has another checksum."""
METADATA_CHECKSUM = "ctprep_crc32c"
"""Key of the checksum in `attributes` of a group."""

BLOSC = {"cname": "zstd", "clevel": 3, "shuffle": "bitshuffle", "typesize": 2, "blocksize": 0}
FILL_VALUE: dict[Kind, int] = {"jpeg": 0, "hifi": PAD_HU}
DTYPE: dict[Kind, np.dtype[Any]] = {"jpeg": np.dtype(np.uint8), "hifi": np.dtype("<i2")}

_WORLD = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
"""Axis code -> RAS coordinate, and the sign with which it grows."""
_DIRECTION = {
    "R": "left-to-right",
    "L": "right-to-left",
    "A": "posterior-to-anterior",
    "P": "anterior-to-posterior",
    "S": "inferior-to-superior",
    "I": "superior-to-inferior",
}
_MEND = "the volume was written by something else, or is damaged: make it again"


def check_scan_id(scan_id: str) -> str:
    """Refuse a scan id that could be another file of the store, or lie outside it.

    Raises:
        StoreError: not a slug of `a-z0-9._-`, hidden, or a name that zarr or we keep.
    """
    if not is_scan_id(scan_id):
        raise StoreError(
            f"{scan_id!r} is no scan id",
            mend="use 1 to 128 of a-z, 0-9, '.', '_' and '-', not beginning with '.' or '__'",
        )
    return scan_id


def is_scan_id(name: str) -> bool:
    """Tell whether `check_scan_id` would let a name pass."""
    is_slug = re.fullmatch(SCAN_ID_PATTERN, name) is not None and "\n" not in name
    return is_slug and name not in (METADATA, CATALOG) and not name.startswith("__")


def chunk_slices(shape: tuple[int, int, int]) -> int:
    """Choose the slices of an inner chunk: 8, or the next smaller number that divides the grid.

    Args:
        shape: (slice, row, column) of the grid.

    Raises:
        StoreError: a slice is too large for JPEG.
    """
    slices, rows, columns = shape
    if max(rows, columns) > LONGEST_SIDE:
        raise StoreError(
            f"a grid of shape {shape} has slices too large for JPEG",
            mend=f"choose a grid with at most {LONGEST_SIDE} rows and columns",
        )
    return max(
        count
        for count in range(1, CHUNK_SLICES + 1)
        if slices % count == 0 and count * rows <= LONGEST_SIDE
    )


def group_document(attributes: dict[str, Any]) -> bytes:
    """Write `zarr.json` of a group, with the CRC-32C of what it would be without this checksum.

    `is_unaltered` tells by it whether anything was altered.
    """
    plain = _encode({"zarr_format": 3, "node_type": "group", "attributes": attributes})
    checked = attributes | {METADATA_CHECKSUM: checksum(plain)}
    return _encode({"zarr_format": 3, "node_type": "group", "attributes": checked})


def is_unaltered(data: bytes) -> bool | None:
    """Tell whether a group's `zarr.json` is byte for byte what `group_document` has written.

    Args:
        data: the file.

    Returns:
        None where it is JSON without our checksum, of which nothing is known.
    """
    try:
        attributes = dict(json.loads(data)["attributes"])
        if attributes.pop(METADATA_CHECKSUM, None) is None:
            return None
        return group_document(attributes) == data
    except (KeyError, TypeError, ValueError, RecursionError):
        return False


def is_bound(attributes: dict[str, Any], array: bytes | memoryview) -> bool | None:
    """Tell whether what a volume says about itself was written with its voxels.

    Args:
        attributes: of the volume's `zarr.json`.
        array: `zarr.json` of its array, which has the checksums of the voxels.

    Returns:
        None where an earlier program wrote it, which noted nothing of the array.
    """
    known = attributes.get(ARRAY_CHECKSUM)
    return None if known is None else bool(known == checksum(array))


def _encode(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, allow_nan=False) + "\n").encode()


def volume_document(attributes: VolumeAttributes, store: StoreAttributes, array: bytes) -> bytes:
    """Write `zarr.json` of a volume: an OME-Zarr image, and where it comes from.

    Args:
        attributes: of the volume.
        store: attributes of its store.
        array: `zarr.json` of the array; its checksum binds this document to the voxels.

    Source:
        OME-Zarr 0.5, "multiscales"; RFC-4, axis orientation.
    """
    dataset = {
        "path": ARRAY,
        "coordinateTransformations": [
            {"type": "scale", "scale": list(store.grid.spacing_mm)},
            {
                "type": "translation",
                "translation": origin_mm(attributes.affine_ras, store.orientation),
            },
        ],
    }
    axes = spatial_axes(store.orientation)
    image = {"name": attributes.scan_id, "axes": axes, "datasets": [dataset]}
    return group_document(
        {
            "ome": {"version": "0.5", "multiscales": [image]},
            OURS: attributes.model_dump(mode="json"),
            ARRAY_CHECKSUM: checksum(array),
        }
    )


def spatial_axes(orientation: str) -> list[dict[str, Any]]:
    """Describe the axes of an image, each with the direction in which it grows.

    Args:
        orientation: axis codes of the array.

    Source:
        OME-Zarr 0.5, "axes"; RFC-4.
    """
    return [
        {
            "name": name,
            "type": "space",
            "unit": "millimeter",
            "orientation": {"type": "anatomical", "value": _DIRECTION[code]},
        }
        for name, code in zip("zyx", orientation, strict=True)
    ]


def origin_mm(affine_ras: Affine, orientation: str) -> list[float]:
    """Give the place of the first voxel along the directions of the axes.

    Args:
        affine_ras: array index to RAS+ mm.
        orientation: axis codes of the array.
    """
    # Physical coordinates grow along the stored axes, so the origin changes sign with them.
    world = [_WORLD[code] for code in orientation]
    return [sign * affine_ras[axis][3] for axis, sign in world]


def array_document(
    kind: Kind, grid: Grid, quality: int | None, checksums: list[int | None]
) -> bytes:
    """Write `zarr.json` of a volume's array.

    Args:
        kind: what the store holds.
        grid: whose shape the array has.
        quality: of JPEG.
        checksums: CRC-32C of every encoded chunk; None where a chunk is absent.
    """
    endian = {"name": "bytes", "configuration": {"endian": "little"}}
    codecs = (
        [
            {"name": "reshape", "configuration": {"shape": [[0, 1], [2]]}},
            {"name": "jpeg", "configuration": {"quality": quality}},
        ]
        if kind == "jpeg"
        else [endian, {"name": "blosc", "configuration": BLOSC}]
    )
    sharding = {
        "chunk_shape": [chunk_slices(grid.shape), *grid.shape[1:]],
        "codecs": codecs,
        "index_codecs": [endian, {"name": "crc32c"}],
        "index_location": "end",
    }
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(grid.shape),
        "data_type": DTYPE[kind].name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(grid.shape)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": FILL_VALUE[kind],
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": {OURS: {"chunk_crc32c": checksums}},
        "dimension_names": ["z", "y", "x"],
        "storage_transformers": [],
    }
    return _encode(document)


@dataclass(frozen=True)
class ArrayLayout:
    """How the fast reader finds its way through a shard."""

    shape: tuple[int, int, int]
    kind: Kind
    slices: int
    """Slices of an inner chunk."""
    fill_value: int
    checksums: tuple[int | None, ...] | None
    """CRC-32C of every chunk; None in an array that others wrote."""

    @property
    def chunks(self) -> int:
        """Number of inner chunks."""
        return self.shape[0] // self.slices


def parse_array(document: Any) -> ArrayLayout:  # noqa: ANN401 - whatever JSON held
    """Read an array's `zarr.json`, if it is laid out as ours are.

    Raises:
        StoreError: the layout is another one, which the fast reader cannot read.
    """
    try:
        (codec,) = document["codecs"]
        sharding = codec["configuration"]
        shape, inner = tuple(document["shape"]), tuple(sharding["chunk_shape"])
        names = tuple(inner_codec["name"] for inner_codec in sharding["codecs"])
        kind = _KINDS[document["data_type"], names]
        checksums = document.get("attributes", {}).get(OURS, {}).get("chunk_crc32c")
        known = (
            codec["name"] == "sharding_indexed"
            and len(shape) == 3
            and tuple(document["chunk_grid"]["configuration"]["chunk_shape"]) == shape
            and inner[1:] == shape[1:]
            and shape[0] % inner[0] == 0
            and sharding.get("index_location", "end") == "end"
            and [index_codec["name"] for index_codec in sharding["index_codecs"]]
            == ["bytes", "crc32c"]
            and all(type(size) is int and size > 0 for size in (*shape, *inner))
            and (checksums is None or len(checksums) == shape[0] // inner[0])
        )
        fill_value = int(document["fill_value"])
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise StoreError("its array's zarr.json is not one of ours", mend=_MEND) from error
    if not known:
        raise StoreError("its array is laid out in a way we cannot read fast", mend=_MEND)
    return ArrayLayout(
        shape, kind, inner[0], fill_value, None if checksums is None else tuple(checksums)
    )


_KINDS: dict[tuple[str, tuple[str, ...]], Kind] = {
    ("uint8", ("reshape", "jpeg")): "jpeg",
    # What the package imagecodecs calls the same bytes.
    ("uint8", ("reshape", "imagecodecs_jpeg")): "jpeg",
    ("int16", ("bytes", "blosc")): "hifi",
}
