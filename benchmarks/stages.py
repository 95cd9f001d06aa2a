"""Where does the time of ingest and compress go, and how much of it is the libraries' own?

Each stage runs on the same synthetic scan beside the bare library call that does its work, into
memory that is there already: the limit.
Run: python benchmarks/stages.py [--rounds N] [--out FOLDER]
"""

import argparse
import hashlib
import os
import platform
import tempfile
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import simplejpeg
from decode import measure, processor
from ingest import SHAPE, write_scan
from isal import igzip
from numcodecs import blosc
from read import find_one
from results import publish

from ctprep.compress import window_volume
from ctprep.geometry import to_canonical
from ctprep.ingest import ingest
from ctprep.quality import measure_quality
from ctprep.resample import to_grid
from ctprep.sources.read import read
from ctprep.store.attributes import GRIDS, LUNG, Kind
from ctprep.store.chunks import decode_slices, encode_chunks
from ctprep.store.commit import write_folder
from ctprep.store.layout import ARRAY, SHARD, chunk_slices
from ctprep.store.shard import checksum, join_chunks, split_chunks
from ctprep.store.store import VolumeStore

GRID = GRIDS["ct-clip"]
SLICES = chunk_slices(GRID.shape)
QUALITY = 90
NIFTI_HEADER_BYTES = 352
READ_BYTES = 1 << 20
Stages = dict[str, tuple[Callable[[], object], Callable[[], object] | None, str]]
"""Our call, the limit, and what the limit is."""


def unpack_and_hash(scan: Path, voxels: np.ndarray) -> None:
    """Unpack a NIfTI file with isal and hash it, with no check in between."""
    buffer = voxels.reshape(-1).view(np.uint8).data
    with igzip.open(scan, "rb") as file:  # type: ignore[no-untyped-call]
        file.read(NIFTI_HEADER_BYTES)
        for begin in range(0, len(buffer), READ_BYTES):
            file.readinto(buffer[begin : begin + READ_BYTES])
    with scan.open("rb") as file:
        hashlib.file_digest(file, "sha256")


def copy_in_and_out(hu: np.ndarray, out: np.ndarray) -> None:
    """Turn every source slice into floats, and as many floats as the grid has into HU."""
    plane, kept = np.empty(hu.shape[1:], np.float32), np.zeros(out.shape[1:], np.float32)
    for source in hu:
        np.copyto(plane, source)
    for target in out:
        np.copyto(target, kept, casting="unsafe")


def blosc_encode(chunks: list[np.ndarray]) -> None:
    """Encode chunks as the hi-fi store does."""
    codec = blosc.Blosc(cname="zstd", clevel=3, shuffle=blosc.BITSHUFFLE)
    for chunk in chunks:
        codec.encode(chunk)


def blosc_decode(encoded: list[bytes], out: np.ndarray) -> None:
    """Decode chunks into one that is used again and again."""
    for chunk in encoded:
        blosc.decompress(chunk, out)


def jpeg_encode(pictures: list[np.ndarray]) -> None:
    """Encode pictures as the JPEG store does."""
    for picture in pictures:
        simplejpeg.encode_jpeg(picture, quality=QUALITY, colorspace="GRAY", colorsubsampling="Gray")


def jpeg_decode(encoded: list[bytes], out: np.ndarray) -> None:
    """Decode pictures into one that is used again and again."""
    for picture in encoded:
        simplejpeg.decode_jpeg(picture, colorspace="GRAY", buffer=out)


def write_plain(path: Path, data: memoryview) -> None:
    """Write one file and sync it."""
    with path.open("wb") as file:
        file.write(data)
        os.fsync(file.fileno())


def encode(voxels: np.ndarray, kind: Kind, quality: int | None) -> memoryview:
    """Encode a volume to a shard."""
    chunks = encode_chunks(voxels, kind, SLICES, quality)
    return join_chunks(chunks, room=voxels.nbytes)


def ingest_stages(scan: Path, work: Path) -> Stages:
    """Give the stages from a source to the hi-fi store."""
    found = find_one(scan.parent)
    canonical = to_canonical(read(found).volume)
    hu_range = (-1024.0, 3071.0)
    hu = to_grid(canonical, GRID, hu_range=hu_range).hu
    chunks = [hu[begin : begin + SLICES] for begin in range(0, len(hu), SLICES)]
    shard = encode(hu, "hifi", None)
    encoded = split_chunks(shard, len(chunks))
    present = [c for c, e in zip(chunks, encoded, strict=True) if e is not None]

    def write() -> None:
        for chunk in encoded:
            if chunk is not None:
                checksum(chunk)
        write_folder(work, "scan", {SHARD: shard})

    return {
        "ingest: read `.nii.gz`, hash, decide HU": (
            partial(read, found),
            partial(unpack_and_hash, scan, np.empty(SHAPE, np.int16)),
            "isal and SHA-256 alone",
        ),
        "ingest: resample": (
            partial(to_grid, canonical, GRID, hu_range=hu_range),
            partial(copy_in_and_out, canonical.hu, np.empty_like(hu)),
            "copying in and out alone",
        ),
        "ingest: encode, index": (
            partial(encode, hu, "hifi", None),
            partial(blosc_encode, present),
            "blosc alone",
        ),
        "ingest: checksums, write, sync": (
            write,
            partial(write_plain, work / "plain", shard),
            "writing and syncing a file",
        ),
    }


