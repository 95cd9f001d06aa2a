"""Sigmoid loss of image and text pairs (SigLIP)."""

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from jaxtyping import Float, Int64
from torch import Tensor

from ctlite.losses.row_sum import at_least_float32, mask_equal_texts, sum_over_rows

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
    image: Float[Tensor, "pair latent"],
    text: Float[Tensor, "pair latent"],
    log_scale: Float[Tensor, ""],
    bias: Float[Tensor, ""],
    text_numbers: Int64[Tensor, " pair"] | None = None,
    *,
    mean_over: Literal["pairs", "texts"] = "texts",
) -> Float[Tensor, ""]:
    """Tell each pair on the diagonal from all others, one by one, some texts at a time.

    Args:
        image: as in `siglip_logits`.
        text: as in `siglip_logits`, of the images in order.
        log_scale: as in `siglip_logits`.
        bias: as in `siglip_logits`.
        text_numbers: equal for equal texts, which are no wrong pairs of each other's images; None
            if no two are equal.
        mean_over: `texts` divides the sum by N, as SigLIP does; `pairs` by N^2.

    Returns:
        The loss.

    Source:
        CT-Lite (17)-(18); Zhai et al., "Sigmoid Loss for Language Image Pre-Training", 2023.
    """
    count = len(text)

    def part(rows: slice, image: Tensor, text: Tensor, log_scale: Tensor, bias: Tensor) -> Tensor:
        logits = siglip_logits(image, text[rows], log_scale, bias)
        logits = mask_equal_texts(logits, text_numbers, rows)
        own = logits.diagonal(rows.start)
        # The pairs themselves count with the other sign.
        wrong = logits.diagonal_scatter(-own, rows.start)
        return -F.logsigmoid(-wrong).sum()

    with torch.autocast(image.device.type, enabled=False):
        inputs = at_least_float32(image, text, log_scale, bias)
        return sum_over_rows(part, count, *inputs) / (count if mean_over == "texts" else count**2)
