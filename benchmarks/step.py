"""What do FAST's losses add to a step of teacher and student?

One step is the teacher's forward, and the student's forward and backward. It is run in turns with
all FAST terms and with the final term alone, whose backward is that of the student. Ratios are
medians over rounds, of CPU time or of the time until a GPU is done; memory is the peak above the
two networks: of a process each, or what a GPU was asked for.
Run: python benchmarks/step.py [--geometry tiny|medium|v1|v2] [--device auto|cpu|cuda]
    [--precision float32|bf16] [--batch N] [--full] [--rounds N] [--out FOLDER]
`--full` runs FAST alone, for seconds and peak memory of a step at the published sizes.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch
from devices import Setting, add_options, resident_peak, setting_of
from results import publish
from torch import Tensor

from ctlite.losses.fast import FAST_TERMS, Term, fast_losses
from ctlite.models.ct_encoder import CTViT

FRAMES = {"tiny": 32, "medium": 96, "v1": 240, "v2": 240}
GEOMETRIES: dict[str, Callable[[], CTViT]] = {
    "tiny": lambda: CTViT(
        dim=32,
        codebook_size=16,
        image_size=64,
        patch_size=16,
        temporal_patch_size=8,
        spatial_depth=1,
        temporal_depth=1,
    ),
    "medium": lambda: CTViT(
        dim=256,
        codebook_size=64,
        image_size=192,
        patch_size=16,
        temporal_patch_size=8,
        spatial_depth=4,
        temporal_depth=4,
    ),
    "v1": CTViT.v1,
    "v2": CTViT.v2,
}
BASELINE: frozenset[Term] = frozenset({"final"})
CONTENDERS = {"fast": FAST_TERMS, "baseline": BASELINE}
WARM_UP = 3
"""Steps of each contender before a GPU is timed, while its kernels are loaded and chosen."""


def build_encoders(geometry: str, device: torch.device, *, recompute: bool) -> tuple[CTViT, CTViT]:
    """Make teacher and student."""
    torch.manual_seed(0)
    make = GEOMETRIES[geometry]
    teacher, student = make().eval().requires_grad_(False), make().train()
    student.codebook.frozen, student.recompute = True, recompute
    return teacher.to(device), student.to(device)


def build(asked: argparse.Namespace, setting: Setting) -> tuple[CTViT, CTViT, Tensor]:
    """Make teacher, student and videos."""
    teacher, student = build_encoders(asked.geometry, setting.device, recompute=asked.recompute)
    shape = (asked.batch, 1, FRAMES[asked.geometry], *teacher.image_size)
    return teacher, student, torch.rand(shape, device=setting.device) * 2 - 1


def step(
    setting: Setting, teacher: CTViT, student: CTViT, video: Tensor, terms: Collection[Term]
) -> None:
    """Run one step."""
    student.zero_grad(set_to_none=True)
    with setting.autocast():
        losses = fast_losses(teacher, student, video, video.neg(), terms=terms)
    torch.autograd.backward(torch.stack(list(losses.terms().values())).sum())


def peak_of_process(name: str, asked: argparse.Namespace) -> int:
    """Measure what a step takes above its networks, in a fresh process."""
    command = [sys.executable, __file__, "--geometry", asked.geometry, "--memory-of", name]
    command += ["--device", "cpu", "--precision", asked.precision, "--batch", str(asked.batch)]
    command += ["--recompute"] * asked.recompute
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


def compare(asked: argparse.Namespace, setting: Setting) -> list[str]:
    """Run both in turns."""
    networks = build(asked, setting)
    steps = {name: partial(step, setting, *networks, terms) for name, terms in CONTENDERS.items()}
    for _ in range(WARM_UP if setting.is_gpu else 1):
        for run in steps.values():
            run()
    networks[1].zero_grad(set_to_none=True)
    memory = {}
    for name, run in steps.items():
        memory[name] = setting.peak_bytes(run) if setting.is_gpu else peak_of_process(name, asked)
        networks[1].zero_grad(set_to_none=True)
    seconds = [
        {name: setting.seconds(run) for name, run in steps.items()} for _ in range(asked.rounds)
    ]
    ratios = [times["fast"] / times["baseline"] for times in seconds]
    median = {name: statistics.median(times[name] for times in seconds) for name in steps}
    return [
        "| | without losses | FAST | ratio | lowest to highest | goal |",
        "|---|---|---|---|---|---|",
        f"| {setting.clock} | {median['baseline']:.4g} s | {median['fast']:.4g} s "
        f"| {statistics.median(ratios):.3f} | {min(ratios):.3f} to {max(ratios):.3f} | 1.25 |",
        f"| peak memory of the step | {memory['baseline'] / 1e6:.0f} MB "
        f"| {memory['fast'] / 1e6:.0f} MB | {memory['fast'] / memory['baseline']:.3f} | | 1.3 |",
    ]


def run_full(asked: argparse.Namespace, setting: Setting) -> list[str]:
    """Run FAST steps alone."""
    run = partial(step, setting, *build(asked, setting), FAST_TERMS)
    lines = [
        "| step | wall time | CPU time | peak memory, networks with it |",
        "|---|---|---|---|",
    ]
    for number in range(asked.rounds):
        began = time.process_time()
        wall = setting.wall_s(run)
        cpu = time.process_time() - began
        peak = (
            torch.cuda.max_memory_allocated(setting.device) if setting.is_gpu else resident_peak()
        )
        lines.append(f"| {number} | {wall:.3g} s | {cpu:.3g} s | {peak / 2**30:.2f} GiB |")
    return lines


def main() -> None:
    """Print the table and write it beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--geometry", choices=GEOMETRIES, default="medium")
    add_options(parser)
    parser.add_argument("--batch", type=int, default=1, help="volumes in a step")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--recompute", action="store_true", help="activation checkpointing")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory-of", choices=CONTENDERS)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    setting = setting_of(asked)
    if asked.memory_of is not None:
        networks = build(asked, setting)
        before = resident_peak()
        step(setting, *networks, CONTENDERS[asked.memory_of])
        sys.stdout.write(f"{resident_peak() - before}\n")
        return
    lines = [
        f"# FAST step, {setting}, {datetime.now(UTC).date()}",
        "",
        f"Geometry {asked.geometry}, batch {asked.batch}, {asked.precision}, {asked.threads} "
        f"threads, torch {torch.__version__}, {asked.rounds} rounds"
        f"{', activation checkpointing' if asked.recompute else ''}.",
        "",
    ]
    lines += run_full(asked, setting) if asked.full else compare(asked, setting)
    subject = f"step-{asked.geometry}"
    subject += "" if asked.precision == "float32" else f"-{asked.precision}"
    subject += "" if asked.batch == 1 else f"-batch{asked.batch}"
    subject += "-full" if asked.full else ""
    publish(subject, lines, asked.out, accelerator=setting.accelerator)


if __name__ == "__main__":
    main()
