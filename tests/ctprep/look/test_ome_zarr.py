"""Exported images are OME-Zarr 0.5 that a reader without our codecs opens."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from ome_zarr_models.v05.image import Image

from ctprep.compress import compress_store
from ctprep.ingest import ingest
from ctprep.look.export import export_store
from ctprep.look.ome_zarr import build_pyramid
from ctprep.store.attributes import Grid
from ctprep.store.store import VolumeStore

WIDE = Grid(name="wide", spacing_mm=(4.0, 2.0, 2.0), shape=(12, 134, 70))

READ_ELSEWHERE = """
import json, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("ctprep", "ctlite", "cli"):
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Absent())
import zarr
group = zarr.open_group(sys.argv[1], mode="r")
levels = [group[d["path"]] for d in group.attrs["ome"]["multiscales"][0]["datasets"]]
print(json.dumps([[list(level.shape), int(level[:].astype(int).sum())] for level in levels]))
"""


@pytest.fixture(scope="module", params=["hifi", "jpeg"])
def exported(request, tmp_path_factory, tiny) -> tuple[VolumeStore, Path]:
    """A store of one volume, and its image."""
    folder = tmp_path_factory.mktemp(request.param)
    tiny.nifti(folder / "source" / "scan.nii.gz", hu=tiny.hu(0, (12, 40, 40)))
    list(ingest(folder / "source", folder / "hifi.zarr", grid=WIDE, key=b"k" * 16))
    list(compress_store(folder / "hifi.zarr", folder / "jpeg.zarr"))
    store = folder / f"{request.param}.zarr"
    (item,) = export_store(store, folder / "out", format="ome-zarr")
    assert item.status == "stored"
    return VolumeStore.open(store), folder / "out" / "scan.ome.zarr"


def test_the_image_is_valid(exported) -> None:
    """By the models of the specification: three levels, mm, each with scale and translation."""
    store, path = exported
    image = Image.from_zarr(zarr.open_group(path, mode="r"))

    (multiscale,) = image.ome_attributes.multiscales
    assert [axis.name for axis in multiscale.axes] == ["z", "y", "x"]
    assert {axis.unit for axis in multiscale.axes} == {"millimeter"}
    scales = [dataset.coordinateTransformations[0].scale for dataset in multiscale.datasets]
    assert scales == [[4, 2, 2], [4, 4, 4], [4, 8, 8]]
    assert zarr.open_array(path / "0", mode="r")[:].tolist() == store.read("scan").tolist()


def test_levels_lie_on_each_other(exported) -> None:
    """The first corner of every level, half a voxel before its first center, is the same."""
    _, path = exported
    (multiscale,) = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]["multiscales"]
    corners = []
    for dataset in multiscale["datasets"]:
        scale, translation = dataset["coordinateTransformations"]
        corners.append(np.array(translation["translation"]) - np.array(scale["scale"]) / 2)

    for corner in corners[1:]:
        np.testing.assert_allclose(corner, corners[0])


def test_the_origin_is_that_of_the_store(exported) -> None:
    """An image and its volume state one place, with the same directions."""
    store, path = exported
    ours = json.loads((store.path / "scan" / "zarr.json").read_text())["attributes"]["ome"]
    theirs = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]

    assert theirs["multiscales"][0]["axes"] == ours["multiscales"][0]["axes"]
    assert theirs["multiscales"][0]["datasets"][0] == ours["multiscales"][0]["datasets"][0]


def test_it_opens_where_ctprep_is_not_installed(exported) -> None:
    """Stock zarr reads every level, and no codec is named that it does not bring."""
    store, path = exported
    here = zarr.open_group(path, mode="r")
    expected = [[list(here[n].shape), int(here[n][:].astype(int).sum())] for n in ("0", "1", "2")]
    for number in ("0", "1", "2"):
        document = json.loads((path / number / "zarr.json").read_text())
        assert [codec["name"] for codec in document["codecs"]] == ["bytes", "blosc"]

    done = _read_elsewhere(path)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected
    if store.attributes.kind == "jpeg":
        # What needs our codecs cannot be read there, or this would prove nothing.
        assert "is not installed here" in _read_elsewhere(store.path / "scan").stderr


def _read_elsewhere(path: Path) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", READ_ELSEWHERE, str(path)]
    return subprocess.run(program, capture_output=True, text=True)


def test_a_level_is_the_mean_of_the_finer_one() -> None:
    """By hand: four pixels to one, the last of an odd row with itself, halves to even."""
    plane = np.zeros((1, 64, 65), np.int16)
    plane[0, :2, :2] = [[1, 2], [3, 4]]
    plane[0, 62:, 64] = [-1024, -1000]

    _, half = build_pyramid(plane)

    assert half.shape == (1, 32, 33)
    assert half[0, 0, 0] == 2
    assert half[0, 31, 32] == -1012


def test_hu_and_gray_are_shown_by_their_own_window(exported) -> None:
    """The lung window of HU; all of the gray levels, which are one already."""
    store, path = exported
    ome = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]
    (channel,) = ome["omero"]["channels"]

    expected = {
        "hifi": {"min": -1024, "max": 3071, "start": -1350.0, "end": 150.0},
        "jpeg": {"min": 0, "max": 255, "start": 0.0, "end": 255.0},
    }
    assert channel["window"] == expected[store.attributes.kind]
