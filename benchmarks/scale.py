"""Benchmark of scale: ingest and compress of thousands of tiny scans, first run and no-op rerun.

Tells seconds a run, seconds of the catalog alone, and the memory of coordinator and workers when a
tenth, half and all of the scans are done, which must not grow. Run:
python benchmarks/scale.py [--scans 10000] [--workers 2] [--scratch FOLDER]
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
import pydicom
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from results import publish

SHAPE = (12, 20, 20)
SPACING_MM = 4.0
GRID = 'name = "tiny"\nspacing_mm = [4.0, 4.0, 4.0]\nshape = [16, 24, 24]\n'
DICOM_SHARE = 50
"""Of so many scans one is a DICOM series of a file a slice."""
NPZ_SHARE = 10
MARKS = (0.1, 0.5, 1.0)
SAMPLE_S = 0.25
UID_ROOT = "1.2.826.0.1.3680043.8.498."

COORDINATOR = "from cli.ctprep import main; main()"
CATALOG = """
import sys, time
from pathlib import Path
from ctprep.store.store import VolumeStore
store = VolumeStore.open(Path(sys.argv[1]))
began = time.perf_counter()
store.write_catalog()
print(time.perf_counter() - began)
"""


@dataclass(frozen=True)
class Run:
    """One run of a command."""

    name: str
    seconds: float
    counts: dict[str, int]
    coordinator_mib: tuple[float, ...]
    """At each of `MARKS`."""
    worker_mib: tuple[float, ...]
    """The largest worker, at each of `MARKS`."""


def write_scans(folder: Path, count: int) -> None:
    """Write so many tiny scans: NIfTI, every tenth NPZ, every fiftieth a DICOM series."""
    rng = np.random.default_rng(0)
    noise = rng.integers(-20, 21, (64, *SHAPE), dtype=np.int16)
    chest = np.full(SHAPE, -1000, np.int16)
    chest[:, 2:-2, 2:-2] = 40
    chest[:, 6:-6, 5:9] = chest[:, 6:-6, 11:15] = -850
    for number in range(count):
        # Two noises make as many scans as needed, no two alike.
        hu = chest + noise[number % 64]
        hu[0] += (noise[number // 64 % 64, 1] // 2).astype(np.int16)
        place = folder / f"{number // 1000:03d}"
        place.mkdir(parents=True, exist_ok=True)
        if number % DICOM_SHARE == 0:
            write_dicom(place / f"series-{number}", hu, number)
        elif number % NPZ_SHARE == 1:
            np.savez(place / f"scan-{number}.npz", ct=hu)
        else:
            write_nifti(place / f"scan-{number}.nii", hu)


def write_nifti(path: Path, hu: np.ndarray) -> None:
    """Write an uncompressed NIfTI file, by its header's layout."""
    header = np.zeros(352, np.uint8)
    header[:4] = np.frombuffer(np.int32(348).tobytes(), np.uint8)
    dim = np.array([3, *SHAPE[::-1], 1, 1, 1, 1], np.int16)
    header[40:56] = np.frombuffer(dim.tobytes(), np.uint8)
    header[70:74] = np.frombuffer(np.array([4, 16], np.int16).tobytes(), np.uint8)
    pixdim = np.array([1, *[SPACING_MM] * 3, 1, 1, 1, 1], np.float32)
    header[76:108] = np.frombuffer(pixdim.tobytes(), np.uint8)
    header[108:120] = np.frombuffer(np.array([352, 1, 0], np.float32).tobytes(), np.uint8)
    header[123] = 2  # millimeters
    header[254:256] = np.frombuffer(np.int16(1).tobytes(), np.uint8)
    affine = np.zeros((3, 4), np.float32)
    affine[[0, 1, 2], [0, 1, 2]] = (-SPACING_MM, -SPACING_MM, SPACING_MM)
    header[280:328] = np.frombuffer(affine.tobytes(), np.uint8)
    header[344:348] = np.frombuffer(b"n+1\0", np.uint8)
    path.write_bytes(header.tobytes() + hu.tobytes())


def write_dicom(folder: Path, hu: np.ndarray, number: int) -> None:
    """Write a DICOM series, a file a slice."""
    folder.mkdir()
    for index, axial in enumerate(hu):
        dataset = pydicom.Dataset()
        dataset.SOPClassUID = CTImageStorage
        dataset.SOPInstanceUID = f"{UID_ROOT}{number + 1}.1.{index + 1}"
        dataset.SeriesInstanceUID = f"{UID_ROOT}{number + 1}.1"
        dataset.StudyInstanceUID = f"{UID_ROOT}{number + 1}"
        dataset.FrameOfReferenceUID = dataset.StudyInstanceUID
        dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.PatientName = dataset.PatientID = f"patient-{number}"
        dataset.InstanceNumber, dataset.SeriesNumber = index + 1, 1
        dataset.Rows, dataset.Columns = axial.shape
        dataset.PixelSpacing, dataset.SliceThickness = [SPACING_MM] * 2, SPACING_MM
        dataset.ImagePositionPatient = [-40.0, -40.0, SPACING_MM * index]
        dataset.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
        dataset.RescaleSlope, dataset.RescaleIntercept = 1.0, -1024.0
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        dataset.PixelRepresentation = 0
        dataset.PixelData = (axial.astype(np.int32) + 1024).clip(0).astype("<u2").tobytes()
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        pydicom.dcmwrite(folder / f"{index:03d}.dcm", dataset, enforce_file_format=True)


