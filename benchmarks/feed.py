"""Can the loader keep a GPU fed?

A FAST step of teacher and student is timed on a batch that is on the device already, the loader
without any step, and both together. A run needs gray levels for the student and HU for the
teacher; gray levels alone, which both networks then get, show what a stage of one store has.
Run: python benchmarks/feed.py [--geometry tiny|medium|v1|v2] [--device auto|cpu|cuda]
    [--precision float32|bf16] [--batch N] [--volumes N] [--steps N] [--threads N] [--out FOLDER]
Each stored volume takes about 60 MB of disk under the temporary folder.
"""

import argparse
import math
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import cycle, islice, repeat
from pathlib import Path

import torch
from devices import Setting, add_options, setting_of
from phantom_store import create_store, describe, draw_hu
from results import publish
from step import FRAMES, GEOMETRIES, build_encoders
from torch import Tensor

from ctlite.data.batch import Batch
from ctlite.data.loader import Loader
from ctlite.data.volumes import to_video
from ctlite.losses.fast import fast_losses
from ctlite.models.ct_encoder import CTViT
from ctlite.optimizer import build_optimizer, clip_gradients, parameter_groups
from ctprep.store.attributes import GRIDS, LUNG, Grid
from ctprep.store.layout import ARRAY, SHARD
from ctprep.store.store import VolumeStore
from ctprep.window import to_gray

DRAWN = 2
"""Distinct volumes; more would only take longer to draw."""
HU_RANGE = (-1000.0, 1000.0)
STORED, SEEN = "SPL", "SLP"
"""Orientation of the store and of the networks."""
WARM_UP = 3


@dataclass(frozen=True)
class Stores:
    """The same scans as gray levels and as HU."""

    gray: VolumeStore
    hu: VolumeStore

    def megabytes(self, *, has_hu: bool) -> float:
        """Tell the size of a volume as it is stored."""
        stores = (self.gray, self.hu) if has_hu else (self.gray,)
        return sum(mean_bytes(store) for store in stores) / 1e6


def mean_bytes(store: VolumeStore) -> float:
    """Tell the mean size of a store's volumes."""
    folder = store.place.path
    if folder is None:
        raise SystemExit("the store is not in a folder")
    sizes = [(folder / each / ARRAY / SHARD).stat().st_size for each in store.scan_ids()]
    return sum(sizes) / len(sizes)


def grid_of(geometry: str) -> Grid:
    """Give the grid that an encoder takes, over the field of view of ct-clip."""
    full = GRIDS["ct-clip"]
    height, width = GEOMETRIES[geometry]().image_size
    shape = (FRAMES[geometry], height, width)
    slice_mm, row_mm, column_mm = (
        mm * there / here
        for mm, there, here in zip(full.spacing_mm, full.shape, shape, strict=True)
    )
    return Grid(name="feed", spacing_mm=(slice_mm, row_mm, column_mm), shape=shape)


def make_stores(folder: Path, grid: Grid, volumes: int, threads: int) -> Stores:
    """Write synthetic chests to both stores."""
    stores = Stores(
        create_store(folder / "gray.zarr", grid, "jpeg"),
        create_store(folder / "hu.zarr", grid, "hifi"),
    )
    with ThreadPoolExecutor(threads) as pool:
        drawn = list(pool.map(draw_hu, repeat(grid, DRAWN), range(DRAWN)))
        pairs = [(hu, to_gray(hu, LUNG)) for hu in drawn]

        def write(number: int) -> None:
            scan_id = f"phantom_{number}"
            hu, gray = pairs[number % DRAWN]
            stores.hu.write(scan_id, hu, describe(scan_id, grid))
            stores.gray.write(scan_id, gray, describe(scan_id, grid))

        list(pool.map(write, range(volumes)))
    return stores


class Training:
    """Steps of FAST as the trainer does them, at fixed weights of its terms.

    Args:
        geometry: of the encoders.
        setting: where they are.
    """

    def __init__(self, geometry: str, setting: Setting) -> None:
        self._setting = setting
        teacher, student = build_encoders(geometry, setting.device, recompute=False)
        self._teacher: CTViT = teacher
        self._student: CTViT = student
        groups = parameter_groups(student.named_parameters(), lr=1e-4, weight_decay=0.01)
        self._optimizer = build_optimizer(groups)

    def step(self, batch: Batch) -> None:
        """Learn from a batch."""
        clean, compressed = videos(batch.to(self._setting.device))
        with self._setting.autocast():
            losses = fast_losses(self._teacher, self._student, clean, compressed)
        total = torch.stack(list(losses.terms().values())).sum()
        # The trainer looks at every loss before it goes back.
        if not math.isfinite(total.item()):
            raise SystemExit("the loss is not finite")
        torch.autograd.backward(total)
        clip_gradients(self._student.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)


def videos(batch: Batch) -> tuple[Tensor, Tensor]:
    """Normalize and orient what teacher and student see."""
    oriented = partial(to_video, stored_orientation=STORED, model_orientation=SEEN)
    gray = oriented(torch.as_tensor(batch.gray), hu_range=None)
    if batch.hu is None:
        return gray, gray
    return oriented(batch.hu, hu_range=HU_RANGE), gray


