"""The contrastive losses as their papers write them, over the whole table of scores."""

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor


def plain_clip_loss(logits: Tensor) -> Tensor:
    """The mean of the two cross-entropies."""
    pairs = torch.arange(len(logits))
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2


def plain_siglip_loss(logits: Tensor) -> Tensor:
    """The first form of CT-Lite (18), over texts."""
    sign = 2 * torch.eye(len(logits), dtype=logits.dtype) - 1
    return -F.logsigmoid(sign * logits).sum() / len(logits)


def without_equal_texts(logits: Tensor, numbers: Tensor) -> Tensor:
    """Scores of minus infinity at another scan's equal text."""
    equal = (numbers[:, None] == numbers[None]) & ~torch.eye(len(numbers), dtype=torch.bool)
    return logits.masked_fill(equal, -torch.inf)
