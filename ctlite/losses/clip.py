"""Contrastive loss of image and text pairs (CLIP), as CT-CLIP trains with."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ctlite.losses.row_sum import (
    at_least_float32,
    mask_equal_texts,
    row_slices,
    sum_over_rows,
)


def clip_logits(
    image: Float[Tensor, "image latent"],
    text: Float[Tensor, "text latent"],
    log_scale: Float[Tensor, ""],
) -> Float[Tensor, "image text"]:
    """Score every image with every text.

    Args:
        image: unit vectors.
        text: unit vectors.
        log_scale: exponentiated; CT-CLIP calls it temperature.

    Returns:
        Scores, axes image and text.

    Source:
        docs/mathematics.md, CT-ViT 6.
    """
    return log_scale.exp() * (image @ text.T)


def clip_loss(
    image: Float[Tensor, "pair latent"],
    text: Float[Tensor, "pair latent"],
    log_scale: Float[Tensor, ""],
    text_numbers: Int64[Tensor, " pair"] | None = None,
) -> Float[Tensor, ""]:
    """Let each image find its text among all, and each text its image.

    Args:
        image: unit vectors.
        text: unit vectors, of the images in order.
        log_scale: as in `clip_logits`.
        text_numbers: equal for equal texts, which other images need not tell apart; None if no
            two are equal.

    Returns:
        Mean of the two cross-entropies.

    Source:
        Radford et al., 2021; docs/mathematics.md, CT-ViT 6. Some rows at a time, twice: the
        gradient of log z, z being the sum over a column, is exp(s - log z).
    """
    count = len(image)
    with torch.autocast(image.device.type, enabled=False):
        image, text, log_scale = at_least_float32(image, text, log_scale)

        def scores(rows: slice, image: Tensor, text: Tensor, log_scale: Tensor) -> Tensor:
            return mask_equal_texts(clip_logits(image[rows], text, log_scale), text_numbers, rows)

        columns = image.new_full((count,), -torch.inf)
        with torch.no_grad():
            for rows in row_slices(count, image.device):
                own = scores(rows, image, text, log_scale)
                columns = torch.logaddexp(columns, own.logsumexp(0))

        def part(rows: slice, *inputs: Tensor) -> Tensor:
            logits = scores(rows, *inputs)
            share = (logits - columns).exp().sum()
            # Of the columns the gradient alone: their value does not divide among rows.
            of_columns = share - share.detach()
            return (logits.logsumexp(1).sum() + of_columns) / 2 - logits.diagonal(rows.start).sum()

        total = sum_over_rows(part, count, image, text, log_scale)
        return (total + columns.sum() / 2) / count