def compress_stages(store: VolumeStore) -> Stages:
    """Give the stages from the hi-fi store to the JPEG store, writing aside."""
    (scan_id,) = store.scan_ids()
    attributes, hu = store.read_attributes(scan_id), store.read(scan_id)
    box = tuple(slice(*bounds) for bounds in attributes.content or ())
    gray = window_volume(hu, LUNG, attributes)
    hifi = [bytes(c) for c in encode_chunks(hu, "hifi", SLICES, None) if c is not None]
    encoded = list(encode_chunks(gray, "jpeg", SLICES, QUALITY))
    decoded = np.array([plane.copy() for plane in decode_slices(encoded, "jpeg", gray.shape)])
    pictures = gray.reshape(len(encoded), -1, gray.shape[2], 1)
    present = [p for p, e in zip(pictures, encoded, strict=True) if e is not None]
    jpegs = [bytes(chunk) for chunk in encoded if chunk is not None]
    return {
        "compress: read the hi-fi volume": (
            partial(store.read, scan_id),
            partial(blosc_decode, hifi, np.empty(hu[:SLICES].shape, np.int16)),
            "blosc alone, in cache",
        ),
        "compress: window": (partial(window_volume, hu, LUNG, attributes), None, ""),
        "compress: encode, index": (
            partial(encode, gray, "jpeg", QUALITY),
            partial(jpeg_encode, present),
            "libjpeg-turbo alone",
        ),
        "compress: decode, to measure": (
            lambda: deque(decode_slices(encoded, "jpeg", gray.shape), maxlen=0),
            partial(jpeg_decode, jpegs, np.empty_like(present[0])),
            "libjpeg-turbo alone, in cache",
        ),
        "compress: PSNR and SSIM": (partial(measure_quality, gray[box], decoded[box]), None, ""),
    }


def table(stages: Stages, rounds: int) -> list[str]:
    """Measure the stages and their limits, and lay them out; ratios are medians over rounds."""
    tasks = {name: ours for name, (ours, _, _) in stages.items()}
    limits = {f"limit of {name}": limit for name, (_, limit, _) in stages.items() if limit}
    seconds = measure({**tasks, **limits}, rounds)
    lines = [
        "| stage | CPU ms | limit, CPU ms | times the limit | the limit is |",
        "|---|---|---|---|---|",
    ]
    total, total_limit = 0.0, 0.0
    for name, (_, limit, what) in stages.items():
        cpu = [own for _, own in seconds[name]]
        total += median(cpu)
        if limit is None:
            lines.append(f"| {name} | {1000 * median(cpu):.0f} | | | |")
            continue
        least = [own for _, own in seconds[f"limit of {name}"]]
        total_limit += median(least)
        ratio = median(a / b for a, b in zip(cpu, least, strict=True))
        lines.append(
            f"| {name} | {1000 * median(cpu):.0f} | {1000 * median(least):.0f} | {ratio:.2f} "
            f"| {what} |"
        )
    lines.append(f"| all of these | {1000 * total:.0f} | {1000 * total_limit:.0f} | | |")
    return lines


def main() -> None:
    """Measure, print the table and write it beside this script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        scan, work = Path(scratch, "source", "scan.nii.gz"), Path(scratch, "work")
        scan.parent.mkdir()
        work.mkdir()
        write_scan(scan)
        hifi = Path(scratch, "hifi.zarr")
        list(ingest(scan.parent, hifi, grid=GRID, key=b"k" * 32))
        store = VolumeStore.open(hifi)
        rows = table(ingest_stages(scan, work) | compress_stages(store), asked.rounds)
        nbytes = (hifi / "scan" / ARRAY / SHARD).stat().st_size
    lines = [
        "# Where the time of ingest and compress goes",
        "",
        f"{processor()}, Python {platform.python_version()}, one thread, a load of "
        f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; a synthetic `.nii.gz` of "
        f"{SHAPE[2]} x {SHAPE[1]} x {SHAPE[0]} onto the ct-clip grid, {nbytes / 1e6:.1f} MB hi-fi.",
        f"Medians of {asked.rounds} rounds, in which every call runs once.",
        "",
        *rows,
        "",
        "Made by `python benchmarks/stages.py`.",
    ]
    publish("stages", lines, asked.out)


if __name__ == "__main__":
    main()
