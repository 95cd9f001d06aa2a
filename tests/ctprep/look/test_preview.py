"""Pictures show the patient as a radiologist expects, say what was kept, and name nobody."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from ctprep.compress import compress_store
from ctprep.ingest import ingest
from ctprep.look import drawing, plotting, preview
from ctprep.look.planes import Plane, middle_planes
from ctprep.look.preview import preview_store, spread
from ctprep.store.attributes import CompressionQuality, Grid, Window
from ctprep.store.errors import CtError, RecipeError, StoreMismatchError
from ctprep.store.store import VolumeStore

OTHER = Grid(name="other", spacing_mm=(4.0, 4.0, 4.0), shape=(16, 16, 16))
EDGES = {
    (0.02, 0.5): "left",
    (0.98, 0.5): "right",
    (0.5, 0.98): "top",
    (0.5, 0.02): "bottom",
}


@pytest.fixture(autouse=True)
def _coarse(monkeypatch) -> None:
    """Few pixels: nobody looks at these."""
    monkeypatch.setattr(plotting, "DPI", 25)


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny, tiny_grid) -> Path:
    """Three tiny scans, and a hi-fi store of them."""
    folder = tmp_path_factory.mktemp("made")
    for number in range(3):
        tiny.nifti(folder / "source" / f"scan-{number}.nii.gz", number)
    list(ingest(folder / "source", folder / "hifi.zarr", grid=tiny_grid, key=b"k" * 16))
    return folder


@pytest.fixture
def hifi(made, tmp_path) -> Path:
    """A hi-fi store of three tiny volumes, to do with as one likes."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "hifi.zarr"


@pytest.fixture
def figures(monkeypatch) -> list:
    """The figures that are drawn, as matplotlib has them."""
    kept = []

    def keep(figure):
        kept.append(figure)
        return plotting.encode_png(figure)

    monkeypatch.setattr(drawing, "encode_png", keep)
    return kept


def test_planes_are_seen_from_the_feet_and_from_the_front() -> None:
    """A mark at the head, the back and the left lies where the letters say, in every plane."""
    voxels = np.zeros((10, 20, 30), np.int16)
    voxels[8, 15, 25] = 1  # near the head, the back and the left
    content = ((7, 10), (10, 20), (20, 30))

    axial, coronal, sagittal = middle_planes(voxels, (5.0, 2.0, 1.0), content)

    assert np.argwhere(axial.pixels).tolist() == [[15, 25]]
    assert np.argwhere(coronal.pixels).tolist() == [[1, 25]]
    assert np.argwhere(sagittal.pixels).tolist() == [[1, 15]]
    assert [axial.aspect, coronal.aspect, sagittal.aspect] == [2, 5, 2.5]
    sides = [(p.left, p.right, p.top, p.bottom) for p in (axial, coronal, sagittal)]
    assert ["".join(side) for side in sides] == ["RLAP", "RLSI", "APSI"]


def test_a_picture_has_its_letters_at_its_edges(hifi, tmp_path, figures) -> None:
    """Each plane shows its four sides, its pixels in mm, and the scan id is all that is told."""
    list(preview_store(hifi, tmp_path / "out", scan_ids=["scan-1"], sheet=False))

    (figure,) = figures
    assert figure.get_suptitle() == "scan-1"
    told = []
    for axes in figure.axes:
        letters = {EDGES[text.get_position()]: text.get_text() for text in axes.texts}
        told.append("".join(letters[edge] for edge in EDGES.values()))
        assert axes.get_aspect() == 1
    assert told == ["RLAP", "RLSI", "APSI"]
    height, width, _ = imread(tmp_path / "out" / "scan-1.png").shape
    assert width > 2 * height > 0


