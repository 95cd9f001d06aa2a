"""How fast do batches arrive? Our loader beside bare decoding (the limit) and its peers.

Every round measures all candidates one after the other, and a ratio is the median over the rounds
of ratios within a round, since absolute times mean little on a shared machine.
Run: python benchmarks/load.py [--out FOLDER]
"""

import argparse
import contextlib
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from jaxtyping import Float, UInt8
from phantom_store import QUALITY, create_store, describe, draw_hu
from results import processor_slug, publish
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ctlite.data.loader import Loader
from ctlite.data.volumes import to_video
from ctprep.store.attributes import GRIDS, LUNG
from ctprep.store.jpeg import encode_gray
from ctprep.store.store import VolumeStore
from ctprep.window import to_gray

GRID = GRIDS["ct-clip"]
VOLUMES = 2
"""Distinct volumes; more would only take longer to make."""
COPIES = 4
PER_ROUND = VOLUMES * COPIES
ROUNDS = 5
BATCH = 2
CHUNK_SLICES = 8
RAW_SHAPE = (154, 512, 512)
"""Slices, rows and columns of a usual scan, for the loader that reads NIfTI."""


class Stopwatch:
    """Wall and CPU time of this process and its ended children."""

    def __init__(self) -> None:
        self.wall_s = self.cpu_s = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Time a block."""
        wall, cpu = time.perf_counter(), _cpu_s()
        yield
        self.wall_s, self.cpu_s = time.perf_counter() - wall, _cpu_s() - cpu


def _cpu_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


class StoreDataset(Dataset[Tensor]):
    """The plain way: one volume an item, memory of its own, for worker processes."""

    def __init__(self, path: Path, scan_ids: list[str]) -> None:
        self.path, self.scan_ids = path, scan_ids
        self.store: VolumeStore | None = None

    def __len__(self) -> int:
        return len(self.scan_ids)

    def __getitem__(self, index: int) -> UInt8[Tensor, "slice row column"]:
        self.store = self.store or VolumeStore.open(self.path)
        return torch.from_numpy(self.store.read(self.scan_ids[index]))


def read_nifti(path: Path) -> Float[Tensor, "1 frame height width"]:
    """The peer: what CT-CLIP does for every volume of every epoch, written anew."""
    import nibabel as nib  # late: only this contender needs it

    image = nib.Nifti1Image.from_filename(path)
    zooms = image.header.get_zooms()  # type: ignore[no-untyped-call]
    spacing = [float(step) for step in zooms]
    hu = torch.from_numpy(image.get_fdata()).permute(2, 0, 1).clamp_(-1000, 1000)
    wanted = (GRID.spacing_mm[0], GRID.spacing_mm[2], GRID.spacing_mm[1])
    given = (spacing[2], spacing[0], spacing[1])
    size = [
        int(n * (step / target)) for n, step, target in zip(hu.shape, given, wanted, strict=True)
    ]
    resampled = torch.nn.functional.interpolate(hu[None, None], size=size, mode="trilinear")[0, 0]
    video = torch.full(GRID.shape, -1.0)
    cut, put = [], []
    for n, target in zip(size, GRID.shape, strict=True):
        start, before, length = max(0, n - target) // 2, max(0, target - n) // 2, min(n, target)
        cut.append(slice(start, start + length))
        put.append(slice(before, before + length))
    video[tuple(put)] = (resampled[tuple(cut)] / 1000).float()
    return video[None]


def make_inputs(folder: Path) -> tuple[VolumeStore, list[bytes], list[Path]]:
    """Render synthetic chests; write store, bare JPEG chunks and NIfTI files of the same."""
    store = create_store(folder / "gray.zarr", GRID, "jpeg")
    chunks: list[bytes] = []
    files: list[Path] = []
    for index in range(VOLUMES):
        hu = draw_hu(GRID, index)
        gray = to_gray(hu, LUNG)
        for first in range(0, GRID.shape[0], CHUNK_SLICES):
            stacked = gray[first : first + CHUNK_SLICES].reshape(-1, GRID.shape[2])
            chunks.append(encode_gray(stacked, QUALITY))
        for copy in range(COPIES):
            scan_id = f"phantom_{index}_{copy}"
            store.write(scan_id, gray, describe(scan_id, GRID))
        files.append(_write_nifti(hu, folder / f"{index}.nii.gz"))
    return store, chunks, files


def _write_nifti(hu: np.ndarray, path: Path) -> Path:
    import nibabel as nib

    picked = [
        np.linspace(0, n - 1, raw).astype(int) for n, raw in zip(hu.shape, RAW_SHAPE, strict=True)
    ]
    raw = hu[np.ix_(*picked)].transpose(2, 1, 0)
    spacing = [
        mm * n / raw for mm, n, raw in zip(GRID.spacing_mm, GRID.shape, RAW_SHAPE, strict=True)
    ]
    affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1])
    nib.save(nib.Nifti1Image(raw, affine), path)  # type: ignore[no-untyped-call]
    return path


def decode_bare(chunks: list[bytes], threads: int) -> int:
    """Decode the chunks of all volumes into reused memory, nothing else."""
    stacked = (CHUNK_SLICES * GRID.shape[1], GRID.shape[2])
    per_volume = len(chunks) // VOLUMES
    buffers = [np.empty((per_volume, *stacked), np.uint8) for _ in range(threads)]

    def decode(volume: int) -> None:
        own = chunks[volume % VOLUMES * per_volume :][:per_volume]
        for data, out in zip(own, buffers[volume % threads], strict=True):
            simplejpeg.decode_jpeg(data, "gray", buffer=out)

    def decode_all(volumes: Iterable[int]) -> None:
        for volume in volumes:
            decode(volume)

    if threads == 1:
        decode_all(range(PER_ROUND))
    else:
        with ThreadPoolExecutor(threads) as executor:
            # Each thread its own volumes, hence its own buffer.
            lanes = [range(lane, PER_ROUND, threads) for lane in range(threads)]
            list(executor.map(decode_all, lanes))
    return PER_ROUND


def measure(
    store: VolumeStore, chunks: list[bytes], files: list[Path]
) -> dict[str, list[Stopwatch]]:
    """Run all candidates in every round; times are a volume's."""
    scan_ids = list(store.scan_ids())
    loaders = {
        threads: Loader(scan_ids, gray_store=store, batch_size=BATCH, threads=threads)
        for threads in (1, 2)
    }
    processes = DataLoader(StoreDataset(store.path, scan_ids), batch_size=BATCH, num_workers=2)

    def ours(threads: int) -> int:
        # A whole epoch: what is decoded ahead must not be paid for by the next candidate.
        return sum(len(batch) for batch in loaders[threads].epoch(0))

    candidates: dict[str, Callable[[], int]] = {
        "bare 1": lambda: decode_bare(chunks, 1),
        "ours 1": lambda: ours(1),
        "bare 2": lambda: decode_bare(chunks, 2),
        "ours 2": lambda: ours(2),
        "processes 2": lambda: sum(len(batch) for batch in processes),
        "nifti": lambda: len([read_nifti(path) for path in files[:1]]),
    }
    times: dict[str, list[Stopwatch]] = {name: [] for name in candidates}
    for threads in loaders:
        # The first batches pay for fresh memory.
        ours(threads)
    for _ in range(ROUNDS):
        for name, run in candidates.items():
            watch = Stopwatch()
            with watch.running():
                volumes = run()
            watch.wall_s /= volumes
            watch.cpu_s /= volumes
            times[name].append(watch)
    return times


