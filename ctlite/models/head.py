"""From image tokens to the vector that the projection takes."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor


def pool_tokens(
    tokens: Float[Tensor, "batch frame height width feature"], pooling: Literal["mean", "none"]
) -> Float[Tensor, "batch pooled"]:
    """Flatten tokens, features fastest.

    Args:
        tokens: after the codebook.
        pooling: `mean` over frames first (CT-CLIP v2), or `none` (v1).

    Returns:
        One vector a volume.

    Source:
        docs/mathematics.md, CT-ViT 6.
    """
    return (tokens.mean(dim=1) if pooling == "mean" else tokens).flatten(1)
