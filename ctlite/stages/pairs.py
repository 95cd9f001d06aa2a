"""Pairs of a batch when scans have several texts each, or share a sentence."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from jaxtyping import Float, Int64
from torch import Tensor

from ctlite import ranks
from ctlite.data.batch import Batch
from ctlite.models.ct_clip import CtClip
from ctlite.models.text_cache import TextCache
from ctprep.store.errors import RecipeError

NO_TOKEN = -1


def text_of(
    batch: Batch,
) -> tuple[Int64[Tensor, "text length"], Int64[Tensor, "text length"]]:
    """Give the tokens of a batch and their mask.

    Raises:
        RecipeError: it has none.
    """
    if batch.token_ids is None or batch.attention_mask is None:
        raise RecipeError("the batch has no text", mend="give data.reports")
    return batch.token_ids, batch.attention_mask


def encode_text(
    model: CtClip,
    token_ids: Int64[Tensor, "text length"],
    mask: Int64[Tensor, "text length"],
    cache: TextCache | None,
) -> Float[Tensor, "text latent"]:
    """Encode texts, by the cache where the text encoder is frozen.

    Args:
        model: whose encoder and projection are used.
        token_ids: padded.
        mask: 1 at tokens, 0 at padding.
        cache: of the model's encoder, or None to train it.

    Returns:
        Latents of unit length.
    """
    if cache is None:
        return model.encode_text(token_ids, mask)
    return model.project_text(cache(token_ids, mask))


def each_view(
    text: Float[Tensor, "text latent"],
    token_ids: Int64[Tensor, "text length"],
    mask: Int64[Tensor, "text length"],
    scans: int,
) -> Iterator[tuple[Float[Tensor, "scan latent"], Int64[Tensor, " scan"]]]:
    """Go over the first text of every scan of all ranks, then the second of every.

    Args:
        text: latents of this rank, as the tokens are ordered.
        token_ids: padded, as `Batch` holds them.
        mask: 1 at tokens, 0 at padding.
        scans: in this rank's part of the batch.

    Yields:
        One latent a scan, and numbers that are equal where their texts are.
    """
    # Ranks pad to lengths of their own; what is no token's number stands for all padding.
    lengths = ranks.gather(torch.tensor([token_ids.shape[1]], device=token_ids.device))
    longest = int(lengths.max())
    plain = token_ids.masked_fill(mask == 0, NO_TOKEN)
    plain = F.pad(plain, (0, longest - plain.shape[1]), value=NO_TOKEN)
    for view, ids in zip(torch.split(text, scans), torch.split(plain, scans), strict=True):
        yield ranks.gather(view), number_texts(ranks.gather(ids))


def number_texts(token_ids: Int64[Tensor, "scan length"]) -> Int64[Tensor, " scan"]:
    """Give equal texts one number, and different texts different ones.

    A table of which texts are equal would be as large as that of the scores.

    Args:
        token_ids: padded.

    Returns:
        A number a text.
    """
    numbers: Tensor = torch.unique(token_ids, dim=0, return_inverse=True)[1]
    return numbers
