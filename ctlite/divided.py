"""Tensors of which each process holds a part (FSDP2): whole for a file, and in parts again."""

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor

from ctlite import ranks


def is_divided(tensor: Tensor) -> bool:
    """Tell whether this process holds a part alone.

    Args:
        tensor: a parameter.

    Returns:
        False on one process, and for what every process holds.
    """
    return isinstance(tensor, DTensor)


def whole(tensor: Tensor) -> Tensor:
    """Bring a divided tensor together; all ranks must ask for it.

    Args:
        tensor: a parameter, its gradient or a moment.

    Returns:
        All of it, as it is on one process.
    """
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def divided_like(tensor: Tensor, own: Tensor) -> Tensor:
    """Take this rank's part, where a tensor is divided.

    Args:
        tensor: all of it.
        own: the parameter that it belongs to.

    Returns:
        The part, or the tensor itself where `own` is not divided.
    """
    if not isinstance(own, DTensor):
        return tensor
    here = tensor.to(own.device)
    return distribute_tensor(here, own.device_mesh, own.placements, src_data_rank=None)


def divide_again(module: nn.Module) -> None:
    """Let go of parameters that were brought together for a forward pass without a backward one.

    The next forward pass would take them as they are, whatever became of the parts meanwhile.

    Args:
        module: divided or not.
    """
    for part in module.modules():
        if isinstance(part, FSDPModule):
            part.reshard()


def write_first(tensors: Sequence[Tensor], write: Callable[[Iterator[Tensor]], None]) -> None:
    """Have rank 0 write tensors, of which one at a time is whole; all ranks must ask for it.

    Args:
        tensors: divided or not, on any device.
        write: goes over them, whole and in this order, on rank 0 alone.

    Raises:
        CtError: of the writing, on all ranks.
    """
    wholes = _each_whole(tensors)

    def work() -> None:
        try:
            write(wholes)
        finally:
            # Whatever becomes of the file, the others go on giving their parts.
            for _ in wholes:
                pass

    if ranks.rank():
        for _ in wholes:
            pass
    ranks.first_alone(work, lambda: None)


def _each_whole(tensors: Sequence[Tensor]) -> Iterator[Tensor]:
    for tensor in tensors:
        value = whole(tensor.detach())
        if ranks.rank() == 0:
            yield value
        del value
