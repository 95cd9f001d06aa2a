"""Exported volumes say what the store says, and go back to where their source had them."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest

from ctprep.compress import compress_store
from ctprep.ingest import ingest
from ctprep.look.export import export_store
from ctprep.store.attributes import GRIDS, Grid
from ctprep.store.errors import RecipeError, StoreError
from ctprep.store.store import VolumeStore

KEY = b"k" * 16
FINE = Grid(name="fine", spacing_mm=(2.0, 1.5, 1.5), shape=(64, 96, 96))
"""Larger than every ramp, and of other spacings."""
SPACING_MM = (2.5, 1.75, 1.25)
SHAPE = (32, 44, 52)
GRADIENT = np.array([6.0, -8.0, 6.0])
"""HU a mm to the right, front and head: half a voxel off is 3.75 HU or more."""


def turned(codes: str, degrees: float = 0.0) -> np.ndarray:
    """Affine of an image whose index grows to these sides, turned about the first world axis."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, code in enumerate(codes):
        world, sign = "RLAPSI".index(code) // 2, 1 if code in "RAS" else -1
        affine[world, axis] = sign * SPACING_MM[axis]
    angle = np.radians(degrees)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    center = affine[:3, :3] @ (np.array(SHAPE) - 1) / 2
    affine[:3, 3] = np.array([7.0, -9.0, 20.0]) - center
    return turn @ affine


