"""Real chest CT lies in the store as it lay in the scanner, whatever its format."""

import numpy as np
import pytest

from ctprep.compress import compress_store
from ctprep.ingest import ingest
from ctprep.store.attributes import GRIDS
from ctprep.store.store import VolumeStore

TWO_KERNELS = "dicom/01_siemens_two_kernels"
CONVERTED = "nifti/05_converted_full_thorax_8mm"
FULL_THORAX = "dicom/07_tiny_full_thorax"


@pytest.fixture(scope="module")
def hifi(shared_data, tmp_path_factory):
    """A store of one patient as DICOM and as NIfTI, and of another as DICOM."""
    folder = tmp_path_factory.mktemp("real")
    source = folder / "source"
    for name in (TWO_KERNELS, CONVERTED, FULL_THORAX):
        for path in (shared_data / name).rglob("*"):
            if path.suffix in (".dcm", ".gz"):
                link = source / name / path.relative_to(shared_data / name)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.write_bytes(path.read_bytes())
    items = list(ingest(source, folder / "hifi.zarr", grid=GRIDS["ct-clip"], key=b"k" * 16))
    assert [item.status for item in items] == ["stored"] * 4
    by_name = {item.name: item.scan_id for item in items}
    return VolumeStore.open(folder / "hifi.zarr"), by_name


def scan_of(by_name, part: str) -> str:
    """The scan whose name holds this."""
    (scan_id,) = (scan_id for name, scan_id in by_name.items() if part in name)
    return scan_id


def middle_of(store, scan_id: str) -> tuple[np.ndarray, np.ndarray]:
    """The scan without its padding, and where its middle columns and rows hold lung."""
    box = tuple(slice(*bounds) for bounds in store.read_attributes(scan_id).content)
    hu = store.read(scan_id)[box]
    _, rows, columns = hu.shape
    middle = hu[:, rows // 4 : 3 * rows // 4, columns // 4 : 3 * columns // 4]
    return hu, middle < -600


@pytest.mark.slow
def test_dicom_and_nifti_of_one_scan_lie_at_the_same_place(hifi) -> None:
    """Two kernels of one acquisition: same affine to a hundredth of a mm, nearly same voxels."""
    store, by_name = hifi
    dicom, nifti = scan_of(by_name, "B70f"), scan_of(by_name, "A0002_B40f")
    one, two = store.read_attributes(dicom), store.read_attributes(nifti)

    np.testing.assert_allclose(one.affine_ras, two.affine_ras, atol=0.01)
    assert one.content == two.content
    smooth, sharp = (store.read(scan_id)[::4, ::4, ::4].ravel() for scan_id in (nifti, dicom))
    assert np.corrcoef(smooth, sharp)[0, 1] > 0.97


@pytest.mark.slow
@pytest.mark.parametrize("name", [FULL_THORAX.split("/")[1], "A0002_B40f"])
def test_spine_is_behind_and_lungs_above(hifi, name) -> None:
    """Anatomy tells the orientation without trusting any header."""
    store, by_name = hifi
    hu, lung = middle_of(store, scan_of(by_name, name))
    slices, rows, columns = hu.shape
    center = hu[slices // 2, :, 3 * columns // 8 : 5 * columns // 8]

    assert np.median(np.nonzero(center > 250)[0]) > 0.55 * rows
    assert lung[: slices // 8].mean() < lung[slices // 2 : 5 * slices // 8].mean()


@pytest.mark.slow
def test_heart_is_left(hifi) -> None:
    """The heart takes room from the left lung, which lies at the higher columns."""
    store, by_name = hifi
    _, lung = middle_of(store, scan_of(by_name, FULL_THORAX.split("/")[1]))
    slices = len(lung)
    right, left = np.split(lung[slices // 4 : slices // 2], [lung.shape[2] // 2], axis=2)

    assert right.mean() > 1.3 * left.mean()


@pytest.mark.slow
def test_compression_of_real_scans_keeps_what_it_should(hifi, tmp_path) -> None:
    """Quality 90 stays above 40 dB on every scan, at under a tenth of the bytes."""
    store, _ = hifi
    list(compress_store(store.path, tmp_path / "jpeg.zarr"))
    jpeg = VolumeStore.open(tmp_path / "jpeg.zarr")

    for scan_id in jpeg.scan_ids():
        figures = jpeg.read_attributes(scan_id).quality
        assert figures.psnr_db > 40
        assert figures.ssim > 0.95
        assert figures.ratio > 10
