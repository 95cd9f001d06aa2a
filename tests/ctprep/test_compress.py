"""Compress keeps what the window keeps, says what it cost, and can be run again."""

from pathlib import Path

import numpy as np
import pytest

from ctprep.compress import compress_store, window_volume
from ctprep.ingest import ingest
from ctprep.quality import measure_quality
from ctprep.store.attributes import LUNG, Window
from ctprep.store.errors import StoreError, StoreMismatchError
from ctprep.store.store import VolumeStore


@pytest.fixture
def hifi(tmp_path, tiny, tiny_grid) -> Path:
    """A hi-fi store of three tiny volumes."""
    for number in range(3):
        tiny.nifti(tmp_path / "source" / f"scan-{number}.nii.gz", number)
    list(ingest(tmp_path / "source", tmp_path / "hifi.zarr", grid=tiny_grid, key=b"k" * 16))
    return tmp_path / "hifi.zarr"


def statuses(items) -> list[str]:
    """Statuses in the order of scan ids."""
    return [item.status for item in sorted(items, key=lambda item: item.name)]


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_volume_is_windowed_compressed_and_measured(hifi, tmp_path) -> None:
    """The figures are those of what a reader of the store gets."""
    items = list(compress_store(hifi, tmp_path / "jpeg.zarr"))
    source, target = VolumeStore.open(hifi), VolumeStore.open(tmp_path / "jpeg.zarr", kind="jpeg")

    assert statuses(items) == ["stored"] * 3
    assert target.scan_ids() == source.scan_ids()
    assert target.attributes.window == LUNG
    assert target.attributes.encoder.startswith("simplejpeg ")
    for item in items:
        attributes = source.read_attributes(item.scan_id)
        clean = window_volume(source.read(item.scan_id), LUNG, attributes)
        figures = target.read_attributes(item.scan_id).quality
        box = tuple(slice(*bounds) for bounds in attributes.content)
        psnr_db, ssim = measure_quality(clean[box], target.read(item.scan_id)[box])
        assert (figures.psnr_db, figures.ssim) == (psnr_db, ssim)
        assert figures.nbytes == item.nbytes
        assert figures.ratio == clean.size * 2 / item.nbytes
        assert 25 < psnr_db < 60
    assert target.catalog().num_rows == 3


def test_padding_is_black_and_air_is_not(hifi, tmp_path, tiny) -> None:
    """-1024 HU inside the scan is gray 55 in the lung window, around it gray 0."""
    store = VolumeStore.open(hifi)
    attributes = store.read_attributes("scan-0")
    hu = np.full_like(store.read("scan-0"), -1024)
    gray = window_volume(hu, LUNG, attributes)
    inside = np.zeros(hu.shape, bool)
    inside[tuple(slice(*bounds) for bounds in attributes.content)] = True

    assert set(gray[inside]) == {55}
    assert set(gray[~inside]) == {0}
    assert set(window_volume(hu, LUNG, attributes.model_copy(update={"content": None})).flat) == {
        55
    }


def test_running_again_does_only_what_is_missing(hifi, tmp_path) -> None:
    """Unchanged first, then one lost volume; the end is the same byte for byte."""
    jpeg = tmp_path / "jpeg.zarr"
    list(compress_store(hifi, jpeg))
    before = files_of(jpeg)

    assert statuses(compress_store(hifi, jpeg)) == ["unchanged"] * 3
    VolumeStore.open(jpeg).remove("scan-1")
    assert statuses(compress_store(hifi, jpeg)) == ["unchanged", "stored", "unchanged"]
    assert files_of(jpeg) == before


def test_a_changed_source_is_compressed_again(hifi, tmp_path, tiny, tiny_grid) -> None:
    """What was ingested anew is compressed anew."""
    jpeg = tmp_path / "jpeg.zarr"
    list(compress_store(hifi, jpeg))
    tiny.nifti(tmp_path / "source" / "scan-2.nii.gz", 9)
    list(ingest(tmp_path / "source", hifi, grid=tiny_grid, key=b"k" * 16))

    assert statuses(compress_store(hifi, jpeg)) == ["unchanged", "unchanged", "stored"]


@pytest.mark.slow
def test_two_workers_write_what_one_writes(hifi, tmp_path) -> None:
    """Byte for byte."""
    list(compress_store(hifi, tmp_path / "one.zarr"))
    list(compress_store(hifi, tmp_path / "two.zarr", workers=2))

    assert files_of(tmp_path / "one.zarr") == files_of(tmp_path / "two.zarr")


def test_other_settings_need_another_store(hifi, tmp_path) -> None:
    """Qualities and windows do not mix in one store."""
    list(compress_store(hifi, tmp_path / "jpeg.zarr"))

    with pytest.raises(StoreMismatchError, match="quality"):
        list(compress_store(hifi, tmp_path / "jpeg.zarr", quality=50))
    window = Window(center_hu=40, width_hu=400)
    with pytest.raises(StoreMismatchError, match="window"):
        list(compress_store(hifi, tmp_path / "jpeg.zarr", window=window))


def test_lower_quality_is_smaller_and_worse(hifi, tmp_path) -> None:
    """Bytes and PSNR fall together."""
    figures = []
    for quality in (50, 90):
        jpeg = tmp_path / f"q{quality}.zarr"
        list(compress_store(hifi, jpeg, quality=quality))
        figures.append(VolumeStore.open(jpeg).read_attributes("scan-0").quality)

    assert figures[0].nbytes < figures[1].nbytes
    assert figures[0].psnr_db < figures[1].psnr_db
    assert figures[0].ssim < figures[1].ssim


def test_a_damaged_volume_is_refused_and_the_others_go_on(hifi, tmp_path) -> None:
    """The row names the volume; the store of the others is whole."""
    (shard,) = (
        path for path in (hifi / "scan-1").rglob("*") if path.name == "0" and path.is_file()
    )
    content = bytearray(shard.read_bytes())
    content[: len(content) // 2] = bytes(len(content) // 2)
    shard.write_bytes(content)

    items = sorted(compress_store(hifi, tmp_path / "jpeg.zarr"), key=lambda item: item.name)

    assert [item.status for item in items] == ["stored", "refused", "stored"]
    assert items[1].name == "scan-1"
    assert items[1].what
    assert items[1].mend
    assert VolumeStore.open(tmp_path / "jpeg.zarr").catalog().num_rows == 2


def test_a_dry_run_writes_nothing(hifi, tmp_path) -> None:
    """It says what would be done, with and without a store."""
    jpeg = tmp_path / "jpeg.zarr"
    assert statuses(compress_store(hifi, jpeg, dry_run=True)) == ["planned"] * 3
    assert not jpeg.exists()
    list(compress_store(hifi, jpeg))

    assert statuses(compress_store(hifi, jpeg, dry_run=True)) == ["unchanged"] * 3


def test_wrong_stores_are_errors_with_a_mend(hifi, tmp_path) -> None:
    """No store, the same store twice, a JPEG store as source, and native slices."""
    list(compress_store(hifi, tmp_path / "jpeg.zarr"))

    with pytest.raises(StoreError):
        list(compress_store(tmp_path / "gone.zarr", tmp_path / "other.zarr"))
    with pytest.raises(StoreError, match="is the store to write"):
        list(compress_store(hifi, hifi))
    with pytest.raises(StoreMismatchError):
        list(compress_store(tmp_path / "jpeg.zarr", tmp_path / "other.zarr"))
    with pytest.raises(StoreError, match="native"):
        list(compress_store(hifi, tmp_path / "other.zarr", encode_at="native"))
    assert not (tmp_path / "other.zarr").exists()