def test_clean_compressed_and_difference_are_drawn(hifi, tmp_path, figures) -> None:
    """Three rows, the last on a scale around zero; the title has the figures of the store."""
    jpeg = tmp_path / "jpeg.zarr"
    list(compress_store(hifi, jpeg, quality=30))
    list(preview_store(hifi, tmp_path / "out", jpeg=jpeg, scan_ids=["scan-0"], sheet=False))

    (figure,) = figures
    quality = VolumeStore.open(jpeg).read_attributes("scan-0").quality
    assert f"PSNR {quality.psnr_db:.1f} dB, SSIM {quality.ssim:.4f}" in figure.get_suptitle()
    pixels = [np.asarray(axes.images[0].get_array()).astype(int) for axes in figure.axes[:9]]
    for clean, compressed, difference in zip(pixels[:3], pixels[3:6], pixels[6:], strict=True):
        np.testing.assert_array_equal(difference, compressed - clean)
    low, high = figure.axes[6].images[0].get_clim()
    assert low == -high
    assert 1 < high <= max(np.abs(difference).max() for difference in pixels[6:])
    assert figure.axes[9].get_ylabel() == drawing.DIFFERENCE


def test_subtracting_does_not_wrap_around() -> None:
    """Gray 3 after gray 5 is -2, not 254."""
    before, after = (
        Plane("axial", np.full((2, 2), gray, np.uint8), 1.0, *"RLAP") for gray in (5, 3)
    )

    assert drawing.subtract(after, before).pixels.tolist() == [[-2, -2], [-2, -2]]


def test_every_scan_is_on_a_sheet(hifi, tmp_path, figures, monkeypatch) -> None:
    """Two a sheet: two sheets for three scans, whatever number gets a picture of its own."""
    monkeypatch.setattr(preview, "SHEET_SCANS", 2)

    items = list(preview_store(hifi, tmp_path / "out", count=1))

    assert [item.name for item in items] == [
        "scan-0.png", "contact-sheet-1.png", "contact-sheet-2.png",
    ]  # fmt: skip
    titles = [[axes.get_title("left") for axes in figure.axes] for figure in figures]
    named = [title for sheet in titles for title in sheet if title]
    assert named == ["scan-0", "scan-1", "scan-2"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        item.name for item in items
    )


def test_a_damaged_volume_is_refused_and_the_others_are_drawn(hifi, tmp_path) -> None:
    """No scan is missing from the pictures without a word."""
    shard = hifi / "scan-1" / "0" / "c" / "0" / "0" / "0"
    shard.write_bytes(b"")

    items = list(preview_store(hifi, tmp_path / "out", sheet=False))

    assert [(item.scan_id, item.status) for item in items] == [
        ("scan-0", "stored"), ("scan-1", "refused"), ("scan-2", "stored"),
    ]  # fmt: skip


def test_scans_are_spread_over_the_store() -> None:
    """First, last and between."""
    assert spread("abcdefghi", 3) == ("a", "e", "i")
    assert spread("ab", 3) == ("a", "b")


def test_an_exact_volume_has_no_psnr() -> None:
    """Where nothing differs, the title says so."""
    quality = CompressionQuality(nbytes=1, ratio=2.04, psnr_db=None, ssim=1)

    assert preview.tell_quality(quality) == "exact, SSIM 1.0000, 2.0 times smaller"


def test_without_matplotlib_the_error_says_what_to_install(hifi, tmp_path, monkeypatch) -> None:
    """Before any volume is read."""
    monkeypatch.setattr(plotting, "find_spec", lambda _: None)

    with pytest.raises(CtError) as caught:
        list(preview_store(hifi, tmp_path / "out"))
    assert caught.value.mend == "pip install 'ct-lite[plot]'"
    assert not (tmp_path / "out").exists()


def test_stores_that_do_not_belong_together_are_refused(hifi, tmp_path) -> None:
    """Another grid, two JPEG stores, a window that the gray levels do not have."""
    list(ingest(tmp_path / "source", tmp_path / "other.zarr", grid=OTHER, key=b"k" * 16))
    jpeg, other = tmp_path / "jpeg.zarr", tmp_path / "other-jpeg.zarr"
    list(compress_store(hifi, jpeg))
    list(compress_store(tmp_path / "other.zarr", other))

    with pytest.raises(StoreMismatchError, match="different grids"):
        list(preview_store(hifi, tmp_path / "out", jpeg=other))
    with pytest.raises(StoreMismatchError, match="with a hi-fi store"):
        list(preview_store(jpeg, tmp_path / "out", jpeg=jpeg))
    with pytest.raises(RecipeError, match="-600 / 1500"):
        list(preview_store(jpeg, tmp_path / "out", window=Window(center_hu=40, width_hu=400)))
