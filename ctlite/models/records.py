"""What the image encoder tells about its inside when asked: one record a block."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float, Int64
from torch import Tensor

Tower = Literal["spatial", "temporal"]


@dataclass(frozen=True)
class BlockRecord:
    """One block of one forward pass.

    `group` is (batch frame) in the spatial tower and (batch height width) in the temporal one;
    tokens of a group attend to each other.
    """

    tower: Tower
    index: int
    """Of the block in its tower, from 0."""
    attn_in: Float[Tensor, "group token feature"]
    """Input of the attention layer, before its norm."""
    attn_map: Float[Tensor, "group head token token"] | None
    """After softmax, axes query and key; None unless maps were asked for."""
    attn_out: Float[Tensor, "group token feature"]
    """After the output projection, before the residual."""
    query: Float[Tensor, "group head token channel"]
    """Normalized and scaled, as are the keys."""
    key: Float[Tensor, "group head token channel"]
    value: Float[Tensor, "group head token channel"]
    bias: Float[Tensor, "head token token"] | None
    """Added to the logits; None in the temporal tower."""
    out: Float[Tensor, "group token feature"]
    """The stream after the block's feed-forward residual."""


@dataclass(frozen=True)
class EncoderOutput:
    """Everything one forward pass may be asked for."""

    tokens_pre_codebook: Float[Tensor, "batch frame height width feature"]
    tokens: Float[Tensor, "batch frame height width feature"]
    """After the codebook."""
    indices: Int64[Tensor, "batch token"]
    """Row of the codebook per token, order (frame, height, width)."""
    blocks: tuple[BlockRecord, ...]
    """Spatial blocks, then temporal ones; empty unless asked for."""