def measured(name: str, arguments: Sequence[str], scratch: Path, total: int) -> Run:
    """Run a command of `ctprep`, and look at its memory until it ends."""
    out = scratch / "items.jsonl"
    began = time.perf_counter()
    coordinator: dict[float, float] = {}
    workers: dict[float, float] = {}
    with (
        out.open("wb") as file,
        subprocess.Popen(
            [sys.executable, "-c", COORDINATOR, *arguments, "--json"], stdout=file
        ) as process,
    ):
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            done = out.read_bytes().count(b"\n") / total
            for mark in MARKS:
                # The last look before the end stands for the end.
                if done >= mark * 0.98 and (mark == MARKS[-1] or mark not in coordinator):
                    coordinator[mark], workers[mark] = memory_mib(watched)
            time.sleep(SAMPLE_S)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"{name} ended with {process.returncode}")
    counts: dict[str, int] = {}
    for line in out.read_text().splitlines():
        status = json.loads(line)["status"]
        counts[status] = counts.get(status, 0) + 1
    return Run(name, seconds, counts, at_marks(coordinator), at_marks(workers))


def at_marks(found: dict[float, float]) -> tuple[float, ...]:
    """Give the figure at each mark; a run too short to be looked at has none."""
    return tuple(found.get(mark, float("nan")) for mark in MARKS)


def memory_mib(process: psutil.Process) -> tuple[float, float]:
    """Give the resident memory of a process, and of the largest of its children."""
    try:
        children = [child.memory_info().rss for child in process.children(recursive=True)]
        return process.memory_info().rss / 2**20, max(children, default=0) / 2**20
    except psutil.NoSuchProcess:
        return float("nan"), float("nan")


def catalog_seconds(store: Path) -> float:
    """Give the seconds to build the catalog from the volumes, in a process of its own."""
    command = [sys.executable, "-c", CATALOG, str(store)]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def size_mb(folder: Path) -> float:
    """Give the bytes of all files below a folder, in millions."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def table(runs: Iterable[Run]) -> list[str]:
    """Lay the runs out in Markdown."""
    lines = [
        "| run | seconds | scans a second | items | coordinator MiB | largest worker MiB |",
        "|---|---|---|---|---|---|",
    ]
    for run in runs:
        items = ", ".join(f"{count} {status}" for status, count in sorted(run.counts.items()))
        lines.append(
            f"| {run.name} | {run.seconds:.1f} | {sum(run.counts.values()) / run.seconds:.0f} "
            f"| {items} | {told(run.coordinator_mib)} | {told(run.worker_mib)} |"
        )
    return lines


def told(figures: Sequence[float]) -> str:
    """Write figures at the marks; one that was not seen, or no process, as a dash."""
    return " / ".join(f"{figure:.0f}" if figure > 0 else "-" for figure in figures)


def bench(count: int, workers: int, scratch: Path) -> list[str]:
    """Make the scans, run everything, and give the page."""
    source, hifi, jpeg = scratch / "source", scratch / "hifi.zarr", scratch / "jpeg.zarr"
    write_scans(source, count)
    grid = scratch / "tiny.toml"
    grid.write_text(GRID)
    ingest = ["ingest", str(source), str(hifi), "--grid", str(grid), "--workers", str(workers)]
    compress = ["compress", str(hifi), str(jpeg), "--workers", str(workers)]
    runs = [
        measured(name, arguments, scratch, count)
        for name, arguments in (
            ("ingest", ingest),
            ("ingest again", ingest),
            ("compress", compress),
            ("compress again", compress),
        )
    ]
    return [
        "# Ten thousand scans" if count == 10_000 else f"# {count} scans",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {workers} workers, "
        f"{count} synthetic scans of {SHAPE[2]} x {SHAPE[1]} x {SHAPE[0]} voxels, of which one in "
        f"{DICOM_SHARE} is a DICOM series and one in {NPZ_SHARE} NPZ.",
        "Scans are tiny so that what is measured is what comes with every scan, whatever its size.",
        "Memory is resident, when 10 %, 50 % and all of the scans were done; a rerun that finds "
        "nothing to do starts no worker.",
        "The goals: memory that does not grow, and a rerun within 20 s.",
        "",
        *table(runs),
        "",
        f"The catalog alone: {catalog_seconds(hifi):.1f} s for the hi-fi store, "
        f"{catalog_seconds(jpeg):.1f} s for the JPEG store.",
        f"Sizes: source {size_mb(source):.0f} MB, hi-fi store {size_mb(hifi):.0f} MB, JPEG store "
        f"{size_mb(jpeg):.0f} MB, report {size_mb_of(scratch, '*.report.jsonl'):.1f} MB, "
        f"fingerprints {size_mb_of(scratch, '*.fingerprints.jsonl'):.1f} MB.",
    ]


def size_mb_of(folder: Path, pattern: str) -> float:
    """Give the bytes of some files of a folder, in millions."""
    return sum(path.stat().st_size for path in folder.glob(pattern)) / 1e6


def main() -> None:
    """Run it, print the table, and publish it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scratch", type=Path, help="Folder to work in, on the disk to measure.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="For the table.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scale-", dir=arguments.scratch) as scratch:
        lines = bench(arguments.scans, arguments.workers, Path(scratch))
    publish("scale", lines, arguments.out)


if __name__ == "__main__":
    main()
