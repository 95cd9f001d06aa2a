"""Benchmark of ingest: seconds and peak memory a volume, from `.nii.gz` to what a trainer reads.

Each contender runs in a process of its own on the same scan: ours (hi-fi store, then JPEG store),
a loader as CT-CLIP's users write it (nibabel, torch interpolation, `torch.save`), and MONAI's
transforms. Ours is also run once on a scan of 600 slices, for its peak memory.
Run: python benchmarks/ingest.py [--peer-python PYTHON] [--out FOLDER]
"""

import argparse
import gzip
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from decode import processor
from results import publish

SHAPE = (154, 512, 512)
LONG = (600, 512, 512)
SPACING_MM = (2.0, 0.7, 0.7)
LONG_SPACING_MM = (0.6, 0.7, 0.7)
REPEATS = 3
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLOSC_NTHREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
CONTENDERS = ("ours", "ours, without measuring", "nibabel and torch", "monai")

# Every script reads its scan from argv and prints CPU and wall seconds; imports are not counted.
PRELUDE = """
import json, resource, sys, time, warnings
warnings.simplefilter("ignore")
from pathlib import Path
scan, out, repeats = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
def report(work):
    spans = []
    for number in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work(out / str(number))
        spans.append((time.perf_counter() - wall, time.process_time() - cpu))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    files = [path for path in (out / "0").rglob("*") if path.is_file()]
    nbytes = sum(path.stat().st_size for path in files)
    print(json.dumps({"spans": spans, "peak_kib": peak, "nbytes": nbytes}))
"""

OURS = """
from ctprep.compress import compress_store
from ctprep.ingest import ingest
from ctprep.store.attributes import GRIDS
def work(folder):
    def check(items):
        for item in items:
            assert item.status == "stored", item
    folder.mkdir(parents=True)
    check(ingest(scan.parent, folder / "hifi.zarr", grid=GRIDS["ct-clip"], key=b"k" * 32))
    check(compress_store(folder / "hifi.zarr", folder / "jpeg.zarr"))
report(work)
"""

UNMEASURED = """
import ctprep.quality
ctprep.quality.measure_quality = lambda clean, decoded: (None, 1.0)
"""

PLAIN = """
import nibabel, numpy as np, torch
torch.set_num_threads(1)
def work(folder):
    folder.mkdir(parents=True)
    image = nibabel.load(scan)
    voxels = image.get_fdata()
    spacing = image.header.get_zooms()
    voxels = np.clip(voxels, -1000, 1000).transpose(2, 0, 1)
    volume = torch.tensor(voxels)[None, None]
    target = (1.5, 0.75, 0.75)
    source = (spacing[2], spacing[0], spacing[1])
    size = [int(n * s / t) for n, s, t in zip(volume.shape[2:], source, target)]
    volume = torch.nn.functional.interpolate(volume, size=size, mode="trilinear")[0, 0]
    volume = (volume / 1000).float()
    for axis, length in enumerate((240, 480, 480)):
        extra = volume.shape[axis] - length
        if extra > 0:
            volume = volume.narrow(axis, extra // 2, length)
        pad = [0] * 6
        missing = max(0, -extra)
        pad[2 * (2 - axis)], pad[2 * (2 - axis) + 1] = missing // 2, missing - missing // 2
        volume = torch.nn.functional.pad(volume, pad, value=-1)
    torch.save(volume.clone(), folder / "scan.pt")
report(work)
"""

MONAI = """
import torch
torch.set_num_threads(1)
import numpy as np
from monai.transforms import (Compose, EnsureChannelFirst, LoadImage, Orientation,
    ResizeWithPadOrCrop, ScaleIntensityRange, Spacing)
transforms = Compose([
    LoadImage(image_only=True), EnsureChannelFirst(), Orientation("RAS"),
    Spacing((0.75, 0.75, 1.5), mode="bilinear"),
    ScaleIntensityRange(-1000, 1000, -1, 1, clip=True),
    ResizeWithPadOrCrop((480, 480, 240), constant_values=-1),
])
def work(folder):
    folder.mkdir(parents=True)
    np.save(folder / "scan.npy", np.asarray(transforms(scan), np.float32))
report(work)
"""

SCRIPTS = {
    "ours": PRELUDE + OURS,
    "ours, without measuring": PRELUDE + UNMEASURED + OURS,
    "nibabel and torch": PRELUDE + PLAIN,
    "monai": PRELUDE + MONAI,
}


