"""How fast and how small is compress, beside bare window and JPEG, and beside its peers?

Every contender starts from what its users have on disk: ours from the hi-fi store, the others from
the same HU in an `.npy` file. Run: python benchmarks/compress.py [--rounds N] [--out FOLDER]
"""

import argparse
import gzip
import io
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
import simplejpeg
from decode import measure, processor
from ingest import write_scan
from numcodecs.zstd import Zstd
from PIL import Image
from results import publish

from ctprep.compress import compress_store, window_volume
from ctprep.ingest import ingest
from ctprep.quality import measure_quality
from ctprep.store.attributes import GRIDS, LUNG, VolumeAttributes
from ctprep.store.layout import ARRAY, SHARD, chunk_slices
from ctprep.store.store import VolumeStore

QUALITY = 90
LIMIT = "bare window and libjpeg-turbo (the limit)"
OURS = "ours, with PSNR and SSIM"
PILLOW_JPEG, PILLOW_PNG = "Pillow, a JPEG a slice", "Pillow, a PNG a slice, level 1"
ZSTD, GZIP = "Zstandard level 3, all HU", "gzip level 1, all HU"


def find_scan(scratch: Path) -> tuple[Path, str]:
    """Give the largest real NIfTI scan there is, else write a synthetic one."""
    folder = Path(os.environ.get("CTLITE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    scans = sorted(folder.glob("nifti/**/*.nii.gz"), key=lambda path: path.stat().st_size)
    if scans:
        return scans[-1], f"a real scan ({scans[-1].parent.name})"
    write_scan(scratch / "scan.nii.gz")
    return scratch / "scan.nii.gz", "a synthetic chest"


def compress_bare(hu: np.ndarray, attributes: VolumeAttributes) -> list[bytes]:
    """Window and encode what is in memory; write nothing."""
    gray = window_volume(hu, LUNG, attributes)
    slices = chunk_slices(gray.shape)
    return [
        simplejpeg.encode_jpeg(picture, quality=QUALITY, colorspace="GRAY", colorsubsampling="Gray")
        for picture in gray.reshape(len(gray) // slices, -1, gray.shape[2], 1)
        if picture.any()
    ]


def compress_ours(hifi: Path, jpeg: Path) -> None:
    """Run the whole step into a new store."""
    shutil.rmtree(jpeg, ignore_errors=True)
    for item in compress_store(hifi, jpeg, quality=QUALITY):
        if item.status != "stored":
            raise RuntimeError(item.what)


def window_by_formula(hu: np.ndarray) -> np.ndarray:
    """Window as most scripts do: floats, and the whole volume at once."""
    level = (hu.astype(np.float32) - (LUNG.center_hu - LUNG.width_hu / 2)) / LUNG.width_hu
    gray: np.ndarray = np.rint(np.clip(level, 0, 1) * 255).astype(np.uint8)
    return gray


def compress_with_pillow(source: Path, target: Path, suffix: str, **options: int) -> None:
    """Write a picture a slice."""
    target.mkdir(exist_ok=True)
    for number, plane in enumerate(window_by_formula(np.load(source))):
        Image.fromarray(plane).save(target / f"{number:03}{suffix}", format=None, **options)


def compress_gzip(source: Path, target: Path) -> None:
    """Write the voxels of a `.nii.gz`, at the level that nibabel takes."""
    with gzip.open(target, "wb", compresslevel=1) as file:
        file.write(np.load(source).tobytes())


def compress_zstd(source: Path, target: Path) -> None:
    """Write all HU with Zstandard."""
    target.write_bytes(Zstd(level=3).encode(np.load(source)))


def tasks(work: Path, hifi: VolumeStore, scan_id: str) -> dict[str, Callable[[], object]]:
    """Give every contender's work."""
    hu, source = hifi.read(scan_id), work / "hu.npy"
    np.save(source, hu)
    pillow = partial(compress_with_pillow, source)
    return {
        LIMIT: partial(compress_bare, hu, hifi.read_attributes(scan_id)),
        OURS: partial(compress_ours, hifi.path, work / "ours"),
        PILLOW_JPEG: partial(pillow, work / "jpeg", ".jpg", quality=QUALITY),
        PILLOW_PNG: partial(pillow, work / "png", ".png", compress_level=1),
        ZSTD: partial(compress_zstd, source, work / "hu.zst"),
        GZIP: partial(compress_gzip, source, work / "hu.gz"),
    }


def results(
    work: Path, hu: np.ndarray, attributes: VolumeAttributes
) -> dict[str, tuple[int, str, str]]:
    """Give the bytes that each has written, and PSNR and SSIM of what it keeps of the window."""
    name = attributes.scan_id
    bare = compress_bare(hu, attributes)
    shard = (work / "ours" / name / ARRAY / SHARD).read_bytes()
    if not shard.startswith(b"".join(bare)):
        raise RuntimeError("ours are not the bare JPEGs")
    ours = VolumeStore.open(work / "ours").read_attributes(name).quality
    if ours is None:
        raise RuntimeError("ours has not measured what it kept")
    figures = (f"{ours.psnr_db:.2f}", f"{ours.ssim:.4f}")
    pictures = sorted((work / "jpeg").iterdir())
    kept = np.stack([np.asarray(Image.open(io.BytesIO(p.read_bytes()))) for p in pictures])
    box = tuple(slice(*bounds) for bounds in attributes.content or ())
    psnr_db, ssim = measure_quality(window_by_formula(hu)[box], kept[box])
    whole = ("all gray levels", "1")
    return {
        LIMIT: (sum(map(len, bare)), *figures),
        OURS: (len(shard), *figures),
        PILLOW_JPEG: (sum(p.stat().st_size for p in pictures), f"{psnr_db:.2f}", f"{ssim:.4f}"),
        PILLOW_PNG: (sum(p.stat().st_size for p in (work / "png").iterdir()), *whole),
        ZSTD: ((work / "hu.zst").stat().st_size, "all HU", "1"),
        GZIP: ((work / "hu.gz").stat().st_size, "all HU", "1"),
    }


def main() -> None:
    """Measure, print the table and write it beside this script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        scan, content = find_scan(work)
        list(ingest(scan, work / "hifi.zarr", grid=GRIDS["ct-clip"], key=b"k" * 32))
        hifi = VolumeStore.open(work / "hifi.zarr")
        (scan_id,) = hifi.scan_ids()
        attributes, hu = hifi.read_attributes(scan_id), hifi.read(scan_id)
        seconds = measure(tasks(work, hifi, scan_id), asked.rounds)
        kept = results(work, hu, attributes)
    bounds = attributes.content or ()
    inside = " x ".join(str(end - begin) for begin, end in bounds)
    lines = [
        "# Compressing one volume",
        "",
        f"{processor()}, Python {platform.python_version()}, simplejpeg {version('simplejpeg')}, "
        f"Pillow {version('pillow')}; a load of {os.getloadavg()[0]:.1f} on {os.cpu_count()} "
        "cores, one thread.",
        f"{content.capitalize()} on the ct-clip grid, {hu.nbytes / 1e6:.1f} MB as int16, of which "
        f"{inside} voxels are not padding; lung window, JPEG quality {QUALITY}.",
        f"Medians of {asked.rounds} rounds, in which each runs once; a ratio is the median over "
        "rounds.",
        "Ours reads the hi-fi store and checks it, writes and syncs a store with its catalog, "
        "decodes it again and measures it; the limit does none of that, and starts in memory.",
        "",
        "| contender | CPU ms | times the limit | MB | PSNR, dB | SSIM |",
        "|---|---|---|---|---|---|",
    ]
    for name, times in seconds.items():
        ratio = median(own[1] / least[1] for own, least in zip(times, seconds[LIMIT], strict=True))
        nbytes, psnr, ssim = kept[name]
        cpu = 1000 * median(own for _, own in times)
        lines.append(f"| {name} | {cpu:.0f} | {ratio:.1f} | {nbytes / 1e6:.1f} | {psnr} | {ssim} |")
    publish("compress", [*lines, "", "Made by `python benchmarks/compress.py`."], asked.out)


if __name__ == "__main__":
    main()
