"""What the metadata documents of a volume say."""

import json
from collections.abc import Callable

import pytest

from ctprep.store.errors import StoreError
from ctprep.store.layout import check_scan_id, chunk_slices, parse_array, volume_document
from ctprep.store.store import VolumeStore


@pytest.mark.parametrize(
    ("shape", "slices"),
    [((240, 480, 480), 8), ((7, 5, 5), 7), ((12, 5, 5), 6), ((11, 5, 5), 1), ((8, 20000, 5), 2)],
)
def test_slices_of_a_chunk(shape: tuple[int, int, int], slices: int) -> None:
    """8, else the largest divisor below; fewer where the stack would be too tall for JPEG."""
    assert chunk_slices(shape) == slices


def test_slices_too_large_for_jpeg_are_refused() -> None:
    """No chunk can hold such a slice."""
    with pytest.raises(StoreError, match="too large"):
        chunk_slices((8, 70000, 5))


@pytest.mark.parametrize(
    "scan_id",
    ["", ".", "..", "../x", "a/b", "/x", "A", "a" * 129, ".x", "zarr.json", "catalog.parquet",
     "__x", "a\n", "a\\b"],
)  # fmt: skip
def test_scan_ids_stay_in_the_store(scan_id: str) -> None:
    """No path, no hidden name, none of the store's own names."""
    with pytest.raises(StoreError, match="no scan id"):
        check_scan_id(scan_id)


def test_ome_metadata_says_where_the_patient_is(bench) -> None:
    """By hand: an SPL volume whose first voxel is at R 90, A 80, S -300 mm."""
    document = json.loads(
        volume_document(bench.volume_attributes("scan"), bench.store_attributes("hifi"), b"{}")
    )

    (image,) = document["attributes"]["ome"]["multiscales"]
    assert document["attributes"]["ome"]["version"] == "0.5"
    assert [(axis["name"], axis["type"], axis["unit"]) for axis in image["axes"]] == [
        (name, "space", "millimeter") for name in "zyx"
    ]
    assert [axis["orientation"] for axis in image["axes"]] == [
        {"type": "anatomical", "value": value}
        for value in ("inferior-to-superior", "anterior-to-posterior", "right-to-left")
    ]
    assert image["datasets"] == [
        {
            "path": "0",
            "coordinateTransformations": [
                {"type": "scale", "scale": [1.5, 0.75, 0.75]},
                {"type": "translation", "translation": [-300.0, -80.0, -90.0]},
            ],
        }
    ]
    assert document["attributes"]["ctprep"]["scan_id"] == "scan"


@pytest.mark.parametrize(
    ("key", "value"),
    [("codecs", []), ("data_type", "float32"), ("shape", [16, 24]), ("fill_value", None)],
)
def test_other_layouts_are_refused(
    make_small_store: Callable[..., VolumeStore], key: str, value: object
) -> None:
    """The fast reader reads our layout only, and says so."""
    store = make_small_store("jpeg", "a")
    document = json.loads((store.path / "a/0/zarr.json").read_bytes())

    with pytest.raises(StoreError, match="array"):
        parse_array(document | {key: value})
