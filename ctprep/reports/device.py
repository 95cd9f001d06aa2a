"""Where a model of this machine runs, in which numbers, and what it does with too little memory."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
_NO_MEMORY = ("can't allocate memory", "out of memory", "ALLOC_FAILED")
"""What the CPU, the driver of a GPU and its libraries say."""


def choose_device() -> "tuple[str, torch.dtype]":
    """Choose the GPU in bfloat16, or float16 where that is missing; else the CPU in float32."""
    import torch

    if not torch.cuda.is_available():
        return "cpu", torch.float32
    return "cuda", torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def try_in_memory(run: Callable[[], T]) -> T | None:
    """Run something that may need more memory than there is.

    Args:
        run: what is to be done; it must not return None.

    Returns:
        What it returns; None where memory does not suffice, and then none of it is held.
    """
    import torch

    try:
        return run()
    except (torch.OutOfMemoryError, MemoryError):
        pass
    except RuntimeError as error:
        if not any(sign in str(error) for sign in _NO_MEMORY):
            raise
    # Behind the handler, whose traceback holds the tensors.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None
