"""The codebook: every token becomes the row with which it has the largest cosine.

What is special about it: the row is returned as stored, not at unit length.
Rows are running averages of unit vectors, so their lengths are near or below one.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ctlite import ranks

DECAY = 0.8
TOKENS_PER_TILE = 2048


class Codebook(nn.Module):
    """Nearest row by cosine, with rows that follow the tokens in training mode.

    Args:
        size: rows.
        dim: features.

    Source:
        docs/mathematics.md, CT-ViT 5 (vector-quantize-pytorch 1.1.2, cosine, one head).
    """

    embed: Tensor
    cluster_size: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("embed", F.normalize(torch.randn(1, size, dim), dim=-1))
        self.register_buffer("cluster_size", torch.zeros(1, size))
        self.frozen = False
        """Whether rows stay as they are in training mode too, as a student's do."""

    def forward(
        self, tokens: Float[Tensor, "batch token feature"]
    ) -> tuple[Float[Tensor, "batch token feature"], Int64[Tensor, "batch token"]]:
        """Look up; in training mode, unless frozen, then move the rows.

        The rows follow the tokens of all ranks together.

        Args:
            tokens: of any length.

        Returns:
            Rows, whose gradient goes straight through to the tokens, and their indices.
        """
        with torch.autocast(tokens.device.type, enabled=False):
            flat = tokens.detach().flatten(0, 1).to(self.embed.dtype)
            indices = find_nearest(flat, self.embed[0])
            rows = self.embed[0].index_select(0, indices).view(tokens.shape)
            if self.training and not self.frozen:
                self._follow(flat, indices)
        # Adding (row - token) to the token would round; a zero that carries the gradient does not.
        through = rows + (tokens - tokens.detach()) if tokens.requires_grad else rows
        return through, indices.view(tokens.shape[:2])

    @torch.no_grad()
    def _follow(self, tokens: Tensor, indices: Tensor) -> None:
        sums, counts = _sum_by_row(tokens, indices, self.embed[0])
        sums, counts = ranks.total(sums), ranks.total(counts)
        means = _spherical_means(sums, counts, self.embed[0])
        self.embed[0].lerp_(means, 1 - DECAY)
        self.cluster_size[0].lerp_(counts, 1 - DECAY)

    @torch.no_grad()
    def seed_from(
        self,
        tokens: Float[Tensor, "token feature"],
        generator: torch.Generator,
        iterations: int = 5,
    ) -> None:
        """Start the rows among real tokens, for training without a teacher.

        Args:
            tokens: a sample, best many times the number of rows.
            generator: chooses the starting tokens; on the CPU.
            iterations: steps of spherical k-means.
        """
        size, count = self.embed.shape[1], len(tokens)
        chosen = torch.randperm(count, generator=generator)[:size]
        if count < size:
            more = torch.randint(count, (size - count,), generator=generator)
            chosen = torch.cat([chosen, more])
        rows = F.normalize(tokens[chosen.to(tokens.device)].to(self.embed.dtype), dim=-1)
        counts = torch.zeros_like(self.cluster_size[0])
        for _ in range(iterations):
            indices = find_nearest(tokens.to(rows.dtype), rows)
            sums, counts = _sum_by_row(tokens.to(rows.dtype), indices, rows)
            rows = _spherical_means(sums, counts, rows)
        self.embed[0].copy_(rows)
        self.cluster_size[0].copy_(counts)


def find_nearest(
    tokens: Float[Tensor, "token feature"], rows: Float[Tensor, "row feature"]
) -> Int64[Tensor, " token"]:
    """Find the row with the largest cosine, a tile of tokens at a time.

    Args:
        tokens: of any length.
        rows: of any length.

    Returns:
        Index of the row for each token.
    """
    unit_rows = F.normalize(rows, dim=-1).T
    tiles = torch.split(F.normalize(tokens, dim=-1), TOKENS_PER_TILE)
    return torch.cat([(tile @ unit_rows).argmax(dim=-1) for tile in tiles])


def commitment_loss(
    tokens: Float[Tensor, "*rows feature"], codes: Float[Tensor, "*rows feature"]
) -> Float[Tensor, ""]:
    """Measure how far tokens are from their rows.

    Args:
        tokens: before the codebook; they get the gradient.
        codes: after it.

    Returns:
        Mean square. CT-CLIP computes it and leaves it out of its loss.
    """
    return F.mse_loss(tokens, codes.detach())


def _sum_by_row(tokens: Tensor, indices: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    sums = torch.zeros_like(rows).index_add_(0, indices, F.normalize(tokens, dim=-1))
    return sums, torch.bincount(indices, minlength=len(rows)).to(rows.dtype)


def _spherical_means(sums: Tensor, counts: Tensor, rows: Tensor) -> Tensor:
    # A row that no token chose keeps its own direction.
    chosen = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], rows)
    return F.normalize(chosen, dim=-1)
