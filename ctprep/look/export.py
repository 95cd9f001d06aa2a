"""Export: volumes of a store back to files that any other program opens."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from ctprep.engine import run
from ctprep.jobs import PROCESS_BYTES, Item, VolumeJob, refused
from ctprep.look.nifti_file import encode_nifti, is_same_nifti
from ctprep.look.ome_zarr import encode_image
from ctprep.look.regrid import to_original
from ctprep.store.attributes import StoreAttributes
from ctprep.store.commit import clean, write_folder
from ctprep.store.disk import write_atomically, writing
from ctprep.store.errors import CtError, PlaceError, RecipeError, StoreError, located
from ctprep.store.layout import FILL_VALUE, METADATA
from ctprep.store.place import Place, Where, absolute
from ctprep.store.store import VolumeStore

Format = Literal["nifti", "ome-zarr"]
SUFFIXES: dict[Format, str] = {"nifti": ".nii.gz", "ome-zarr": ".ome.zarr"}

PEAK_BYTES_A_VOXEL = 6
"""The voxels, a resampled copy, and both encoded."""


@dataclass(frozen=True)
class ExportSettings:
    """What holds for every volume of a run."""

    store: Place
    out: Path
    format: Format
    original_grid: bool
    overwrite: bool
    dry_run: bool
    keep_equal: bool = False


def export_store(
    store: Where,
    out: Path,
    *,
    format: Format,
    scan_ids: Sequence[str] = (),
    original_grid: bool = False,
    overwrite: bool = False,
    workers: int = 1,
    dry_run: bool = False,
    keep_equal: bool = False,
) -> Iterator[Item]:
    """Write volumes of a store as `<scan id>.nii.gz` or `<scan id>.ome.zarr`.

    A file appears under its name whole or not at all. A hi-fi store gives HU in int16, a JPEG
    store gray levels in uint8.

    Args:
        store: hi-fi or JPEG store to read: a folder, or a URL in a bucket.
        out: folder for the files; it is made.
        format: `nifti`, or `ome-zarr`.
        scan_ids: which volumes; all by default.
        original_grid: resample each back onto the grid of its source; NIfTI alone.
        overwrite: replace files that are there.
        workers: processes; 1 stays in this one.
        dry_run: write nothing.
        keep_equal: compare a NIfTI file that is there with what would be written, and leave it
            as it is where they are the same; it is refused without.

    Yields:
        What became of each volume: stored, planned in a dry run, unchanged where `keep_equal`
        found it so, or refused, as `exists` where its file is there already.

    Raises:
        RecipeError: OME-Zarr is asked for on the original grid.
        StoreError: there is no such store or volume, or `out` cannot take files.
        PlaceError: the disk of `out` is full, read-only or fails, or the bucket cannot be reached.
    """
    if original_grid and format != "nifti":
        # OME-Zarr 0.5 has scale and translation alone, and sources may be turned.
        raise RecipeError(
            "the original grid is written as NIfTI alone: OME-Zarr cannot state turned axes",
            mend="use --format nifti, or leave out --original-grid",
        )
    source = VolumeStore.open(store)
    chosen = choose_scans(source, scan_ids)
    place = absolute(source.place)
    settings = ExportSettings(
        place, out.absolute(), format, original_grid, overwrite, dry_run, keep_equal
    )
    if not dry_run:
        _make_folder(out)
    jobs = (VolumeJob(scan_id, _peak_bytes(source, scan_id, settings)) for scan_id in chosen)
    work = partial(export_volume, settings=settings)
    yield from run(work, jobs, workers=1 if dry_run else workers)


def choose_scans(store: VolumeStore, scan_ids: Sequence[str]) -> tuple[str, ...]:
    """Give the asked scans, or all.

    Args:
        store: that must hold them.
        scan_ids: as asked for; empty means all.

    Raises:
        StoreError: the store does not have one of them.
    """
    for scan_id in scan_ids:
        if scan_id not in store:
            raise StoreError(
                "the store has no such volume",
                mend="choose one of the store's scan ids; `ctprep inspect` tells some",
                where=scan_id,
            )
    return tuple(scan_ids) or store.scan_ids()


def _make_folder(out: Path) -> None:
    with located(out.name), writing(out.name):
        if (out / METADATA).exists():
            raise StoreError("the folder to write is itself a store", mend="choose another folder")
        try:
            out.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise StoreError("a file is in the way", mend="choose another folder") from error
    clean(out)


def _peak_bytes(store: VolumeStore, scan_id: str, settings: ExportSettings) -> int:
    voxels = int(np.prod(store.attributes.grid.shape))
    if settings.original_grid:
        try:
            voxels += int(np.prod(store.read_attributes(scan_id).original.shape))
        except StoreError:
            # Damaged: the work itself will refuse it, with the reason.
            return PROCESS_BYTES
    return PROCESS_BYTES + PEAK_BYTES_A_VOXEL * voxels


def export_volume(job: VolumeJob, settings: ExportSettings) -> Item:
    """Write one volume.

    Args:
        job: the volume.
        settings: those of the run.

    Returns:
        What became of it; a volume that cannot be read is a refused item.

    Raises:
        PlaceError: the folder cannot be written or the bucket reached, which is no fault of the
            volume.
    """
    began = time.perf_counter()
    try:
        with located(job.scan_id):
            return _export(job.scan_id, settings, began)
    except PlaceError:
        raise
    except CtError as error:
        seconds = time.perf_counter() - began
        return refused(job.name, error, scan_id=job.scan_id, seconds=seconds)


def _export(scan_id: str, settings: ExportSettings, began: float) -> Item:
    target = settings.out / f"{scan_id}{SUFFIXES[settings.format]}"
    in_the_way = target.exists() and not settings.overwrite
    if in_the_way and not (settings.keep_equal and settings.format == "nifti"):
        return _exists(scan_id, f"{target.name} is there already")
    if settings.dry_run:
        return Item("planned", scan_id, scan_id, seconds=time.perf_counter() - began)
    store = VolumeStore.open(settings.store)
    if settings.format == "ome-zarr":
        nbytes = _write_image(store, scan_id, target)
    else:
        content = _encode(store, scan_id, settings)
        nbytes = len(content)
        if in_the_way:
            if is_same_nifti(target, content):
                seconds = time.perf_counter() - began
                return Item("unchanged", scan_id, scan_id, nbytes=nbytes, seconds=seconds)
            return _exists(scan_id, f"another {target.name} is there already")
        write_atomically(target, content)
    seconds = time.perf_counter() - began
    return Item("stored", scan_id, scan_id, nbytes=nbytes, seconds=seconds)


def _exists(scan_id: str, what: str) -> Item:
    mend = "pass --overwrite, or export to another folder"
    return Item("refused", scan_id, scan_id, verdict="exists", what=what, mend=mend)


def _write_image(store: VolumeStore, scan_id: str, target: Path) -> int:
    attributes, voxels = store.read_attributes(scan_id), store.read(scan_id)
    files = encode_image(voxels, attributes, store.attributes)
    write_folder(target.parent, target.name, files)
    return sum(len(content) for content in files.values())


def _encode(store: VolumeStore, scan_id: str, settings: ExportSettings) -> bytes:
    attributes, voxels = store.read_attributes(scan_id), store.read(scan_id)
    affine_ras = np.array(attributes.affine_ras)
    if settings.original_grid:
        fill = FILL_VALUE[store.attributes.kind]
        voxels, affine_ras = to_original(voxels, attributes, fill=fill)
    return encode_nifti(voxels, affine_ras, description=_describe(store.attributes))


def _describe(store: StoreAttributes) -> str:
    if store.window is None:
        return "CT-Lite, HU"
    return f"CT-Lite, gray of window {store.window.center_hu:g} / {store.window.width_hu:g} HU"
