"""Where and how precisely a benchmark computes, and what a call takes there."""

import argparse
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ctlite.precision import computing_in
from ctlite.trainer import choose_device

PRECISIONS = ("float32", "bf16")


@dataclass(frozen=True)
class Setting:
    """A device and a precision, as the trainer would use them."""

    device: torch.device
    precision: str

    @property
    def is_gpu(self) -> bool:
        """Whether an accelerator computes."""
        return self.device.type == "cuda"

    @property
    def accelerator(self) -> str | None:
        """Name of the card."""
        return torch.cuda.get_device_name(self.device) if self.is_gpu else None

    @property
    def clock(self) -> str:
        """What `seconds` are."""
        return "time on the GPU" if self.is_gpu else "CPU time"

    def autocast(self) -> torch.autocast:
        """Compute matrix products in the precision, as `ctlite.trainer` does."""
        return computing_in("bfloat16" if self.precision == "bf16" else "float32", self.device)

    def wait(self) -> None:
        """Wait until the device has done all that it was given."""
        if self.is_gpu:
            torch.cuda.synchronize(self.device)

    def seconds(self, call: Callable[[], object]) -> float:
        """Tell the CPU time of a call or, on a GPU, the time until it is done there."""
        if not self.is_gpu:
            began = time.process_time()
            call()
            return time.process_time() - began
        return self.wall_s(call)

    def wall_s(self, call: Callable[[], object]) -> float:
        """Tell the wall time of a call, with what it left to the device."""
        self.wait()
        began = time.perf_counter()
        call()
        self.wait()
        return time.perf_counter() - began

    def peak_bytes(self, call: Callable[[], object]) -> int:
        """Tell the most memory of a GPU that a call held above what was held before it."""
        self.wait()
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        call()
        self.wait()
        return torch.cuda.max_memory_allocated(self.device) - before

    def __str__(self) -> str:
        """Name the machine for a heading."""
        cores = f"{os.cpu_count()} cores {platform.machine()}"
        return cores if self.accelerator is None else f"{self.accelerator}, {cores}"


def add_options(parser: argparse.ArgumentParser, *, precision: str = "float32") -> None:
    """Add `--device` and `--precision`, with a default for the second."""
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--precision", choices=PRECISIONS, default=precision)


def setting_of(asked: argparse.Namespace) -> Setting:
    """Read the two options."""
    return Setting(choose_device(asked.device), asked.precision)


def resident_peak() -> int:
    """Give the most bytes that this process had in memory; getrusage counts the parent's too."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])