def measure_conversion(store: VolumeStore) -> dict[str, list[float]]:
    """CPU milliseconds a volume: to float32 as stored and as CT-CLIP wants it, and the limits."""
    gray = torch.from_numpy(store.read(store.scan_ids()[0]))[None]
    hu = gray.to(torch.int16) * 8 - 1100
    out = torch.empty(1, 1, *GRID.shape)
    other = torch.ones_like(out)

    def convert(stored: Tensor, orientation: str) -> None:
        to_video(
            stored,
            hu_range=None if stored is gray else (-1000.0, 1000.0),
            stored_orientation="SPL",
            model_orientation=orientation,
            out=out,
        )

    candidates: dict[str, Callable[[], object]] = {
        "copy of the floats, memory to memory (the limit)": lambda: out.copy_(other),
        "writing the floats alone": lambda: out.fill_(1.0),
        "gray levels as stored (SPL)": lambda: convert(gray, "SPL"),
        "gray levels in CT-CLIP's orientation (SLP)": lambda: convert(gray, "SLP"),
        "HU as stored (SPL)": lambda: convert(hu, "SPL"),
        "HU in CT-CLIP's orientation (SLP)": lambda: convert(hu, "SLP"),
    }
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for run in candidates.values():
        run()
    for _ in range(ROUNDS):
        for name, run in candidates.items():
            watch = Stopwatch()
            with watch.running():
                run()
            times[name].append(watch.cpu_s * 1000)
    return times


