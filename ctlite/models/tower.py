"""A tower of the image encoder: position by convolution, attention, feed-forward, repeated."""

from collections.abc import Iterator
from typing import cast

import torch.nn.functional as F  # noqa: N812 - its usual name
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ctlite.models.attention import Attention, GainNorm
from ctlite.models.records import BlockRecord, Tower

FEED_FORWARD_FACTOR = 4


class PositionConvolution(nn.Module):
    """Depthwise 3 x 3 x 3 convolution that sees only earlier cells along the first grid axis.

    Args:
        dim: features of a token.

    Source:
        docs/mathematics.md, CT-ViT 3 (PEG). The tokens are viewed as (batch, t, h, w) whatever
        their order is: in the temporal tower, where it is (h, w, t), that is wrong, and the
        published weights were trained so.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dsconv = nn.Conv3d(dim, dim, 3, groups=dim)

    def forward(
        self, x: Float[Tensor, "group token feature"], grid: tuple[int, int, int, int]
    ) -> Float[Tensor, "group token feature"]:
        """Convolve.

        Args:
            x: tokens as they lie in memory.
            grid: batch, t, h, w.

        Returns:
            To be added to `x`.
        """
        cells = x.reshape(*grid, -1).permute(0, 4, 1, 2, 3)
        # Zeros: one on both sides of the last two axes, two before the first and none after it.
        padded = F.pad(cells, (1, 1, 1, 1, 2, 0))
        if padded.is_cuda:
            # With features last, cuDNN's gradient of the weights is 27 times slower in bfloat16,
            # which was 97 % of a step (benchmarks/gpu-parts). A CPU is faster with features last.
            padded = padded.contiguous()
        convolved: Tensor = self.dsconv(padded)
        return convolved.permute(0, 2, 3, 4, 1).reshape(x.shape)


class GatedGelu(nn.Module):
    """Splits the features in value and gate: value * GELU(gate)."""

    def forward(self, x: Float[Tensor, "*rows double"]) -> Float[Tensor, "*rows hidden"]:
        """Gate.

        Args:
            x: values in the first half of the features, gates in the second.

        Returns:
            Half as many features.
        """
        value, gate = x.chunk(2, dim=-1)
        return value * F.gelu(gate)


def build_feed_forward(dim: int) -> nn.Sequential:
    """Make a feed-forward layer; its indices are those of the published weights.

    Args:
        dim: features of a token.

    Returns:
        Norm, expansion, gate, nothing (dropout, in CT-CLIP), contraction.
    """
    hidden = int(FEED_FORWARD_FACTOR * (2 / 3) * dim)
    return nn.Sequential(
        nn.LayerNorm(dim),
        nn.Linear(dim, 2 * hidden, bias=False),
        GatedGelu(),
        nn.Identity(),
        nn.Linear(hidden, dim, bias=False),
    )


class Block(nn.Module):
    """Three residual layers; children are named as in the published weights.

    Args:
        dim: features of a token.
        heads: attention heads.
        dim_head: channels of a head.
    """

    def __init__(self, dim: int, heads: int, dim_head: int) -> None:
        super().__init__()
        self.add_module("0", PositionConvolution(dim))
        self.add_module("1", Attention(dim, heads, dim_head))
        self.add_module("3", build_feed_forward(dim))

    @property
    def attention(self) -> Attention:
        """The attention layer."""
        return cast(Attention, self.get_submodule("1"))

    def forward(
        self,
        x: Float[Tensor, "group token feature"],
        grid: tuple[int, int, int, int],
        bias: Float[Tensor, "head token token"] | None,
        maps: bool,
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor, Tensor, Tensor]:
        """Run the block.

        Args:
            x: the stream.
            grid: batch, t, h, w.
            bias: position bias.
            maps: whether to compute the attention map openly.

        Returns:
            Stream, attention input, map, attention output, query, key, value.
        """
        x = x + self.get_submodule("0")(x, grid)
        attention, attn_in = self.attention, x
        query = attention.query(x)
        key, value = attention.key_value(x)
        attn_map = attention.attention_map(query, key, bias) if maps else None
        attn_out = (
            attention.attend(query, key, value, bias)
            if attn_map is None
            else attention.apply_map(attn_map, value)
        )
        x = x + attn_out
        x = x + self.get_submodule("3")(x)
        return x, attn_in, attn_map, attn_out, query, key, value


class TokenTower(nn.Module):
    """Blocks and their closing norm.

    Args:
        name: for the records.
        dim: features of a token.
        depth: number of blocks.
        heads: attention heads.
        dim_head: channels of a head.
    """

    def __init__(self, name: Tower, dim: int, depth: int, heads: int, dim_head: int) -> None:
        super().__init__()
        self.name: Tower = name
        self.layers = nn.ModuleList(Block(dim, heads, dim_head) for _ in range(depth))
        self.norm_out = GainNorm(dim)

    def walk(
        self,
        x: Float[Tensor, "group token feature"],
        grid: tuple[int, int, int, int],
        bias: Float[Tensor, "head token token"] | None,
        *,
        maps: bool,
        recompute: bool,
    ) -> Iterator[BlockRecord]:
        """Run block after block, each when it is asked for.

        Args:
            x: tokens.
            grid: batch, t, h, w.
            bias: position bias.
            maps: whether records hold attention maps.
            recompute: whether activations inside a block are computed again in backward.

        Yields:
            A record a block; the tower's output is `norm_out` of the last one's `out`.
        """
        for index, layer in enumerate(self.layers):
            if recompute:
                outputs = checkpoint(layer, x, grid, bias, maps, use_reentrant=False)
            else:
                outputs = layer(x, grid, bias, maps)
            x, attn_in, attn_map, attn_out, query, key, value = outputs
            yield BlockRecord(
                self.name, index, attn_in, attn_map, attn_out, query, key, value, bias, x
            )
