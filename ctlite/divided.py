"""Tensors of which each process holds a part (FSDP2): whole for a file, and in parts again."""

from collections.abc import Mapping

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


def whole_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bring tensors together in the CPU's memory of rank 0; all ranks must ask for it.

    Args:
        state: tensors by name, divided or not.

    Returns:
        The same names on rank 0, nothing on the others. On the device one tensor at a time is
        whole.
    """
    kept = {}
    for name, tensor in state.items():
        value = whole(tensor.detach())
        if ranks.rank() == 0:
            kept[name] = value.cpu().contiguous()
    return kept
