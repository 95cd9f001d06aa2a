"""Does FAST train at the published v1 size on a small machine, from real scans to a saved student?

A teacher of CT-CLIP v1 geometry with random weights (480 x 480 x 240 voxels, 16^3 tokens, dense
head 2,097,152 -> 512) is saved, real scans are ingested and compressed, and `ctlite train
paper-fast` runs a few steps of batch 1 in a process of its own, whose memory is watched.
Run: python benchmarks/full_size.py SOURCE [--steps N] [--out FOLDER]
SOURCE is a folder of scans. It needs 15 GB of disk under the temporary folder.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

from results import publish

from ctprep.store.attributes import StoreAttributes
from ctprep.store.store import VolumeStore
from ctprep.store.tables import ScanRow, write_scans


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


def train(work: Path, source: Path, steps: int) -> tuple[list[dict[str, float]], float, float]:
    """Go from scans to a saved student; give the metrics of the steps, seconds and peak GiB."""
    hifi, jpeg, scans = work / "hifi.zarr", work / "q90.zarr", work / "scans.csv"
    run(tool("ctprep"), "ingest", source, hifi, "--workers", 1)
    run(tool("ctprep"), "compress", hifi, jpeg, "--workers", 1)
    rows = [
        ScanRow(scan_id=scan_id, patient_id=scan_id, split="train", path=scan_id)
        for scan_id in VolumeStore.open(jpeg).scan_ids()
    ]
    write_scans(scans, rows)
    # In a process of its own, whose memory is free again before the training begins.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(save_teacher, VolumeStore.open(hifi).attributes, work / "teacher").result()
    values = {
        "init.from": work / "teacher",
        "data.hifi_store": hifi,
        "data.jpeg_store": jpeg,
        "data.scans": scans,
        "data.batch_size": 1,
        "stage.calibration_batches": 1,
        "schedule.steps": steps,
        "precision": "float32",
    }
    sets = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    seconds, peak_gib = run(tool("ctlite"), "train", "paper-fast", "--out", work / "run", *sets)
    lines = (work / "run" / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines], seconds, peak_gib


def main() -> None:
    """Print the table and write it beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        metrics, seconds, peak_gib = train(Path(work), asked.source, asked.steps)
    cores, today = os.cpu_count(), datetime.now(UTC).date()
    lines = [
        f"# FAST at the published v1 size, {cores} cores {platform.machine()}, {today}",
        "",
        "`ctlite train paper-fast`, batch 1, float32, random teacher and student weights, "
        f"{asked.steps} steps: {seconds:.0f} s for the whole command, with loading the teacher, "
        "measuring the weights of the terms on one batch, a checkpoint and the saved student; "
        f"peak resident memory {peak_gib:.2f} GiB (goal 20).",
        "",
        "| step | loss | seconds | of them waiting for data |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {row['step']} | {row['loss/total']:.4f} | {row['time/step_s']:.1f} "
        f"| {row['time/wait_data_s']:.2f} |"
        for row in metrics
    ]
    publish("full-size", lines, asked.out)


if __name__ == "__main__":
    main()
