"""How much memory a run will need, told before its first step, and what to do when it is short."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ctlite.models.config import ModelConfig, as_pair
from ctlite.precision import Precision
from ctprep.store.errors import CtError

logger = logging.getLogger(__name__)

GIB = 2**30
MEMORY_FILE = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
"""Linux; where there is neither, nothing is known beforehand."""
FLOAT_BYTES = 4
ADAM_MOMENTS = 2
KEPT_PER_FEATURE = {"float32": 34, "bfloat16": 22}
"""Floats kept for the backward pass, per token, feature and block: inputs and outputs of PEG,
norms, attention and the feed-forward layer, which is 8/3 wide three times over."""
KEPT_PER_VOXEL = 3
"""Floats: the video, its patches, and those at unit variance."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes by purpose; activations are rough."""

    parameters: int
    gradients: int
    optimizer: int
    """Moments, and the average of the weights."""
    activations: int

    @property
    def certain(self) -> int:
        """What is needed whatever the batch is, in bytes."""
        return self.parameters + self.gradients + self.optimizer

    @property
    def total(self) -> int:
        """All of it, in bytes."""
        return self.certain + self.activations

    def __str__(self) -> str:
        parts = ("parameters", "gradients", "optimizer", "activations")
        told = ", ".join(f"{name} {getattr(self, name) / GIB:.2f}" for name in parts)
        return f"about {self.total / GIB:.2f} GiB ({told})"


def estimate_memory(
    module: nn.Module,
    config: ModelConfig,
    batch_size: int,
    *,
    keeps_maps: bool = False,
    shares: int = 1,
    averages: bool = False,
    precision: Precision = "float32",
    recompute: bool = False,
) -> MemoryEstimate:
    """Estimate the memory of a training step.

    Args:
        module: the stage.
        config: of the model that is trained.
        batch_size: volumes at once.
        keeps_maps: whether the attention maps of two encoders are held, as FAST does.
        shares: processes among which gradients and moments are divided.
        averages: whether a running average of the weights is kept.
        precision: of the recipe.
        recompute: of the recipe; of all blocks but one the input alone is then kept.

    Returns:
        The estimate; activations are counted by a formula, and rough.
    """
    held = sum(t.numel() * t.element_size() for t in module.state_dict().values())
    trained = sum(p.numel() * p.element_size() for p in module.parameters() if p.requires_grad)
    vision = config.vision
    frames, height, width = vision.token_grid
    tokens = frames * height * width
    blocks = vision.spatial_depth + vision.temporal_depth
    kept = KEPT_PER_FEATURE[precision]
    floats = tokens * vision.dim * (blocks + kept if recompute else blocks * kept)
    floats += vision.frames * math.prod(as_pair(vision.image_size)) * KEPT_PER_VOXEL
    if keeps_maps:
        # The maps and their Grams, of both encoders.
        spatial = vision.spatial_depth * frames * (height * width) ** 2
        temporal = vision.temporal_depth * height * width * frames**2
        floats += 4 * vision.heads * (spatial + temporal)
    return MemoryEstimate(
        # Whole on each process before they are divided.
        parameters=held,
        gradients=trained // shares,
        optimizer=(ADAM_MOMENTS + averages) * trained // shares,
        activations=batch_size * floats * FLOAT_BYTES,
    )


def check_memory(estimate: MemoryEstimate, device: torch.device) -> None:
    """Refuse what cannot fit, before any volume is read, and warn of what may not.

    Args:
        estimate: for one process; its parameters are on the CPU already.
        device: where the step is computed.

    Raises:
        CtError: weights, gradients and moments alone need more than there is.
    """
    free = free_bytes(device)
    if free is None:
        return
    held = estimate.parameters if device.type == "cpu" else 0
    if estimate.certain - held > free:
        raise CtError(
            f"weights, gradients and moments alone need {(estimate.certain - held) / GIB:.1f} GiB "
            f"more on {device.type}, and {free / GIB:.1f} GiB are free",
            mend="train with SFP in place of the dense projection, on several GPUs with "
            "--set parallel=fsdp, or on a machine with more memory",
        )
    if estimate.total - held > free:
        logger.warning(
            "a step may need more than the %.1f GiB that are free: %s", free / GIB, estimate
        )


def free_bytes(device: torch.device) -> int | None:
    """Tell how much memory a process may still take.

    Args:
        device: where.

    Returns:
        Bytes; None where the system does not say.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = MEMORY_FILE.read_text(encoding="ascii").splitlines()
        told = dict(line.split(":") for line in lines)
        free = int(told["MemAvailable"].split()[0]) * 1024
        limit = CGROUP / "memory.max"
        if limit.is_file() and limit.read_text().strip().isdigit():
            used = int((CGROUP / "memory.current").read_text())
            free = min(free, int(limit.read_text()) - used)
    except (OSError, KeyError, ValueError):
        return None
    return free


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out.

    Args:
        error: anything a step raised.

    Returns:
        Whether it was the accelerator's or the CPU's allocator that failed.
    """
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def out_of_memory(
    batch_size: int, accumulation: int, precision: Precision, *, recompute: bool
) -> CtError:
    """Make the error that says which option to turn.

    Args:
        batch_size: of the recipe.
        accumulation: of the recipe.
        precision: of the recipe.
        recompute: of the recipe.

    Returns:
        The error, to be raised.
    """
    options = []
    if precision != "bfloat16":
        options.append('--set precision="bfloat16"')
    if batch_size > 1:
        half = batch_size // 2
        options.append(
            f"--set data.batch_size={half} --set optimizer.accumulation={2 * accumulation} "
            "(a contrastive loss then sees fewer pairs at once)"
        )
    if not recompute:
        options.append("--set recompute=true (slower)")
    options.append("a model with larger patches or fewer features (model.patch_size, model.dim)")
    return CtError(
        f"memory ran out with batches of {batch_size} volumes in {precision}",
        mend="try " + ", or ".join(options),
    )


def peak_bytes(device: torch.device) -> int:
    """Tell the most memory held so far.

    Args:
        device: where the run is.

    Returns:
        Bytes of the accelerator, or of this process.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
