"""Do the recipes of the paper train at the published v1 size, from volumes to a saved model?

A teacher of CT-CLIP v1 geometry with random weights (480 x 480 x 240 voxels, 16^3 tokens, dense
head 2,097,152 -> 512) is saved, and `ctlite train paper-fast` and `paper-sfp` run some steps in
processes of their own, on real scans that are ingested and compressed, or on synthetic patients.
Run: python benchmarks/full_size.py [SOURCE] [--stages fast sfp] [--steps N] [--batch-size N]
    [--precision NAME] [--set KEY=VALUE] [--out FOLDER]
SOURCE is a folder of scans. It needs 15 GB of disk under the temporary folder.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

from results import publish

from ctprep.store.attributes import (
    GRIDS,
    HuDecision,
    OriginalGeometry,
    StoreAttributes,
    VolumeAttributes,
)
from ctprep.store.machine import count_cores
from ctprep.store.store import VolumeStore
from ctprep.store.tables import ScanRow, write_scans

PATIENTS = 12
"""Synthetic ones; enough for batches of 8."""


def save_teacher(store: StoreAttributes, folder: Path) -> None:
    """Save a model of v1 geometry with random weights that takes the volumes of a store."""
    import torch

    from ctlite.model_recipe import ModelRecipe, TextRecipe
    from ctlite.models.build import build_model

    torch.manual_seed(0)
    recipe = ModelRecipe(
        patch_size=30,
        temporal_patch_size=15,
        pooling="none",
        hu_range=(-1000, 200),
        text=TextRecipe(encoder="small-bert"),
    )
    model = build_model(recipe, store, ["No finding."])
    model.save_pretrained(folder)


def scan_patient(store_path: Path, index: int) -> None:
    """Render a synthetic patient straight onto the grid of a store."""
    from ctprep.phantom.patient import draw_patient
    from ctprep.phantom.render import render_hu

    store, scan_id = VolumeStore.open(store_path), f"phantom_{index:04d}_1"
    grid = store.attributes.grid
    x, y, z = grid.spacing_mm[2], grid.spacing_mm[1], grid.spacing_mm[0]
    affine = ((0, 0, -x, 0), (0, -y, 0, 0), (z, 0, 0, 0), (0, 0, 0, 1.0))
    geometry = OriginalGeometry(
        shape=grid.shape, spacing_mm=grid.spacing_mm, affine_ras=affine, axis_codes="SPL"
    )
    attributes = VolumeAttributes(
        scan_id=scan_id,
        patient_id=scan_id,
        source_format="phantom",
        source_sha256=("0" * 64,),
        original=geometry,
        affine_ras=affine,
        hu=HuDecision(policy="already", decision="already", slope=1, intercept=0, reason="made"),
    )
    store.write(scan_id, render_hu(draw_patient(0, index), grid.spacing_mm, grid.shape), attributes)


def make_stores(work: Path, source: Path | None) -> None:
    """Make stores, tables and the teacher in a folder."""
    hifi, jpeg = work / "hifi.zarr", work / "q90.zarr"
    workers = count_cores()
    if source is not None:
        run(tool("ctprep"), "ingest", source, hifi, "--workers", workers)
    else:
        VolumeStore.create(hifi, StoreAttributes(kind="hifi", grid=GRIDS["ct-clip"]))
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            list(pool.map(scan_patient, [hifi] * PATIENTS, range(PATIENTS)))
    run(tool("ctprep"), "compress", hifi, jpeg, "--workers", workers)
    rows = [
        ScanRow(scan_id=scan_id, patient_id=scan_id, split="train", path=scan_id)
        for scan_id in VolumeStore.open(jpeg).scan_ids()
    ]
    write_scans(work / "scans.csv", rows)
    finding = "A nodule of {} mm in the right lobe."
    reports = [f"{row.scan_id},{finding.format(place)}," for place, row in enumerate(rows, 3)]
    (work / "reports.csv").write_text("\n".join(["scan_id,findings,impression", *reports]) + "\n")
    run(tool("ctprep"), "filter-reports", work / "reports.csv", work / "reports.parquet")
    # In a process of its own, whose memory is free again before the training begins.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(save_teacher, VolumeStore.open(hifi).attributes, work / "teacher").result()


def run(*command: object) -> tuple[float, float]:
    """Run a command; give its seconds and the most GiB it had in memory."""
    began = time.perf_counter()
    arguments = [str(part) for part in command]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    # Wait has been done already, and Popen should not try again.
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):  # 3: done, with refusals
        raise SystemExit(f"{' '.join(arguments[:4])} ended with {process.returncode}")
    return time.perf_counter() - began, usage.ru_maxrss / 2**20


def tool(name: str) -> Path:
    """Find a command of the environment this runs in."""
    return Path(sys.executable).with_name(name)


Figures = dict[str, float]


def train(work: Path, stage: str, asked: argparse.Namespace) -> tuple[list[Figures], str]:
    """Run the recipe of a stage on what is in a folder; give the metrics of its steps, a row."""
    values: dict[str, object] = {
        "init.from": work / ("teacher" if stage == "fast" else "fast"),
        "data.jpeg_store": work / "q90.zarr",
        "data.scans": work / "scans.csv",
        "data.batch_size": asked.batch_size,
        "schedule.steps": asked.steps,
        "precision": asked.precision,
    }
    if stage == "fast":
        values |= {"data.hifi_store": work / "hifi.zarr", "stage.calibration_batches": 1}
    else:
        values |= {"data.reports": work / "reports.parquet"}
    sets = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    sets += [part for value in asked.set for part in ("--set", value)]
    command = (tool("ctlite"), "train", f"paper-{stage}", "--out", work / stage, *sets)
    seconds, resident_gib = run(*command)
    lines = (work / stage / "metrics.jsonl").read_text().splitlines()
    metrics: list[Figures] = [json.loads(line) for line in lines]
    # The first steps choose kernels and fill the queues.
    steady = metrics[len(metrics) // 3 :]
    step_s = statistics.median(row["time/step_s"] for row in steady)
    waiting = sum(row["time/wait_data_s"] for row in steady) / sum(
        row["time/step_s"] for row in steady
    )
    row = (
        f"| paper-{stage} | {step_s:.2f} | {asked.batch_size / step_s:.2f} | {100 * waiting:.0f} % "
        f"| {metrics[-1]['memory/peak_gib']:.2f} | {resident_gib:.2f} | {seconds:.0f} |"
    )
    return metrics, row


def card() -> str | None:
    """Name the GPU that the steps run on."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def main() -> None:
    """Print the table and write it beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, nargs="?", help="scans; else synthetic patients")
    parser.add_argument("--stages", nargs="+", choices=("fast", "sfp"), default=["fast"])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--set", action="append", default=[], help="as of `ctlite train`")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        make_stores(Path(work), asked.source)
        runs = {stage: train(Path(work), stage, asked) for stage in asked.stages}
    processor = f"{count_cores()} cores {platform.machine()}"
    machine = ", ".join(filter(None, (card(), processor)))
    options = f", {', '.join(asked.set)}" if asked.set else ""
    lines = [
        f"# The paper's recipes at the published v1 size, {machine}, {datetime.now(UTC).date()}",
        "",
        f"`ctlite train`, batch {asked.batch_size}, {asked.precision}, random weights, "
        f"{'real scans' if asked.source else 'synthetic scans'}, {asked.steps} steps{options}. "
        "The whole command loads and saves the models, too; `paper-fast` measures the weights of "
        "its terms on one batch, `paper-sfp` factorizes the dense projection.",
        "Peak memory is that of the GPU where there is one, else that of the process.",
        "",
        "| recipe | s a step | volumes / s | waiting for data | peak GiB of the steps "
        "| resident GiB | whole command, s |",
        "|---|---|---|---|---|---|---|",
        *(row for _, row in runs.values()),
        "",
        "| recipe | step | loss | s | of them waiting for data |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| paper-{stage} | {row['step']} | {row['loss/total']:.4f} | {row['time/step_s']:.2f} "
        f"| {row['time/wait_data_s']:.2f} |"
        for stage, (metrics, _) in runs.items()
        for row in metrics
    ]
    publish("full-size", lines, asked.out, accelerator=card())


if __name__ == "__main__":
    main()