def time_moves(loader: Loader, times: int, setting: Setting) -> float:
    """Tell the mean seconds in which a batch becomes videos on the device."""
    with closing(loader.anew()) as batches:
        held = next(batches)

    def move() -> None:
        videos(held.to(setting.device))

    seconds = [setting.wall_s(move) for _ in range(WARM_UP + times)]
    return sum(seconds[WARM_UP:]) / times


@dataclass(frozen=True)
class Fed:
    """What some batches took."""

    volumes_per_s: float
    waited: float
    """Share of the time in which the next batch was waited for."""


def run(batches: Iterator[Batch], steps: int, setting: Setting, training: Training | None) -> Fed:
    """Go over batches, with a step on each or with none, and time those after the warm-up."""
    began = waited = 0.0
    volumes = 0
    for number in range(WARM_UP + steps):
        if number == WARM_UP:
            setting.wait()
            began, waited, volumes = time.perf_counter(), 0.0, 0
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        volumes += len(batch)
        if training is not None:
            training.step(batch)
        # Held here, its memory could not be used for the next.
        del batch
    setting.wait()
    took = time.perf_counter() - began
    return Fed(volumes / took, waited / took)


def measure(asked: argparse.Namespace, setting: Setting, stores: Stores, has_hu: bool) -> list[str]:
    """Fill the column of one kind of batch."""
    loader = Loader(
        stores.gray.scan_ids(),
        gray_store=stores.gray,
        hu_store=stores.hu if has_hu else None,
        batch_size=asked.batch,
        threads=asked.threads,
        prefetch=prefetch(asked),
    )
    with closing(loader.anew()) as batches:
        alone = run(batches, asked.steps, setting, None)
        on_device = next(batches).to(setting.device)
    move_s = time_moves(loader, asked.steps, setting)
    training = Training(asked.geometry, setting)
    step = run(cycle([on_device]), asked.steps, setting, training)
    del on_device
    with closing(loader.anew()) as batches:
        # What was decoded ahead is used up first.
        for batch in islice(batches, prefetch(asked)):
            training.step(batch)
        del batch
        fed = run(batches, asked.steps, setting, training)
    return [
        f"{stores.megabytes(has_hu=has_hu):.1f}",
        f"{alone.volumes_per_s:.1f}",
        f"{asked.batch / move_s:.1f}",
        f"{1000 * move_s / asked.batch:.2f}",
        f"{step.volumes_per_s:.1f}",
        f"{1000 / step.volumes_per_s:.1f}",
        f"{fed.volumes_per_s:.1f}",
        f"{fed.volumes_per_s / step.volumes_per_s:.3f}",
        f"{100 * fed.waited:.1f} %",
    ]


ROWS = (
    "a volume as stored, MB",
    "decode alone, volumes/s",
    "to the device and normalized alone, volumes/s",
    "the same, ms a volume",
    "FAST step alone, its batch on the device, volumes/s",
    "the same, ms a volume",
    "both together, volumes/s",
    "to the step alone",
    "share of the time that the step waits for data",
)


def prefetch(asked: argparse.Namespace) -> int:
    """Decode as many batches ahead as keep all threads at work."""
    threads: int = asked.threads
    batch: int = asked.batch
    return max(2, math.ceil(threads / batch) + 1)


def main() -> None:
    """Print the table and write it beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--geometry", choices=GEOMETRIES, default="v1")
    add_options(parser, precision="bf16")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--volumes", type=int, default=16, help="in the stores")
    parser.add_argument("--steps", type=int, default=24, help="timed, of each kind")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    asked = parser.parse_args()
    setting = setting_of(asked)
    grid = grid_of(asked.geometry)
    with tempfile.TemporaryDirectory() as folder:
        stores = make_stores(Path(folder), grid, asked.volumes, asked.threads)
        columns = [measure(asked, setting, stores, has_hu) for has_hu in (False, True)]
    lines = [
        f"# Feeding a FAST step, {setting}, {datetime.now(UTC).date()}",
        "",
        f"By `benchmarks/feed.py`: geometry {asked.geometry}, grid {grid.shape}, batch "
        f"{asked.batch}, {asked.precision}, torch {torch.__version__}.",
        f"{asked.volumes} volumes in the page cache, drawn synthetic chests; {asked.threads} "
        f"threads of the loader, {prefetch(asked)} batches ahead; {asked.steps} batches timed.",
        "The step normalizes, goes through both networks and back, clips and updates.",
        "",
        "| | gray levels | gray levels and HU |",
        "|---|---|---|",
    ]
    lines += [
        f"| {row} | {' | '.join(cells)} |" for row, *cells in zip(ROWS, *columns, strict=True)
    ]
    subject = f"feed-{asked.geometry}" + ("" if asked.precision == "float32" else "-bf16")
    publish(subject, lines, asked.out, accelerator=setting.accelerator)


if __name__ == "__main__":
    main()
