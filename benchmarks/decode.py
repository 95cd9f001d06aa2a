"""How fast is a volume read, beside bare JPEG decoding and beside plain zarr?

Run: python benchmarks/decode.py [--rounds N] [--out FOLDER]
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
import simplejpeg
import zarr
from results import cpu_s

from ctprep.store.attributes import (
    GRIDS,
    LUNG,
    HuDecision,
    Kind,
    OriginalGeometry,
    StoreAttributes,
    VolumeAttributes,
)
from ctprep.store.layout import ARRAY, SHARD, chunk_slices
from ctprep.store.shard import split_chunks
from ctprep.store.store import VolumeStore

GRID = GRIDS["ct-clip"]
AFFINE = ((0.0, 0, -0.75, 180), (0, -0.75, 0, 180), (1.5, 0, 0, 0), (0, 0, 0, 1))


def make_hu() -> tuple[np.ndarray, str]:
    """Give lifelike HU on the grid: a real scan where there is one, else a drawn chest."""
    folder = Path(os.environ.get("CTLITE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    scans = sorted(folder.glob("nifti/**/*.nii.gz"), key=lambda path: path.stat().st_size)
    if scans:
        import nibabel

        image = nibabel.as_closest_canonical(nibabel.load(scans[-1]))  # type: ignore[no-untyped-call]
        hu = np.asarray(image.dataobj)[::-1, ::-1].transpose(2, 1, 0)
        steps = [
            np.linspace(0, size - 1, new) for size, new in zip(hu.shape, GRID.shape, strict=True)
        ]
        index = np.ix_(*(np.rint(step).astype(int) for step in steps))
        return np.clip(hu[index], -1024, 3071).astype(np.int16), "a real scan, nearest neighbor"
    random = np.random.default_rng(0)
    z, y, x = np.ogrid[-1:1:240j, -1:1:480j, -1:1:480j]
    body = (x / 0.9) ** 2 + (y / 0.7) ** 2 < 1
    lungs = ((np.abs(x) - 0.42) / 0.3) ** 2 + (y / 0.5) ** 2 + z**2 < 1
    vessels = 300 * (np.sin(23 * x + 9 * z) * np.sin(19 * y - 7 * z) > 0.93)
    hu = np.where(body, 40, -1000) + np.where(lungs, -890 + vessels, 0)
    noise = random.normal(0, 25, GRID.shape) * body
    return np.clip(hu + noise, -1024, 3071).astype(np.int16), "a drawn chest with noise"


def make_store(folder: Path, kind: Kind, voxels: np.ndarray) -> VolumeStore:
    """Write one volume to a fresh store."""
    is_jpeg = kind == "jpeg"
    store = VolumeStore.create(
        folder / f"{kind}.zarr",
        StoreAttributes(
            kind=kind,
            grid=GRID,
            window=LUNG if is_jpeg else None,
            quality=90 if is_jpeg else None,
            encode_at="resampled" if is_jpeg else None,
        ),
    )
    original = OriginalGeometry(
        shape=GRID.shape, spacing_mm=GRID.spacing_mm, affine_ras=AFFINE, axis_codes="SPL"
    )
    hu = HuDecision(policy="already", decision="already", slope=1, intercept=0, reason="benchmark")
    attributes = VolumeAttributes(
        scan_id="scan",
        patient_id="patient",
        source_format="benchmark",
        source_sha256=(),
        original=original,
        affine_ras=AFFINE,
        hu=hu,
    )
    store.write("scan", voxels, attributes)
    return store


def bare_chunks(store: VolumeStore) -> tuple[list[bytes], np.ndarray]:
    """Take a JPEG volume's chunks out of its shard, and an array to decode them into."""
    count = GRID.shape[0] // chunk_slices(GRID.shape)
    shard = (store.path / "scan" / ARRAY / SHARD).read_bytes()
    chunks = [bytes(chunk) for chunk in split_chunks(shard, count) if chunk is not None]
    return chunks, np.empty(
        (count, GRID.shape[0] // count * GRID.shape[1], GRID.shape[2]), np.uint8
    )


def decode_bare(chunks: list[bytes], out: np.ndarray, threads: int) -> None:
    """Decode JPEGs and do nothing else: the limit."""

    def decode(number: int) -> None:
        simplejpeg.decode_jpeg(chunks[number], colorspace="GRAY", buffer=out[number])

    if threads == 1:
        for number in range(len(chunks)):
            decode(number)
        return
    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(decode, range(len(chunks))))


Times = list[tuple[float, float]]
"""Wall and CPU seconds of each round."""


