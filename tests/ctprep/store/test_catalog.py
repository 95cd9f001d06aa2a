"""The catalog says of each volume what its attributes say."""

from collections.abc import Callable

import pytest

from ctprep.store.attributes import CompressionQuality
from ctprep.store.catalog import CATALOG_SCHEMA, source_digest
from ctprep.store.errors import StoreError
from ctprep.store.store import VolumeStore


def test_a_row_a_volume(make_small_store: Callable[..., VolumeStore], bench) -> None:
    """Sorted by scan id, with facts, figures and the size on disk."""
    store = make_small_store("jpeg", "b", "a")
    quality = CompressionQuality(nbytes=1, ratio=5.5, psnr_db=None, ssim=0.98)
    attributes = bench.volume_attributes("c").model_copy(update={"quality": quality})
    nbytes = store.write("c", bench.voxels("jpeg"), attributes)

    store.write_catalog()
    rows = store.catalog().to_pylist()

    assert [row["scan_id"] for row in rows] == ["a", "b", "c"]
    assert store.catalog().schema == CATALOG_SCHEMA
    assert rows[2] == {
        "scan_id": "c",
        "patient_id": "patient-of-c",
        "source_format": "nifti",
        "source_sha256": "0" * 64,
        "original_shape": [8, 9, 10],
        "original_spacing_mm": [3.0, 0.8, 0.8],
        "original_axis_codes": "SPL",
        "hu_decision": "rescaled",
        "kernel": "B30f",
        "manufacturer": None,
        "kvp": 120.0,
        "verdicts": [],
        "mends": [],
        "nbytes": nbytes,
        "ratio": 5.5,
        "psnr_db": None,
        "ssim": 0.98,
    }


def test_equal_volumes_give_equal_bytes(make_small_store: Callable[..., VolumeStore]) -> None:
    """Written twice, the file is the same; an empty store has an empty catalog."""
    store = make_small_store("hifi")
    assert store.write_catalog() == ()
    assert store.catalog().num_rows == 0
    store = make_small_store("hifi", "a", "b")
    store.write_catalog()
    first = (store.path / "catalog.parquet").read_bytes()
    store.write_catalog()

    assert (store.path / "catalog.parquet").read_bytes() == first


def test_a_missing_or_damaged_catalog_is_told(
    make_small_store: Callable[..., VolumeStore],
) -> None:
    """With what rebuilds it."""
    store = make_small_store("hifi", "a")

    with pytest.raises(StoreError, match="no catalog") as caught:
        store.catalog()
    assert "ctprep ingest" in caught.value.mend
    (store.path / "catalog.parquet").write_bytes(b"PAR1 not")
    with pytest.raises(StoreError, match="damaged"):
        store.catalog()


def test_digest_of_several_files() -> None:
    """One file keeps its own; several depend on their order."""
    assert source_digest(("a",)) == "a"
    assert source_digest(("a", "b")) != source_digest(("b", "a"))
