"""What does the structured projection cost beside the dense one it replaces?

Forward and backward of both, in turns for CPU time on one thread, or the time until a GPU is done.
Ratios are medians over rounds. Memory is that of weights, gradients and all between: what a GPU was
asked for; on a processor a process each, at eight times the blocks, where its fixed cost weighs
less. Under bf16 the dense layer's product is in it, as in training; the SFP's never is.
Run: python benchmarks/head.py [--blocks N] [--batch N] [--device auto|cpu|cuda]
    [--precision float32|bf16] [--rounds N] [--out FOLDER]
"""

import argparse
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch
from devices import Setting, add_options, resident_peak, setting_of
from results import publish
from torch import Tensor, nn

from ctlite.models.projection import SFP, sfp_parameter_counts

OUT_DIM = 512
RANKS = (3, 4, 5, 6)
MEMORY_FACTOR = 8
"""Times the blocks at which the memory of a process is measured."""
BLOCKS = {"cpu": 256, "cuda": 4096}
"""The second is the full-size head."""
WARM_UP = 3


def build(rank: int, blocks: int, setting: Setting) -> nn.Module:
    """Make a layer; rank 0 is the dense one."""
    with setting.device:
        if rank == 0:
            return nn.Linear(blocks * OUT_DIM, OUT_DIM, bias=False)
        return SFP(blocks * OUT_DIM, OUT_DIM, rank)


def draw_inputs(blocks: int, batch: int, setting: Setting) -> Tensor:
    """Draw what a layer gets."""
    return torch.randn(batch, blocks * OUT_DIM, device=setting.device, requires_grad=True)


def step(layer: nn.Module, x: Tensor, setting: Setting) -> None:
    """Run forward and backward once."""
    layer.zero_grad(set_to_none=True)
    x.grad = None
    with setting.autocast():
        y = layer(x)
    torch.autograd.backward(y.float().square().sum())


def peak_of_layer(rank: int, x: Tensor, setting: Setting) -> int:
    """Measure what a layer and its step take of a GPU."""
    x.grad = None
    before = torch.cuda.memory_allocated(setting.device)
    layer = build(rank, x.shape[1] // OUT_DIM, setting)
    own = torch.cuda.memory_allocated(setting.device) - before
    return own + setting.peak_bytes(partial(step, layer, x, setting))


def growth_of_process(rank: int, blocks: int, batch: int, setting: Setting) -> int:
    """Measure the growth of resident memory, in bytes, that layer and step cause."""
    x = draw_inputs(blocks, batch, setting)
    small = torch.randn(8, 8, requires_grad=True) @ torch.randn(8, 8)
    torch.autograd.backward(small.sum())
    before = resident_peak()
    step(build(rank, blocks, setting), x, setting)
    return resident_peak() - before


def peak_of_process(rank: int, asked: argparse.Namespace) -> int:
    """Measure memory in a fresh process."""
    values = {
        "--blocks": MEMORY_FACTOR * asked.blocks,
        "--batch": asked.batch,
        "--memory-of": rank,
        "--device": "cpu",
        "--precision": asked.precision,
    }
    options = [str(part) for option in values.items() for part in option]
    command = [sys.executable, __file__, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


def measure_memory(asked: argparse.Namespace, setting: Setting) -> dict[int, int]:
    """Give the bytes that each layer and its step take."""
    ranks = (0, *RANKS)
    if not setting.is_gpu:
        return {rank: peak_of_process(rank, asked) for rank in ranks}
    x = draw_inputs(asked.blocks, asked.batch, setting)
    # What libraries keep for themselves is not a layer's.
    for rank in (0, RANKS[0]):
        step(build(rank, asked.blocks, setting), x, setting)
    return {rank: peak_of_layer(rank, x, setting) for rank in ranks}


def measure_seconds(asked: argparse.Namespace, setting: Setting) -> list[dict[int, float]]:
    """Time all layers in every round."""
    x = draw_inputs(asked.blocks, asked.batch, setting)
    layers = {rank: build(rank, asked.blocks, setting) for rank in (0, *RANKS)}
    steps = {rank: partial(step, layer, x, setting) for rank, layer in layers.items()}
    for _ in range(WARM_UP if setting.is_gpu else 1):
        for run in steps.values():
            run()
    return [
        {rank: setting.seconds(run) for rank, run in steps.items()} for _ in range(asked.rounds)
    ]


def main() -> None:
    """Print the table and write it beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, help="256, and on a GPU 4096, the full-size head")
    parser.add_argument("--batch", type=int, default=4)
    add_options(parser)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--memory-of", type=int)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    setting = setting_of(asked)
    asked.blocks = asked.blocks or BLOCKS[setting.device.type]
    if asked.memory_of is not None:
        grown = growth_of_process(asked.memory_of, asked.blocks, asked.batch, setting)
        sys.stdout.write(f"{grown}\n")
        return
    memory = measure_memory(asked, setting)
    rounds = measure_seconds(asked, setting)
    in_dim = asked.blocks * OUT_DIM
    size = "" if setting.is_gpu else f" at {MEMORY_FACTOR} times the inputs, as memory is measured"
    lines = [
        f"# SFP head beside the dense one, {setting}, {datetime.now(UTC).date()}",
        "",
        f"{in_dim} -> {OUT_DIM}, batch {asked.batch}, forward and backward, {asked.precision}, "
        f"torch {torch.__version__}, {asked.rounds} rounds, {setting.clock}, one thread.",
        f"Dense: {statistics.median(times[0] for times in rounds):.4g} s, "
        f"{memory[0] / 1e6:.0f} MB{size}.",
        "Goal at rank 6: at most 0.65 of the time and 0.57 of the memory.",
        "",
        "| rank | theory | time of dense | lowest to highest | memory of dense |",
        "|---|---|---|---|---|",
    ]
    for rank in RANKS:
        theory = sfp_parameter_counts(in_dim, OUT_DIM, rank)[0] / (in_dim * OUT_DIM)
        ratios = [times[rank] / times[0] for times in rounds]
        lines.append(
            f"| {rank} | {theory:.4f} | {statistics.median(ratios):.3f} "
            f"| {min(ratios):.3f} to {max(ratios):.3f} | {memory[rank] / memory[0]:.4f} |"
        )
    subject = "head" + ("" if asked.precision == "float32" else f"-{asked.precision}")
    publish(subject, lines, asked.out, accelerator=setting.accelerator)


if __name__ == "__main__":
    main()