def write_ramp(path: Path, affine: np.ndarray) -> np.ndarray:
    """Write a NIfTI file whose HU are linear in the world; trilinear resampling keeps those."""
    index = np.moveaxis(np.indices(SHAPE), 0, -1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    hu = np.rint(world @ GRADIENT - 100).astype(np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(hu, affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return hu


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny, tiny_grid) -> Path:
    """Two tiny scans, and a hi-fi store of them."""
    folder = tmp_path_factory.mktemp("made")
    for number in range(2):
        tiny.nifti(folder / "source" / f"scan-{number}.nii.gz", number)
    list(ingest(folder / "source", folder / "hifi.zarr", grid=tiny_grid, key=KEY))
    return folder


@pytest.fixture
def hifi(made, tmp_path) -> Path:
    """A hi-fi store of two tiny volumes, to do with as one likes."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "hifi.zarr"


@pytest.mark.parametrize(
    ("codes", "degrees", "border"),
    # In an oblique source the last planes blend with the padding around it.
    [("LPS", 0, 2), ("LAS", 0, 2), ("PSR", 0, 2), ("LPS", 12, 3), ("RAS", -8, 3)],
)
def test_a_source_comes_back_on_its_own_grid(tmp_path, codes, degrees, border) -> None:
    """Shape and affine exactly; HU within what rounding three times can do to a linear ramp."""
    source = tmp_path / "source" / "ramp.nii.gz"
    hu = write_ramp(source, turned(codes, degrees))
    store = tmp_path / "hifi.zarr"
    items = list(ingest(source, store, grid=FINE, key=KEY, hu_policy="already"))
    assert [item.status for item in items] == ["stored"]

    items = list(export_store(store, tmp_path / "out", format="nifti", original_grid=True))

    assert [item.status for item in items] == ["stored"]
    back = nibabel.load(tmp_path / "out" / "ramp.nii.gz")
    np.testing.assert_array_equal(back.affine, nibabel.load(source).affine)
    assert back.shape == hu.shape
    assert back.get_data_dtype() == np.int16
    inner = (slice(border, -border),) * 3
    difference = np.asarray(back.dataobj)[inner].astype(int) - hu[inner]
    # Source, store and export each round by up to a half, an oblique one once more on its way to
    # the store; and what came back is compared with what was rounded.
    assert np.abs(difference).max() <= (2.5 if degrees else 2)


def test_outside_of_what_was_stored_is_air(tmp_path) -> None:
    """A grid that crops leaves -1024 HU around, and the middle as it was."""
    source = tmp_path / "source" / "ramp.nii.gz"
    hu = write_ramp(source, turned("LPS"))
    small = Grid(name="small", spacing_mm=(2.0, 1.5, 1.5), shape=(16, 24, 24))
    list(ingest(source, tmp_path / "hifi.zarr", grid=small, key=KEY, hu_policy="already"))

    list(export_store(tmp_path / "hifi.zarr", tmp_path / "out", format="nifti", original_grid=True))

    back = np.asarray(nibabel.load(tmp_path / "out" / "ramp.nii.gz").dataobj)
    kept = np.argwhere(back != -1024)
    extent_mm = (np.ptp(kept, axis=0) + 1) * SPACING_MM
    # Columns, rows and slices of the grid, to within a voxel of the source.
    assert (np.abs(extent_mm - [36, 36, 32]) <= SPACING_MM).all()
    middle = tuple(slice(n // 2 - 3, n // 2 + 3) for n in hu.shape)
    assert np.abs(back[middle].astype(int) - hu[middle]).max() <= 2


def test_nifti_on_the_grid_is_the_stored_volume(hifi, tmp_path) -> None:
    """Voxel for voxel, in mm, with one affine as sform and qform."""
    list(export_store(hifi, tmp_path / "out", format="nifti"))

    store = VolumeStore.open(hifi)
    image = nibabel.load(tmp_path / "out" / "scan-1.nii.gz")
    np.testing.assert_array_equal(
        np.asarray(image.dataobj).transpose(2, 1, 0), store.read("scan-1")
    )
    affine_ras = np.array(store.read_attributes("scan-1").affine_ras)[:, [2, 1, 0, 3]]
    np.testing.assert_allclose(image.get_sform(), affine_ras, atol=1e-5)
    np.testing.assert_allclose(image.get_qform(), affine_ras, atol=1e-4)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (1, 1)


def test_a_jpeg_store_gives_gray_levels(hifi, tmp_path) -> None:
    """uint8, on either grid; the file says which window they are of."""
    jpeg = tmp_path / "jpeg.zarr"
    list(compress_store(hifi, jpeg))

    list(export_store(jpeg, tmp_path / "grid", format="nifti", scan_ids=["scan-0"]))
    list(export_store(jpeg, tmp_path / "back", format="nifti", original_grid=True))

    gray = nibabel.load(tmp_path / "grid" / "scan-0.nii.gz")
    assert gray.get_data_dtype() == np.uint8
    assert b"-600 / 1500" in gray.header["descrip"].item()
    assert not (tmp_path / "grid" / "scan-1.nii.gz").exists()
    back = nibabel.load(tmp_path / "back" / "scan-0.nii.gz")
    assert back.shape == nibabel.load(tmp_path / "source" / "scan-0.nii.gz").shape
    # The tiny grid has the spacing of the tiny scans, so every voxel is one of the store's.
    assert set(np.unique(back.dataobj)) <= set(np.unique(VolumeStore.open(jpeg).read("scan-0")))


@pytest.mark.parametrize("format_", ["nifti", "ome-zarr"])
def test_what_is_there_is_replaced_only_when_asked(hifi, tmp_path, format_) -> None:
    """A refusal names the file; with `overwrite` it is as if it had not been there."""
    out = tmp_path / "out"
    list(export_store(hifi, out, format=format_))
    one = min(path for path in out.rglob("*") if path.is_file() and path.stat().st_size > 100)
    before = one.read_bytes()
    one.write_bytes(b"mine")

    again = list(export_store(hifi, out, format=format_))
    assert [(item.status, item.verdict) for item in again] == [("refused", "exists")] * 2
    assert one.read_bytes() == b"mine"

    forced = list(export_store(hifi, out, format=format_, overwrite=True))
    assert [item.status for item in forced] == ["stored"] * 2
    assert one.read_bytes() == before


def test_a_dry_run_writes_nothing(hifi, tmp_path) -> None:
    """Not even the folder."""
    items = list(export_store(hifi, tmp_path / "out", format="nifti", dry_run=True))

    assert [item.status for item in items] == ["planned"] * 2
    assert not (tmp_path / "out").exists()


def test_a_damaged_volume_is_refused_and_the_others_go_on(hifi, tmp_path) -> None:
    """No file appears under its name."""
    shard = hifi / "scan-0" / "0" / "c" / "0" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:-30])

    items = list(export_store(hifi, tmp_path / "out", format="nifti", original_grid=True))

    assert [item.status for item in items] == ["refused", "stored"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["scan-1.nii.gz"]


def test_what_cannot_be_done_is_said_before_anything_is_written(hifi, tmp_path) -> None:
    """Turned axes in OME-Zarr, an unknown scan, a store as the target."""
    with pytest.raises(RecipeError, match="NIfTI alone"):
        list(export_store(hifi, tmp_path / "out", format="ome-zarr", original_grid=True))
    with pytest.raises(StoreError, match="no such volume"):
        list(export_store(hifi, tmp_path / "out", format="nifti", scan_ids=["scan-9"]))
    with pytest.raises(StoreError, match="itself a store"):
        list(export_store(hifi, hifi, format="nifti"))
    assert not (tmp_path / "out").exists()


KILLED = """
import sys
from pathlib import Path
from ctprep.look.export import export_store
while True:
    for item in export_store(Path(sys.argv[1]), Path(sys.argv[2]), format=sys.argv[3],
                             overwrite=True):
        print(item.status, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["nifti", "ome-zarr"])
def test_a_killed_export_leaves_whole_files_alone(hifi, tmp_path, format_) -> None:
    """Killed in the middle of writing, what has the final name is complete."""
    out, expected = tmp_path / "out", tmp_path / "expected"
    list(export_store(hifi, expected, format=format_))
    arguments = [sys.executable, "-c", KILLED, str(hifi), str(out), format_]
    for pause_s in (0.0, 0.013, 0.029):
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, env=dict(os.environ))
        assert process.stdout.readline()
        time.sleep(pause_s)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for path in out.iterdir():
            if not path.name.startswith("."):
                assert _content(path) == _content(expected / path.name)


def _content(path: Path) -> object:
    if path.is_file():
        return path.read_bytes()
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


@pytest.mark.slow
def test_a_real_scan_comes_back(shared_data, tmp_path) -> None:
    """Chest CT through the finer ct-clip grid: its own shape and affine, and every voxel."""
    source = shared_data / "nifti" / "01_chest_lps_aorta" / "ct_cropped.nii.gz"
    store = tmp_path / "hifi.zarr"
    list(ingest(source, store, grid=GRIDS["ct-clip"], key=KEY))
    (item,) = export_store(store, tmp_path / "out", format="nifti", original_grid=True)

    before = nibabel.load(source)
    after = nibabel.load(tmp_path / "out" / f"{item.scan_id}.nii.gz")
    np.testing.assert_array_equal(after.affine, before.affine)
    old = np.asarray(before.dataobj).astype(np.float64).clip(-1024, 3071)
    new = np.asarray(after.dataobj).astype(np.float64)
    assert new.shape == old.shape
    # Rows and columns doubled and halved again, by half-pixel centers: 1/8, 3/4 and 1/8 of three.
    for axis in (0, 1):
        low, high = np.roll(old, 1, axis), np.roll(old, -1, axis)
        old = (low + 6 * old + high) / 8
    inner = np.s_[1:-1, 1:-1, :]
    assert np.abs(new - old)[inner].max() <= 1
