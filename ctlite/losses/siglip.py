"""Sigmoid loss of image and text pairs (SigLIP)."""

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from jaxtyping import Float
from torch import Tensor

START_LOG_SCALE = 2.302585092994046
"""Natural logarithm of 10."""
START_BIAS = -10.0


def siglip_logits(
    image: Float[Tensor, "image latent"],
    text: Float[Tensor, "text latent"],
    log_scale: Float[Tensor, ""],
    bias: Float[Tensor, ""],
) -> Float[Tensor, "text image"]:
    """Score every text with every image.

    Args:
        image: of any length; made unit here.
        text: of any length; made unit here.
        log_scale: t', exponentiated.
        bias: b.

    Returns:
        Scores s, axes text and image.

    Source:
        CT-Lite (15)-(16).
    """
    cosine = F.normalize(text, dim=-1) @ F.normalize(image, dim=-1).T
    return log_scale.exp() * cosine + bias


def siglip_loss(
    logits: Float[Tensor, "pair pair"], mean_over: Literal["pairs", "texts"] = "texts"
) -> Float[Tensor, ""]:
    """Tell each pair on the diagonal from all others, one by one.

    Args:
        logits: from `siglip_logits`.
        mean_over: `texts` divides the sum by N, as SigLIP does; `pairs` by N^2.

    Returns:
        The loss.

    Source:
        CT-Lite (17)-(18); Zhai et al., "Sigmoid Loss for Language Image Pre-Training", 2023.
    """
    count = len(logits)
    sign = 2 * torch.eye(count, dtype=logits.dtype, device=logits.device) - 1
    total = -F.logsigmoid(sign * logits).sum()
    return total / (count if mean_over == "texts" else count**2)
