"""What do FAST's losses add to a step of teacher and student?

One step is the teacher's forward, and the student's forward and backward. It is run in turns with
all FAST terms and with the final term alone, whose backward is that of the student. Ratios are
medians over rounds, of CPU time; memory is the peak above the two networks, a process each.
Run: python benchmarks/step.py [--geometry medium|v1|v2] [--full] [--rounds N] [--out FOLDER]
`--full` runs FAST alone, for seconds and peak memory of a step at the published sizes.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

import torch
from results import publish

from ctlite.losses.fast import FAST_TERMS, Term, fast_losses
from ctlite.models.ct_encoder import CTViT

MEDIUM = {
    "dim": 256,
    "codebook_size": 64,
    "image_size": 192,
    "patch_size": 16,
    "temporal_patch_size": 8,
    "spatial_depth": 4,
    "temporal_depth": 4,
}
FRAMES = {"medium": 96, "v1": 240, "v2": 240}
BASELINE: frozenset[Term] = frozenset({"final"})
CONTENDERS = {"fast": FAST_TERMS, "baseline": BASELINE}


def build(geometry: str, recompute: bool) -> tuple[CTViT, CTViT, torch.Tensor]:
    """Make teacher, student and a video."""
    torch.manual_seed(0)
    make = {"medium": lambda: CTViT(**MEDIUM), "v1": CTViT.v1, "v2": CTViT.v2}[geometry]
    teacher, student = make().eval().requires_grad_(False), make().train()
    student.codebook.frozen, student.recompute = True, recompute
    height, width = teacher.image_size
    return teacher, student, torch.rand(1, 1, FRAMES[geometry], height, width) * 2 - 1


def step(
    teacher: CTViT, student: CTViT, video: torch.Tensor, terms: Collection[Term]
) -> tuple[float, float]:
    """Run one step; give its seconds of CPU time and of wall time."""
    student.zero_grad(set_to_none=True)
    cpu, wall = time.process_time(), time.perf_counter()
    losses = fast_losses(teacher, student, video, video.neg(), terms=terms)
    torch.stack(list(losses.terms().values())).sum().backward()
    return time.process_time() - cpu, time.perf_counter() - wall


def resident_peak() -> int:
    """Give the most bytes that this process had in memory; getrusage counts the parent's too."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def peak_bytes(name: str, geometry: str) -> int:
    """Measure what a step takes above its networks, in a fresh process."""
    command = [sys.executable, __file__, "--geometry", geometry, "--memory-of", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


def compare(geometry: str, rounds: int) -> list[str]:
    """Run both in turns."""
    memory = {name: peak_bytes(name, geometry) for name in CONTENDERS}
    networks = build(geometry, recompute=False)
    for terms in CONTENDERS.values():
        step(*networks, terms)
    seconds = [
        {name: step(*networks, terms)[0] for name, terms in CONTENDERS.items()}
        for _ in range(rounds)
    ]
    ratios = [times["fast"] / times["baseline"] for times in seconds]
    return [
        "| | without losses | FAST | ratio | lowest to highest | goal |",
        "|---|---|---|---|---|---|",
        f"| CPU time | {statistics.median(times['baseline'] for times in seconds):.2f} s "
        f"| {statistics.median(times['fast'] for times in seconds):.2f} s "
        f"| {statistics.median(ratios):.3f} | {min(ratios):.3f} to {max(ratios):.3f} | 1.25 |",
        f"| peak memory of the step | {memory['baseline'] / 1e6:.0f} MB "
        f"| {memory['fast'] / 1e6:.0f} MB | {memory['fast'] / memory['baseline']:.3f} | | 1.3 |",
    ]


def run_full(geometry: str, rounds: int, recompute: bool) -> list[str]:
    """Run FAST steps alone."""
    networks = build(geometry, recompute)
    lines = ["| step | wall time | CPU time | peak resident memory |", "|---|---|---|---|"]
    for number in range(rounds):
        cpu, wall = step(*networks, FAST_TERMS)
        lines.append(
            f"| {number} | {wall:.1f} s | {cpu:.1f} s | {resident_peak() / 2**30:.2f} GiB |"
        )
    return lines


def main() -> None:
    """Print the table and write it beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--geometry", choices=FRAMES, default="medium")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--recompute", action="store_true", help="activation checkpointing")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory-of", choices=CONTENDERS)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.memory_of is not None:
        networks = build(asked.geometry, recompute=False)
        before = resident_peak()
        step(*networks, CONTENDERS[asked.memory_of])
        sys.stdout.write(f"{resident_peak() - before}\n")
        return
    cores, today = os.cpu_count(), datetime.now(UTC).date()
    lines = [
        f"# FAST step, {cores} cores {platform.machine()}, {today}",
        "",
        f"Geometry {asked.geometry}, batch 1, float32, {asked.threads} threads, torch "
        f"{torch.__version__}, {asked.rounds} rounds"
        f"{', activation checkpointing' if asked.recompute else ''}.",
        "",
    ]
    lines += (
        run_full(asked.geometry, asked.rounds, asked.recompute)
        if asked.full
        else compare(asked.geometry, asked.rounds)
    )
    publish(f"step-{asked.geometry}" + ("-full" if asked.full else ""), lines, asked.out)


if __name__ == "__main__":
    main()