def write_scan(
    path: Path,
    shape: tuple[int, int, int] = SHAPE,
    spacing_mm: tuple[float, float, float] = SPACING_MM,
) -> None:
    """Write a synthetic chest with noise, as int16 HU in NIfTI, without any NIfTI library."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[-1:1:512j, -1:1:512j]
    body = (rows / 0.7) ** 2 + (columns / 0.9) ** 2 < 1
    lungs = (rows / 0.45) ** 2 + ((np.abs(columns) - 0.42) / 0.3) ** 2 < 1
    mean_hu = np.where(lungs, -850, np.where(body, 40, -1000))
    noise = rng.normal(0, 20, (8, 512, 512))
    hu = np.empty(shape, np.int16)
    for index in range(shape[0]):
        hu[index] = np.rint(mean_hu + noise[index % 8] + 10 * np.sin(index / 9 + rows * 20))
    header = np.zeros(352, np.uint8)
    header[:4] = np.frombuffer(np.int32(348).tobytes(), np.uint8)
    dim = np.array([3, *shape[::-1], 1, 1, 1, 1], np.int16)
    header[40:56] = np.frombuffer(dim.tobytes(), np.uint8)
    header[70:74] = np.frombuffer(np.array([4, 16], np.int16).tobytes(), np.uint8)
    pixdim = np.array([1, *spacing_mm[::-1], 1, 1, 1, 1], np.float32)
    header[76:108] = np.frombuffer(pixdim.tobytes(), np.uint8)
    header[108:120] = np.frombuffer(np.array([352, 1, 0], np.float32).tobytes(), np.uint8)
    header[123] = 2  # millimeters
    header[254:256] = np.frombuffer(np.int16(1).tobytes(), np.uint8)
    affine = np.zeros((3, 4), np.float32)
    affine[[0, 1, 2], [0, 1, 2]] = (-spacing_mm[2], -spacing_mm[1], spacing_mm[0])
    header[280:328] = np.frombuffer(affine.tobytes(), np.uint8)
    header[344:348] = np.frombuffer(b"n+1\0", np.uint8)
    with gzip.open(path, "wb", compresslevel=3) as file:
        file.write(header.tobytes() + hu.tobytes())


def run_contender(
    name: str, python: str, scan: Path, folder: Path, repeats: int
) -> dict[str, float] | None:
    """Run one contender in its own process; None where its packages are not installed."""
    done = subprocess.run(
        [python, "-c", SCRIPTS[name], str(scan), str(folder), str(repeats)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1")},
    )
    if done.returncode:
        if "ModuleNotFoundError" in done.stderr:
            return None
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    result = json.loads(done.stdout.splitlines()[-1])
    return {
        "wall_s": statistics.median(wall for wall, _ in result["spans"]),
        "cpu_s": statistics.median(cpu for _, cpu in result["spans"]),
        "peak_gib": result["peak_kib"] / 2**20,
        "mb": result["nbytes"] / 1e6,
    }


def table(results: dict[str, dict[str, float] | None]) -> list[str]:
    """Lay the results out in Markdown; ratios are against ours."""
    ours = results["ours"]
    if ours is None:
        raise RuntimeError("ctprep is not installed")
    lines = [
        "| contender | CPU s | wall s | CPU, x ours | peak GiB | MB written |",
        "|---|---|---|---|---|---|",
    ]
    for name, figures in results.items():
        if figures is None:
            lines.append(f"| {name} | not installed | | | | |")
            continue
        lines.append(
            f"| {name} | {figures['cpu_s']:.2f} | {figures['wall_s']:.2f} "
            f"| {figures['cpu_s'] / ours['cpu_s']:.1f} | {figures['peak_gib']:.2f} "
            f"| {figures['mb']:.1f} |"
        )
    return lines


def main() -> None:
    """Run every contender, print the table, and write it beside this script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", default=sys.executable, help="Python that has MONAI.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        scan, long = work / "source" / "scan.nii.gz", work / "long" / "scan.nii.gz"
        scan.parent.mkdir()
        long.parent.mkdir()
        write_scan(scan)
        results = {}
        for number, name in enumerate(CONTENDERS):
            python = arguments.peer_python if name == "monai" else sys.executable
            repeats = 1 if name == "monai" else REPEATS
            results[name] = run_contender(name, python, scan, work / str(number), repeats)
        write_scan(long, LONG, LONG_SPACING_MM)
        longest = run_contender("ours", sys.executable, long, work / "longest", 1)
    if longest is None:
        raise RuntimeError("ctprep is not installed")
    lines = [
        "# Ingest and compress, a volume",
        "",
        f"{processor()}, Python {platform.python_version()}, one thread each, a load of "
        f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; synthetic `.nii.gz` of "
        f"{SHAPE[2]} x {SHAPE[1]} x {SHAPE[0]} onto the ct-clip grid.",
        "Ours writes two stores, lossless and JPEG; the peers write one float32 array.",
        f"Medians of {REPEATS} runs (MONAI 1), each contender in its own process; imports are not "
        "timed, peak memory is the process's with its libraries.",
        "The goal is 1.0 s a volume and a tenth of MONAI; on a shared machine only ratios count.",
        "Where our time goes, and what of it is the libraries' own, is in the table of stages.",
        "",
        *table(results),
        "",
        f"A scan of {LONG[2]} x {LONG[1]} x {LONG[0]}, ours: {longest['cpu_s']:.2f} CPU s, peak "
        f"{longest['peak_gib']:.2f} GiB (goal 1.2), {longest['mb']:.1f} MB written.",
        "",
        "Made by `python benchmarks/ingest.py`.",
    ]
    publish("ingest", lines, arguments.out)


if __name__ == "__main__":
    main()