def measure(tasks: dict[str, Callable[[], object]], rounds: int) -> dict[str, Times]:
    """Time every task once a round, so that whatever else the machine does hits all alike."""
    seconds: dict[str, Times] = {name: [] for name in tasks}
    for task in tasks.values():
        task()
    for _ in range(rounds):
        for name, task in tasks.items():
            wall, cpu = time.perf_counter(), cpu_s()
            task()
            seconds[name].append((time.perf_counter() - wall, cpu_s() - cpu))
    return seconds


def table(seconds: dict[str, Times], nbytes: int) -> list[str]:
    """Lay out medians, and medians over rounds of the first task's time over each task's."""
    limit = next(iter(seconds.values()))
    lines = []
    for name, times in seconds.items():
        wall, cpu = (median(column) for column in zip(*times, strict=True))
        by_wall, by_cpu = (
            median(base[clock] / own[clock] for base, own in zip(limit, times, strict=True))
            for clock in (0, 1)
        )
        lines.append(
            f"| {name} | {nbytes / 1e6:.1f} | {1000 * cpu:.0f} | {by_cpu:.3f} "
            f"| {1000 * wall:.0f} | {by_wall:.2f} |"
        )
    return lines


def processor() -> str:
    """Name the processor as the system does."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def read_plain(store: VolumeStore) -> object:
    """Read the volume as any user of zarr does."""
    array = zarr.open_group(store.path, mode="r")["scan/0"]
    if not isinstance(array, zarr.Array):
        raise TypeError("the volume is no array")
    return array[:]


def main() -> None:
    """Measure, print the table and write it beside this script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    hu, content = make_hu()
    gray = np.rint(np.clip(255 * ((hu + 600) / 1500 + 0.5), 0, 255)).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        jpeg, hifi = make_store(Path(folder), "jpeg", gray), make_store(Path(folder), "hifi", hu)
        chunks, bare = bare_chunks(jpeg)
        gray_out, hu_out = np.empty_like(gray), np.empty_like(hu)
        jpeg_seconds = measure(
            {
                "bare simplejpeg, 1 thread (the limit)": partial(decode_bare, chunks, bare, 1),
                "JPEG store, our reader, 1 thread": partial(jpeg.read, "scan", out=gray_out),
                "JPEG store, plain zarr": partial(read_plain, jpeg),
                "bare simplejpeg, 2 threads": partial(decode_bare, chunks, bare, 2),
                "JPEG store, our reader, 2 threads": partial(
                    jpeg.read, "scan", out=gray_out, threads=2
                ),
            },
            arguments.rounds,
        )
        hifi_seconds = measure(
            {
                "hi-fi store, our reader, 1 thread": partial(hifi.read, "scan", out=hu_out),
                "hi-fi store, our reader, 2 threads": partial(
                    hifi.read, "scan", out=hu_out, threads=2
                ),
                "hi-fi store, plain zarr": partial(read_plain, hifi),
            },
            arguments.rounds // 2,
        )
        sizes = [(s.path / "scan" / ARRAY / SHARD).stat().st_size for s in (jpeg, hifi)]
    load = os.getloadavg()[0]
    cores, machine, now = os.cpu_count(), platform.machine().partition("_")[0], datetime.now(UTC)
    lines = [
        "# Reading one volume",
        "",
        f"{processor()}, {cores} cores, {platform.system()}, Python {platform.python_version()}, "
        f"zarr {version('zarr')}, simplejpeg {version('simplejpeg')}, "
        f"numcodecs {version('numcodecs')}.",
        f"Grid {GRID.name} {GRID.shape}, {hu.size / 1e6:.1f} M voxels of {content}; "
        f"int16 raw is {hu.nbytes / 1e6:.1f} MB.",
        f"Medians of {arguments.rounds} rounds (hi-fi {arguments.rounds // 2}); a ratio is the "
        "median over rounds of the first row's time over this row's.",
        f"The machine had {load:.1f} tasks running for {cores} cores: the more there are, the less "
        "wall times say, of threads above all; CPU times stand.",
        "",
        "| JPEG quality 90 | MB | CPU ms | speed by CPU, limit = 1 | wall ms | speed by wall |",
        "|---|---|---|---|---|---|",
        *table(jpeg_seconds, sizes[0]),
        "",
        "| lossless | MB | CPU ms | speed by CPU, our reader = 1 | wall ms | speed by wall |",
        "|---|---|---|---|---|---|",
        *table(hifi_seconds, sizes[1]),
        "",
        "Made by `python benchmarks/decode.py`.",
        "",
    ]
    report = "\n".join(lines)
    print(report)  # noqa: T201
    name = f"decode_{cores}-core-{machine}_{now:%Y-%m-%d}.md"
    (arguments.out / name).write_text(report)


if __name__ == "__main__":
    main()
