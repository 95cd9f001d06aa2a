"""Contrastive loss of image and text pairs (CLIP), as CT-CLIP trains with."""

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from jaxtyping import Float
from torch import Tensor


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


def clip_loss(logits: Float[Tensor, "pair pair"]) -> Float[Tensor, ""]:
    """Let each image find its text among all, and each text its image.

    Args:
        logits: from `clip_logits`.

    Returns:
        Mean of the two cross-entropies.

    Source:
        Radford et al., 2021; docs/mathematics.md, CT-ViT 6.
    """
    pairs = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2
