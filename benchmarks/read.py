"""How fast is a source read, beside the bare decoders that are installed?

DICOM from real series, uncompressed and JPEG lossless, where they are; `.nii.gz` from the synthetic
scan of `ingest.py`. Run: python benchmarks/read.py [--rounds N] [--out FOLDER]
"""

import argparse
import os
import platform
import tempfile
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from statistics import median

import nibabel
import numpy as np
import pydicom
import SimpleITK
from decode import measure, processor
from ingest import SHAPE, write_scan
from pydicom.pixels.decoders.base import get_decoder
from results import publish

from ctprep.sources.discover import discover
from ctprep.sources.read import read
from ctprep.sources.source import Found

SERIES = (
    "01_siemens_two_kernels/2.000000-ThoraxRoutine_8.0.0_B70f",
    "02_ge_jpeg_lossless_padding",
)
Tasks = dict[str, Callable[[], object]]


def find_one(folder: Path) -> Found:
    """Give the one scan of a folder."""
    (found,) = (entry for entry in discover(folder) if isinstance(entry, Found))
    return found


def decode_in_memory(contents: list[bytes], plugin: str) -> None:
    """Hash and decode files by one of pydicom's plugins, neither sorted nor made HU."""
    for content in contents:
        sha256(content)
        dataset = pydicom.dcmread(BytesIO(content))
        if plugin:
            dataset.pixel_array_options(decoding_plugin=plugin)
        _ = dataset.pixel_array


def read_with_itk(files: list[str]) -> np.ndarray:
    """Read an image, or a sorted series, as SimpleITK's users do."""
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(files if len(files) > 1 else files[0]))


def dicom_tasks(folder: Path) -> tuple[Tasks, int, str]:
    """Give ways to read a series, ours first; its number of slices, and its transfer syntax."""
    files = sorted(folder.glob("*.dcm"))
    contents = [path.read_bytes() for path in files]
    first = pydicom.dcmread(BytesIO(contents[0]), stop_before_pixels=True)
    syntax = first.file_meta.TransferSyntaxUID
    plugins = get_decoder(syntax).available_plugins if syntax.is_compressed else ("",)
    tasks: Tasks = {"ours": partial(read, find_one(folder))}
    for plugin in plugins:
        name = f"pydicom with {plugin or 'numpy'} and SHA-256, in memory"
        tasks[name] = partial(decode_in_memory, contents, plugin)
    tasks["SimpleITK, files sorted by name"] = partial(read_with_itk, [str(f) for f in files])
    return tasks, len(files), syntax.name


def nifti_tasks(scan: Path) -> Tasks:
    """Give ways to read a `.nii.gz`, ours first."""
    return {
        "ours": partial(read, find_one(scan.parent)),
        "nibabel, `get_fdata`": lambda: nibabel.Nifti1Image.from_filename(scan).get_fdata(),
        "nibabel, stored values": lambda: np.asarray(
            nibabel.Nifti1Image.from_filename(scan).dataobj
        ),
        "SimpleITK": partial(read_with_itk, [str(scan)]),
    }


def table(title: str, tasks: Tasks, rounds: int, count: int) -> list[str]:
    """Measure, and lay out CPU ms an image, and how many times ours that is."""
    seconds = measure(tasks, rounds)
    lines = [f"| {title} | CPU ms | times ours |", "|---|---|---|"]
    for name, times in seconds.items():
        ratio = median(own[1] / ours[1] for own, ours in zip(times, seconds["ours"], strict=True))
        cpu_ms = 1000 * median(own for _, own in times) / count
        lines.append(f"| {name} | {cpu_ms:.2f} | {ratio:.2f} |")
    return ["", *lines]


def main() -> None:
    """Measure, print the tables and write them beside this script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    asked = parser.parse_args()
    data = Path(os.environ.get("CTLITE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    tables = []
    for series in SERIES:
        if not (data / "dicom" / series).is_dir():
            tables += ["", f"`{series}` is not here, so it was not measured."]
            continue
        tasks, count, syntax = dicom_tasks(data / "dicom" / series)
        tables += table(f"DICOM, {syntax}, a slice of {count}", tasks, asked.rounds, count)
    with tempfile.TemporaryDirectory() as scratch:
        scan = Path(scratch) / "scan.nii.gz"
        write_scan(scan)
        title = f"`.nii.gz`, int16, {SHAPE[2]} x {SHAPE[1]} x {SHAPE[0]}, a volume"
        tables += table(title, nifti_tasks(scan), asked.rounds, 1)
    lines = [
        "# Reading a source",
        "",
        f"{processor()}, Python {platform.python_version()}, pydicom {version('pydicom')}, "
        f"nibabel {version('nibabel')}, SimpleITK {version('SimpleITK')}; a load of "
        f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.",
        f"Medians of {asked.rounds} rounds, in which each runs once; a ratio is the median over "
        "rounds.",
        "Ours starts from the scan that `discover` found, reads from disk, hashes every file, "
        "checks and sorts the slices, decides whether the values are HU and makes them int16.",
        *tables,
        "",
        "Made by `python benchmarks/read.py`.",
    ]
    publish("read", lines, asked.out)


if __name__ == "__main__":
    main()
