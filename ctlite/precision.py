"""In which precision a step computes its matrix products; weights and moments stay float32."""

import logging
from typing import Literal

import torch

logger = logging.getLogger(__name__)

Precision = Literal["float32", "bfloat16"]


def computing_in(precision: Precision, device: torch.device) -> torch.autocast:
    """Compute matrix products in a precision, while it is entered.

    Args:
        precision: of the recipe.
        device: where.

    Returns:
        The context, which does nothing for float32.
    """
    is_low = precision == "bfloat16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_low)


def warn_of_emulation(precision: Precision, device: torch.device) -> None:
    """Tell who asks for a precision that the GPU does not have, and computes slowly.

    Args:
        precision: of the recipe.
        device: where the run is; a GPU is the current one.
    """
    if precision == "float32" or device.type != "cuda":
        return
    # Not float16 in its place: its range is too small without a scaling of the losses.
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        logger.warning(
            "this GPU has no bfloat16 of its own, and may be faster with --set precision=float32"
        )
