"""Cosine-similarity attention as CT-CLIP has it.

What is special about it:
- keys and values come from the raw input, queries from the normalized one;
- the factor before the softmax is the constant 8, whatever the width of a head;
- scales of queries and keys are shared by all heads and applied after normalization;
- the inner norm has a gain and a constant buffer in place of a bias.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from jaxtyping import Float
from torch import Tensor, nn

LOGIT_SCALE = 8.0


class GainNorm(nn.Module):
    """LayerNorm with a learned gain and a fixed offset.

    Args:
        dim: features.
    """

    beta: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))
        self.register_buffer("beta", torch.zeros(dim))

    def forward(self, x: Float[Tensor, "*rows feature"]) -> Float[Tensor, "*rows feature"]:
        """Normalize over the features.

        Args:
            x: any leading axes.

        Returns:
            Same axes.
        """
        return F.layer_norm(x, x.shape[-1:], self.gamma, self.beta)


class Attention(nn.Module):
    """Multi-head attention within each group of tokens.

    Args:
        dim: features of a token.
        heads: number of heads.
        dim_head: channels of a head.

    Source:
        docs/mathematics.md, CT-ViT 3.
    """

    def __init__(self, dim: int, heads: int, dim_head: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = GainNorm(dim)
        self.q_scale = nn.Parameter(torch.ones(dim_head))
        self.k_scale = nn.Parameter(torch.ones(dim_head))
        self.to_q = nn.Linear(dim, heads * dim_head, bias=False)
        self.to_kv = nn.Linear(dim, 2 * heads * dim_head, bias=False)
        self.to_out = nn.Linear(heads * dim_head, dim, bias=False)

    def query(
        self, x: Float[Tensor, "group token feature"]
    ) -> Float[Tensor, "group head token channel"]:
        """Project the normalized input to queries.

        Args:
            x: input of the layer.

        Returns:
            Unit vectors times `q_scale`.
        """
        return F.normalize(self._split(self.to_q(self.norm(x))), dim=-1) * self.q_scale

    def key_value(
        self, x: Float[Tensor, "group token feature"]
    ) -> tuple[
        Float[Tensor, "group head token channel"], Float[Tensor, "group head token channel"]
    ]:
        """Project the raw input to keys and values.

        Args:
            x: input of the layer.

        Returns:
            Keys, unit vectors times `k_scale`, and values.
        """
        key, value = self.to_kv(x).chunk(2, dim=-1)
        return F.normalize(self._split(key), dim=-1) * self.k_scale, self._split(value)

    def attention_map(
        self,
        query: Float[Tensor, "group head query channel"],
        key: Float[Tensor, "group head key channel"],
        bias: Float[Tensor, "head query key"] | None,
    ) -> Float[Tensor, "group head query key"]:
        """Compute the map that `attend` applies without showing it.

        Args:
            query: from `query`.
            key: from `key_value`.
            bias: added to the logits.

        Returns:
            Rows that sum to one.
        """
        logits = (query * LOGIT_SCALE) @ key.transpose(-1, -2)
        return (logits if bias is None else logits + bias).softmax(dim=-1)

    def attend(
        self,
        query: Float[Tensor, "group head query channel"],
        key: Float[Tensor, "group head key channel"],
        value: Float[Tensor, "group head key channel"],
        bias: Float[Tensor, "head query key"] | None,
        *,
        frozen: bool = False,
    ) -> Float[Tensor, "group query feature"]:
        """Mix values and project them out, by a fused kernel.

        Queries may be those of another network: so FAST asks a student's in a teacher's layer.

        Args:
            query: from `query`.
            key: from `key_value`.
            value: from `key_value`.
            bias: added to the logits.
            frozen: whether the output projection gets no gradient.

        Returns:
            Output of the layer, before the residual.
        """
        # Under autocast values alone are in half precision, which is that of the kernel.
        dtype = value.dtype
        mask = None if bias is None else bias[None].to(dtype)
        mixed = F.scaled_dot_product_attention(
            query.to(dtype), key.to(dtype), value, attn_mask=mask, scale=LOGIT_SCALE
        )
        weight = self.to_out.weight.detach() if frozen else self.to_out.weight
        return F.linear(_join(mixed), weight)

    def apply_map(
        self,
        attention_map: Float[Tensor, "group head query key"],
        value: Float[Tensor, "group head key channel"],
    ) -> Float[Tensor, "group query feature"]:
        """Mix values by a map and project them out.

        Args:
            attention_map: from `attention_map`.
            value: from `key_value`.

        Returns:
            Output of the layer, before the residual.
        """
        projected: Tensor = self.to_out(_join(attention_map.to(value.dtype) @ value))
        return projected

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


def _join(mixed: Tensor) -> Tensor:
    return mixed.transpose(1, 2).flatten(2)
