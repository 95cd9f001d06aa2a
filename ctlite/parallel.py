"""One stage on many processes: whole on each (DDP), or its parameters divided (FSDP2)."""

import atexit
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.nn.parallel import DistributedDataParallel

from ctlite import ranks
from ctlite.data.batch import Batch
from ctlite.stages.stage import Stage

Parallel = Literal["ddp", "fsdp"]


class ParallelStage:
    """Calls a stage so that gradients come out as means over all ranks.

    Args:
        stage: ready for its first step, and on its device. Every rank takes the weights of rank 0.
        how: `ddp` keeps the whole stage on each rank; `fsdp` divides trained parameters, their
            gradients and the optimizer's moments.
    """

    def __init__(self, stage: Stage, how: Parallel) -> None:
        self._stage = stage
        self._ddp: DistributedDataParallel | None = None
        if ranks.world_size() == 1:
            return
        for tensor in stage.state_dict().values():
            dist.broadcast(tensor, src=0)
        if how == "fsdp":
            _shard(stage)
        else:
            self._ddp = _replicate(stage)

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the losses of this rank's part of a batch.

        Args:
            batch: the part.

        Returns:
            As the stage gives them.
        """
        # DDP prepares for a backward pass, which an evaluation does not have.
        call = self._ddp if self._ddp is not None and torch.is_grad_enabled() else self._stage
        return cast(dict[str, Tensor], call(batch))

    def accumulating(self, *, is_last: bool) -> AbstractContextManager[None]:
        """Hold the exchange of gradients back until the last batch of a step.

        Args:
            is_last: whether it is that batch.

        Returns:
            For the forward and the backward pass of the batch.
        """
        return nullcontext() if self._ddp is None or is_last else self._ddp.no_sync()


def _replicate(stage: Stage) -> DistributedDataParallel:
    # Of the depthwise convolutions, which have an axis of length 1; the copy is a small one.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    with warnings.catch_warnings():
        # Renamed in torch 2.13; the older versions know the old name alone.
        warnings.filterwarnings("ignore", message=".*broadcast_buffers", category=FutureWarning)
        return DistributedDataParallel(
            stage,
            init_sync=False,
            # The codebook is the only buffer that moves, and moves alike on every rank.
            broadcast_buffers=False,
            find_unused_parameters=stage.leaves_unused,
            gradient_as_bucket_view=True,
        )


def _shard(stage: Stage) -> None:
    device = next(stage.parameters()).device
    # Nothing is done in place to what a layer returns.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    mesh = init_device_mesh(device.type, (ranks.world_size(),))
    # Caches of torch keep the mesh, and the mesh of torch 2.13 the group, whose threads are to end
    # before the interpreter does (`ranks.join`). Called before the group is left.
    atexit.register(getattr(mesh, "_pg_registry", {}).clear)
    # What is frozen has neither gradient nor moments, and a teacher is read layer by layer.
    kept = {parameter for parameter in stage.parameters() if not parameter.requires_grad}
    for parameter in stage.parameters():
        # A single number cannot be divided.
        if parameter.requires_grad and not parameter.ndim:
            parameter.register_post_accumulate_grad_hook(_average_gradient)  # type: ignore[no-untyped-call]
            kept.add(parameter)
    for unit in _units(stage):
        fully_shard(unit, mesh=mesh, ignored_params=kept)
    fully_shard(stage, mesh=mesh, ignored_params=kept)
    register_fsdp_forward_method(stage, "measure")


def _average_gradient(parameter: Tensor) -> None:
    # What was there from batches before is the same on every rank, and stays so.
    if parameter.grad is not None:
        parameter.grad = ranks.mean(parameter.grad)


def _units(stage: Stage) -> Iterator[nn.Module]:
    """Go over the modules whose parameters are brought together when they are called."""
    model = stage.model
    lists = [
        module
        for part in (model.visual_transformer, model.text_transformer)
        for module in part.modules()
        if isinstance(module, nn.ModuleList)
    ]
    for module in [*(layer for each in lists for layer in each), model.to_visual_latent]:
        if any(parameter.requires_grad for parameter in module.parameters()):
            yield module
