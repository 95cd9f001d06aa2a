"""What does the structured projection cost beside the dense one it replaces?

Forward and backward of both, a process each for memory, in turns for CPU time on one thread.
Ratios are medians over rounds. Memory is that of weights, gradients and all between, at eight
times the blocks, where the fixed cost of a process weighs less.
Run: python benchmarks/head.py [--blocks N] [--rounds N] [--out FOLDER]
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import torch
from results import publish
from torch import nn

from ctlite.models.projection import SFP, sfp_parameter_counts

OUT_DIM = 512
BATCH = 4
RANKS = (3, 4, 5, 6)
MEMORY_FACTOR = 8


def build(rank: int, blocks: int) -> nn.Module:
    """Make a layer; rank 0 is the dense one."""
    if rank == 0:
        return nn.Linear(blocks * OUT_DIM, OUT_DIM, bias=False)
    return SFP(blocks * OUT_DIM, OUT_DIM, rank)


def step(layer: nn.Module, x: torch.Tensor) -> float:
    """Run forward and backward once, and give its seconds of CPU time."""
    layer.zero_grad(set_to_none=True)
    x.grad = None
    start = time.process_time()
    layer(x).square().sum().backward()
    return time.process_time() - start


def resident_peak() -> int:
    """Give the most bytes that this process had in memory; getrusage counts the parent's too."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def measure_memory(rank: int, blocks: int) -> None:
    """Write to stdout the growth of resident memory, in bytes, that layer and step cause."""
    x = torch.randn(BATCH, blocks * OUT_DIM, requires_grad=True)
    (torch.randn(8, 8, requires_grad=True) @ torch.randn(8, 8)).sum().backward()
    before = resident_peak()
    step(build(rank, blocks), x)
    sys.stdout.write(f"{resident_peak() - before}\n")


def peak_bytes(rank: int, blocks: int) -> int:
    """Measure memory in a fresh process."""
    command = [
        sys.executable,
        __file__,
        "--blocks",
        str(MEMORY_FACTOR * blocks),
        "--memory-of",
        str(rank),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


def main() -> None:
    """Print the table and write it beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=256, help="4096 is the full-size head")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--memory-of", type=int)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.memory_of is not None:
        measure_memory(asked.memory_of, asked.blocks)
        return
    in_dim = asked.blocks * OUT_DIM
    layers = {rank: build(rank, asked.blocks) for rank in (0, *RANKS)}
    x = torch.randn(BATCH, in_dim, requires_grad=True)
    for layer in layers.values():
        step(layer, x)
    rounds = [{r: step(layer, x) for r, layer in layers.items()} for _ in range(asked.rounds)]
    dense_bytes = peak_bytes(0, asked.blocks)
    cores, today = os.cpu_count(), datetime.now(UTC).date()
    lines = [
        f"# SFP head beside the dense one, {cores} cores {platform.machine()}, {today}",
        "",
        f"{in_dim} -> {OUT_DIM}, batch {BATCH}, forward and backward, float32, torch "
        f"{torch.__version__}, {asked.rounds} rounds, CPU time of one thread.",
        f"Dense: {statistics.median(times[0] for times in rounds):.3f} s, "
        f"{dense_bytes / 1e6:.0f} MB at {MEMORY_FACTOR} times the inputs, as memory is measured.",
        "Goal at rank 6: at most 0.65 of the time and 0.57 of the memory.",
        "",
        "| rank | theory | time of dense | lowest to highest | memory of dense |",
        "|---|---|---|---|---|",
    ]
    for rank in RANKS:
        theory = sfp_parameter_counts(in_dim, OUT_DIM, rank)[0] / (in_dim * OUT_DIM)
        ratios = [times[rank] / times[0] for times in rounds]
        memory = peak_bytes(rank, asked.blocks) / dense_bytes
        lines.append(
            f"| {rank} | {theory:.4f} | {statistics.median(ratios):.3f} "
            f"| {min(ratios):.3f} to {max(ratios):.3f} | {memory:.4f} |"
        )
    publish("head", lines, asked.out)


if __name__ == "__main__":
    main()
