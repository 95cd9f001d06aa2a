"""What is told of a store is what its volumes say."""

import shutil

import pytest

from ctprep.compress import compress_store
from ctprep.ingest import ingest
from ctprep.look.store_summary import inspect_store, is_store
from ctprep.store.errors import StoreError
from ctprep.store.store import VolumeStore


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny, tiny_grid):
    """Two NIfTI and one DICOM, a hi-fi store of them, and the JPEG store made of that."""
    folder = tmp_path_factory.mktemp("made")
    tiny.nifti(folder / "source" / "a.nii.gz", 0)
    tiny.nifti(folder / "source" / "b.nii.gz", 1)
    tiny.dicom(folder / "source" / "series", 2)
    list(ingest(folder / "source", folder / "hifi.zarr", grid=tiny_grid, key=b"k" * 16))
    list(compress_store(folder / "hifi.zarr", folder / "jpeg.zarr"))
    return folder


@pytest.fixture
def stores(made, tmp_path):
    """Both stores, to do with as one likes."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "hifi.zarr", tmp_path / "jpeg.zarr"


def test_a_hifi_store(stores) -> None:
    """Volumes, patients, decisions; no figures of compression."""
    hifi, _ = stores
    summary = inspect_store(hifi)

    assert (summary.volumes, summary.patients, summary.catalog) == (3, 3, "current")
    assert summary.formats == {"nifti": 2, "dicom": 1}
    assert summary.hu_decisions == {"already": 2, "rescaled": 1}
    shards = sum(
        (hifi / name / "0/c/0/0/0").stat().st_size for name in VolumeStore.open(hifi).scan_ids()
    )
    assert summary.nbytes == shards
    assert (summary.mean_ratio, summary.mean_psnr_db, summary.mean_ssim) == (None, None, None)


def test_a_jpeg_store(stores) -> None:
    """The means of what compress measured; sizes are known without the catalog."""
    _, jpeg = stores
    (jpeg / "catalog.parquet").unlink()
    summary = inspect_store(jpeg)

    store = VolumeStore.open(jpeg)
    figures = [store.read_attributes(scan_id).quality for scan_id in store.scan_ids()]
    assert summary.catalog == "missing"
    assert summary.nbytes == sum(figure.nbytes for figure in figures)
    assert summary.mean_psnr_db == pytest.approx(sum(f.psnr_db for f in figures) / 3)
    assert summary.mean_ssim == pytest.approx(sum(f.ssim for f in figures) / 3)
    assert summary.mean_ratio == pytest.approx(sum(f.ratio for f in figures) / 3)
    assert summary.attributes.window.width_hu == 1500


def test_a_catalog_of_other_volumes_is_stale(stores) -> None:
    """A volume was removed since it was written; a damaged one is said to be damaged."""
    hifi, _ = stores
    VolumeStore.open(hifi).remove("a")
    stale = inspect_store(hifi)
    assert (stale.catalog, stale.volumes, stale.nbytes) == ("stale", 2, None)

    (hifi / "catalog.parquet").write_bytes(b"PAR1")
    assert inspect_store(hifi).catalog == "damaged"


def test_a_damaged_volume_is_told_and_the_others_counted(stores) -> None:
    """By its scan id."""
    hifi, _ = stores
    (hifi / "a" / "zarr.json").write_text("{")

    summary = inspect_store(hifi)

    assert summary.damaged == ("a",)
    assert (summary.volumes, summary.patients) == (3, 2)


def test_stores_are_told_from_folders(stores, tmp_path) -> None:
    """By their metadata; a group of others is not taken for a source."""
    hifi, _ = stores
    assert is_store(hifi)
    assert not is_store(tmp_path / "source")

    (tmp_path / "zarr.json").write_text("{}")
    assert is_store(tmp_path)
    with pytest.raises(StoreError, match="not a ctprep store"):
        inspect_store(tmp_path)
