"""Preview: pictures of the volumes of a store, to see at a glance what is in it."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ctprep.compress import window_volume
from ctprep.jobs import Item, refused
from ctprep.look.drawing import (
    SHEET_SCANS,
    Thumb,
    draw_comparison,
    draw_planes,
    draw_sheet,
    to_thumb,
)
from ctprep.look.export import choose_scans
from ctprep.look.planes import check_orientation, middle_planes
from ctprep.look.plotting import check_plotting
from ctprep.store.attributes import LUNG, CompressionQuality, VolumeAttributes, Window
from ctprep.store.disk import write_atomically
from ctprep.store.errors import CtError, PlaceError, RecipeError, StoreMismatchError, located
from ctprep.store.outputs import check_folder
from ctprep.store.place import Where
from ctprep.store.store import VolumeStore

DEFAULT_COUNT = 12
SHEET_TITLE = "middle axial and coronal planes: the patient's right at the left, front and head up"


@dataclass(frozen=True)
class _Shown:
    """Gray levels of one volume, and of its compressed form where that is compared."""

    attributes: VolumeAttributes
    gray: UInt8[np.ndarray, "slice row column"]
    compressed: UInt8[np.ndarray, "slice row column"] | None
    quality: CompressionQuality | None


def preview_store(
    store: Where,
    out: Path,
    *,
    jpeg: Where | None = None,
    scan_ids: Sequence[str] = (),
    count: int = DEFAULT_COUNT,
    sheet: bool = True,
    window: Window | None = None,
) -> Iterator[Item]:
    """Draw volumes of a store, a picture each, and contact sheets over all of them.

    Every volume is read once; nothing grows with their number. Pictures that are there already
    are replaced.

    Args:
        store: hi-fi or JPEG store: a folder, or a URL in a bucket.
        out: folder for `<scan id>.png` and `contact-sheet-<n>.png`; it is made.
        jpeg: JPEG store to compare a hi-fi store with: clean, compressed, difference.
        scan_ids: the volumes to draw; the sheets show these alone.
        count: without `scan_ids`, how many to draw, spread evenly over the store.
        sheet: whether to draw contact sheets.
        window: HU that are shown; by default the lung, or what the JPEG store holds.

    Yields:
        An item a file, or a refusal where a volume cannot be read.

    Raises:
        CtError: matplotlib is absent.
        RecipeError: a window is asked for that the gray levels do not have.
        StoreError: there is no such store or volume.
        StoreMismatchError: the stores are not of one grid.
        PlaceError: the disk of `out` is full, read-only or fails, or the bucket cannot be reached.
    """
    check_plotting()
    check_folder(out)
    opened = VolumeStore.open(store)
    check_orientation(opened.attributes)
    beside = None if jpeg is None else _open_beside(opened, jpeg)
    shown_window = _choose_window(opened, beside, window)
    chosen = choose_scans(opened, scan_ids)
    drawn = set(chosen) if scan_ids else set(spread(chosen, count))
    thumbs: list[Thumb] = []
    sheets = 0
    for scan_id in chosen if sheet else sorted(drawn):
        began = time.perf_counter()
        try:
            with located(scan_id):
                shown = _read(opened, beside, scan_id, shown_window)
        except PlaceError:
            raise
        except CtError as error:
            yield refused(scan_id, error, scan_id=scan_id)
            continue
        spacing_mm = opened.attributes.grid.spacing_mm
        if sheet:
            axial, coronal, _ = middle_planes(shown.gray, spacing_mm, shown.attributes.content)
            thumbs.append(to_thumb(scan_id, axial, coronal))
        if scan_id in drawn:
            picture = _draw(shown, opened)
            yield _write(out / f"{scan_id}.png", picture, scan_id, began)
        if len(thumbs) == SHEET_SCANS:
            sheets += 1
            yield _write_sheet(out, sheets, thumbs)
            thumbs = []
    if thumbs:
        yield _write_sheet(out, sheets + 1, thumbs)


def spread(scan_ids: Sequence[str], count: int) -> tuple[str, ...]:
    """Choose some scans, spread evenly from the first to the last.

    Args:
        scan_ids: all of them.
        count: how many at most, at least 1.
    """
    if count >= len(scan_ids):
        return tuple(scan_ids)
    places = np.linspace(0, len(scan_ids) - 1, count).round().astype(int)
    return tuple(scan_ids[place] for place in places)


def _open_beside(hifi: VolumeStore, where: Where) -> VolumeStore:
    jpeg = VolumeStore.open(where, kind="jpeg")
    with located(jpeg.name):
        if hifi.attributes.kind != "hifi":
            raise StoreMismatchError(
                "a JPEG store is compared with a hi-fi store, and the other is none",
                mend="give the hi-fi store first, then --jpeg",
            )
        if hifi.attributes.grid != jpeg.attributes.grid:
            raise StoreMismatchError(
                "the stores have different grids", mend="compare a store with what was made of it"
            )
    return jpeg


def _choose_window(store: VolumeStore, beside: VolumeStore | None, asked: Window | None) -> Window:
    held = (beside or store).attributes.window
    if held is not None and asked is not None and asked != held:
        raise RecipeError(
            f"the JPEG store holds gray levels of the window {held.center_hu:g} / "
            f"{held.width_hu:g} HU, and no others",
            mend="leave out --window, or preview the hi-fi store alone",
        )
    return asked or held or LUNG


def _read(store: VolumeStore, beside: VolumeStore | None, scan_id: str, window: Window) -> _Shown:
    attributes, voxels = store.read_attributes(scan_id), store.read(scan_id)
    if store.attributes.kind == "jpeg":
        return _Shown(attributes, voxels, None, attributes.quality)
    gray = window_volume(voxels, window, attributes)
    if beside is None:
        return _Shown(attributes, gray, None, None)
    quality = beside.read_attributes(scan_id).quality
    return _Shown(attributes, gray, beside.read(scan_id), quality)


def _draw(shown: _Shown, store: VolumeStore) -> bytes:
    attributes, spacing_mm = shown.attributes, store.attributes.grid.spacing_mm
    planes = middle_planes(shown.gray, spacing_mm, attributes.content)
    title = attributes.scan_id
    if shown.quality is not None:
        title += f"\n{tell_quality(shown.quality)}"
    if shown.compressed is None:
        return draw_planes(title, planes)
    compressed = middle_planes(shown.compressed, spacing_mm, attributes.content)
    return draw_comparison(title, planes, compressed)


def tell_quality(quality: CompressionQuality) -> str:
    """Tell what compression kept of a volume, in a line."""
    psnr = "exact" if quality.psnr_db is None else f"PSNR {quality.psnr_db:.1f} dB"
    return f"{psnr}, SSIM {quality.ssim:.4f}, {quality.ratio:.1f} times smaller"


def _write(path: Path, picture: bytes, scan_id: str | None, began: float) -> Item:
    write_atomically(path, picture)
    seconds = time.perf_counter() - began
    return Item("stored", path.name, scan_id, nbytes=len(picture), seconds=seconds)


def _write_sheet(out: Path, number: int, thumbs: Sequence[Thumb]) -> Item:
    began = time.perf_counter()
    picture = draw_sheet(SHEET_TITLE, thumbs)
    return _write(out / f"contact-sheet-{number}.png", picture, None, began)
