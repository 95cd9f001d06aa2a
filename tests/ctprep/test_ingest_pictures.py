"""Stacks of pictures go into a JPEG store, once compressed, and into no other."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ctprep.ingest import ingest
from ctprep.native import NativeJpeg
from ctprep.store.attributes import LUNG, Window
from ctprep.store.jpeg import decode_gray, encode_gray
from ctprep.store.store import VolumeStore
from ctprep.window import to_gray

KEY = b"0123456789abcdef"
SIDECAR = {"spacing_mm": [4, 4, 4], "axis_codes": "IPL", "patient_id": "Doe"}


@pytest.fixture
def gray(tiny) -> np.ndarray:
    """A tiny chest in the lung window, slices from head to feet."""
    return to_gray(tiny.hu(1), LUNG)[::-1]


@pytest.fixture
def source(tmp_path, gray) -> Path:
    """A source with one stack, in the folder `CT_7`."""
    folder = tmp_path / "source" / "CT_7"
    folder.mkdir(parents=True)
    for index, picture in enumerate(gray):
        Image.fromarray(picture).save(folder / f"{index}.png")
    (folder / "stack.json").write_text(json.dumps(SIDECAR))
    return tmp_path / "source"


@pytest.fixture
def run(source, tiny_grid):
    """Ingest the source; gives its items."""

    def _run(store, **options):
        return list(ingest(source, store, **{"grid": tiny_grid, "key": KEY, **options}))

    return _run


def test_a_stack_is_stored_as_it_is_but_for_one_jpeg(run, tmp_path, gray) -> None:
    """Turned to SPL, padded black, and equal to its own gray levels compressed once."""
    (item,) = run(tmp_path / "jpeg.zarr", native=NativeJpeg(quality=95))
    store = VolumeStore.open(tmp_path / "jpeg.zarr", kind="jpeg")
    attributes = store.read_attributes("ct_7")
    stored = store.read("ct_7")

    assert (item.status, item.scan_id) == ("stored", "ct_7")
    assert attributes.content == ((2, 14), (2, 22), (2, 22))
    expected = np.zeros((16, 24, 24), np.uint8)
    expected[2:14, 2:22, 2:22] = gray[::-1]
    tall = np.empty((8 * 24, 24), np.uint8)
    decode_gray(encode_gray(expected[:8].reshape(-1, 24), 95), tall)
    np.testing.assert_array_equal(stored[:8].reshape(-1, 24), tall)
    assert attributes.hu.decision == "windowed"
    assert "window-assumed" in attributes.verdicts
    assert attributes.source_format == "pictures"
    assert attributes.patient_id.startswith("p-")
    assert attributes.quality.psnr_db > 30
    assert store.catalog().column("hu_decision").to_pylist() == ["windowed"]


def test_a_hifi_store_refuses_a_stack_and_names_the_option(run, tmp_path) -> None:
    """In a dry run as well."""
    (planned,) = run(tmp_path / "hifi.zarr", dry_run=True)
    (item,) = run(tmp_path / "hifi.zarr")

    assert (planned.verdict, item.verdict) == ("already-windowed", "already-windowed")
    assert "--native-jpeg" in item.mend
    assert VolumeStore.open(tmp_path / "hifi.zarr").scan_ids() == ()


def test_a_store_of_another_window_refuses_a_stack(run, tmp_path) -> None:
    """Told with both windows."""
    native = NativeJpeg(window=Window(center_hu=40, width_hu=400))
    (item,) = run(tmp_path / "jpeg.zarr", native=native)

    assert item.verdict == "other-window"
    assert "-600 / 1500" in item.what
    assert "40 / 400" in item.what


def test_a_stack_is_done_again_when_picture_or_sidecar_change(run, source, tmp_path) -> None:
    """And only then."""

    def status() -> str:
        return run(tmp_path / "jpeg.zarr", native=NativeJpeg())[0].status

    sidecar, picture = source / "CT_7" / "stack.json", source / "CT_7" / "3.png"
    assert [status(), status()] == ["stored", "unchanged"]
    sidecar.write_text(json.dumps({**SIDECAR, "spacing_mm": [5, 4, 4]}))
    assert [status(), status()] == ["stored", "unchanged"]
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(picture)
    assert [status(), status()] == ["stored", "unchanged"]


def test_a_scan_table_may_name_the_folder_of_a_stack(run, source, tmp_path) -> None:
    """Its scan id and patient stand in the store."""
    table = tmp_path / "scans.csv"
    table.write_text("scan_id,patient_id,split,path\ns1,p1,train,CT_7\n")

    (item,) = run(tmp_path / "jpeg.zarr", native=NativeJpeg(), scans=table)

    assert (item.status, item.scan_id) == ("stored", "s1")


def test_a_broken_stack_is_refused_and_leaves_no_volume(run, source, tmp_path) -> None:
    """One truncated picture spoils the stack, which names it."""
    picture = source / "CT_7" / "3.png"
    picture.write_bytes(picture.read_bytes()[:-20])

    (item,) = run(tmp_path / "jpeg.zarr", native=NativeJpeg())

    assert item.verdict == "undecodable"
    assert "3.png" in item.what
    assert VolumeStore.open(tmp_path / "jpeg.zarr").scan_ids() == ()
