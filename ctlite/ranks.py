"""The processes that train one model together, as `torchrun` starts them.

A process that is alone is rank 0 of 1, and what goes over all ranks is its own.

The rule of gradients: each rank computes the loss over the whole batch from what `gather` brought
together, `gather` sums what the losses of all ranks want of a rank's part, and the mean of the
parameters' gradients over the ranks is then the gradient of the one loss.
"""

import atexit
import gc
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from ctprep.store.errors import CtError

T = TypeVar("T")


def rank() -> int:
    """Tell which process this is, from 0."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """Tell how many processes there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_rank() -> int:
    """Tell which process of this machine this is, from 0; it is also the number of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def local_world_size() -> int:
    """Tell how many of the processes are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def join(device: torch.device) -> None:
    """Meet the other processes, unless there are none or they met before.

    Args:
        device: which this process computes on: gloo speaks for the CPU, NCCL for GPUs.
    """
    # Without a number it is the current device already, and torch would refuse it.
    if device.type == "cuda" and device.index is not None:
        # What a checkpoint keeps of random numbers is of the current device.
        torch.cuda.set_device(device)
    if world_size() == 1 or dist.is_initialized():
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    # Not when a run ends: another may follow, and the store that they met by knows no second time.
    atexit.register(_leave)


def _leave() -> None:
    # The threads of gloo may hold the last word on a tensor. One that lets go of it while the
    # interpreter ends aborts the process (https://github.com/pytorch/pytorch/issues/190489), and
    # they end with the last that knows the group: models in cycles, and in the frames of what ended
    # the program, which was told by now (`last_exc` is of Python 3.12).
    for name in ("last_exc", "last_value", "last_traceback"):
        vars(sys).pop(name, None)
    gc.collect()
    dist.destroy_process_group()


def first_alone(work: Callable[[], T], otherwise: Callable[[], T]) -> T:
    """Have the first rank do what must be done once, and the others wait for it.

    Args:
        work: done by rank 0.
        otherwise: done by the others when it is done.

    Returns:
        What either gave.

    Raises:
        CtError: of the work, on all ranks, so that none waits for what does not come.
    """
    fault: CtError | None = None
    if rank() == 0:
        try:
            result = work()
        except CtError as error:
            gather_values(error)
            raise
        gather_values(fault)
        wait()
        return result
    fault = gather_values(fault)[0]
    if fault is not None:
        raise fault
    # A barrier also ends what gloo still has under way, without which a process may abort at exit.
    wait()
    return otherwise()


def raise_together(fault: CtError | None) -> None:
    """Let what went wrong on any rank end all of them; all must ask.

    Args:
        fault: of this rank.

    Raises:
        CtError: this rank's own, or else that of the first rank that has one.
    """
    faults = [each for each in gather_values(fault) if each is not None]
    if faults:
        raise fault or faults[0]


def wait() -> None:
    """Wait until all ranks are here."""
    if world_size() > 1:
        dist.barrier()


def gather(tensor: Tensor) -> Tensor:
    """Bring the rows of all ranks together, with their gradients.

    Args:
        tensor: of the same shape on every rank.

    Returns:
        Rows in the order of the ranks, as the loader divides a batch. In backward a rank's part
        gets the sum of what all ranks want of it.
    """
    if world_size() == 1:
        return tensor
    gathered: Tensor = _Gather.apply(tensor.contiguous())  # type: ignore[no-untyped-call]
    return gathered


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:  # noqa: ANN401
        parts = [torch.empty_like(tensor) for _ in range(world_size())]
        dist.all_gather(parts, tensor)
        return torch.cat(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: ANN401
        # A copy: what autograd hands out may be another one's, too.
        whole = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(whole)
        return whole.tensor_split(world_size())[rank()]


def gather_values(value: T) -> list[T]:
    """Bring one plain value of every rank together.

    Args:
        value: whatever pickles; it never leaves the processes of this run.

    Returns:
        In the order of the ranks.
    """
    if world_size() == 1:
        return [value]
    values: list[T | None] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values  # type: ignore[return-value]


def total(tensor: Tensor) -> Tensor:
    """Add up over all ranks, without gradient.

    Args:
        tensor: of the same shape on every rank.

    Returns:
        The sum, equal on every rank.
    """
    if world_size() == 1:
        return tensor
    summed = tensor.detach().clone()
    dist.all_reduce(summed)
    return summed


def mean(tensor: Tensor) -> Tensor:
    """Average over all ranks, without gradient.

    Args:
        tensor: of the same shape on every rank.

    Returns:
        The mean, equal on every rank.
    """
    return tensor if world_size() == 1 else total(tensor) / world_size()


def agree(wish: bool, device: torch.device) -> bool:
    """Do together what any rank wishes.

    Args:
        wish: of this rank.
        device: which it computes on.

    Returns:
        Whether there is one that wishes it.
    """
    return wish if world_size() == 1 else bool(total(torch.tensor(float(wish), device=device)) > 0)