def conversion_table(times: dict[str, list[float]]) -> str:
    """One row a candidate, beside the first."""
    limit = next(iter(times.values()))
    lines = [
        "| float32 into reused memory, one thread | CPU ms a volume | to limit |",
        "|---|---|---|",
    ]
    for name, own in times.items():
        ratio = statistics.median(ms / best for ms, best in zip(own, limit, strict=True))
        lines.append(f"| {name} | {statistics.median(own):.1f} | {ratio:.2f} |")
    return "\n".join(lines)


def table(times: dict[str, list[Stopwatch]]) -> str:
    """One row a candidate."""
    rows = [
        ("bare decode, 1 thread (the limit)", "bare 1", "bare 1"),
        ("our loader, 1 thread", "ours 1", "bare 1"),
        ("bare decode, 2 threads (the limit)", "bare 2", "bare 2"),
        ("our loader, 2 threads", "ours 2", "bare 2"),
        ("torch DataLoader, 2 processes", "processes 2", "bare 2"),
        ("CT-CLIP style: .nii.gz, interpolate, float32", "nifti", "bare 1"),
    ]
    lines = [
        "| what | volumes/s | CPU ms a volume | speed to limit, wall | speed to limit, CPU |",
        "|---|---|---|---|---|",
    ]
    for title, name, limit in rows:
        wall = statistics.median(watch.wall_s for watch in times[name])
        cpu = statistics.median(watch.cpu_s for watch in times[name])
        pairs = list(zip(times[limit], times[name], strict=True))
        by_wall = statistics.median(best.wall_s / own.wall_s for best, own in pairs)
        by_cpu = statistics.median(best.cpu_s / own.cpu_s for best, own in pairs)
        lines.append(
            f"| {title} | {1 / wall:.2f} | {1000 * cpu:.0f} | {by_wall:.3f} | {by_cpu:.3f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    out: Path = parser.parse_args().out
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        store, chunks, files = make_inputs(Path(folder))
        times = measure(store, chunks, files)
        conversion = measure_conversion(store)
    nifti = statistics.median(
        peer.cpu_s / own.cpu_s for peer, own in zip(times["nifti"], times["ours 1"], strict=True)
    )
    megabytes = sum(map(len, chunks)) / VOLUMES / 1e6
    lines = [
        f"# Loading, {processor_slug()}, {datetime.now(UTC).date()}",
        "",
        f"Synthetic chests on the ct-clip grid {GRID.shape}, quality 90, {megabytes:.1f} MB"
        " a volume, in the page cache.",
        f"Batches of {BATCH} volumes of uint8; medians of {ROUNDS} rounds of {PER_ROUND}"
        " volumes, ratios within a round.",
        f"Made by `python benchmarks/load.py` with torch {torch.__version__}; the machine may"
        " have been shared, so trust ratios only.",
        "",
        table(times),
        "",
        f"The CT-CLIP style loader takes {nifti:.0f} times the CPU time of our loader.",
        "",
        conversion_table(conversion),
    ]
    publish("load", lines, out)


if __name__ == "__main__":
    main()
