"""Relative position bias of the spatial tower, continuous in the logarithm of the offset."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

LEAKY_SLOPE = 0.1


class PositionBias(nn.Module):
    """A small network from the offset between two cells to one logit a head.

    Args:
        dim: hidden width.
        heads: attention heads.
        grid: cells along (height, width).

    Source:
        Swin Transformer V2 (Liu et al., 2022), log-spaced continuous position bias, as CT-CLIP
        uses it. A grid has (2h - 1)(2w - 1) distinct offsets for its (hw)^2 pairs, so the network
        runs on the distinct ones only.
    """

    def __init__(self, dim: int, heads: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.net = nn.Sequential(
            nn.Sequential(nn.Linear(2, dim), nn.LeakyReLU(LEAKY_SLOPE)),
            nn.Sequential(nn.Linear(dim, dim), nn.LeakyReLU(LEAKY_SLOPE)),
            nn.Linear(dim, heads),
        )

    def forward(self) -> Float[Tensor, "head cell cell"]:
        """Compute the bias of every pair.

        Returns:
            Logits to add, axes head, query cell, key cell; cells in row-major order.
        """
        height, width = self.grid
        weight = next(self.net.parameters())
        device = weight.device
        rows = torch.arange(1 - height, height, device=device)
        columns = torch.arange(1 - width, width, device=device)
        offsets = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1).flatten(0, 1)
        offsets = offsets.to(weight.dtype)
        per_offset: Tensor = self.net(offsets.sign() * offsets.abs().log1p())
        row, column = (
            axis.flatten()
            for axis in torch.meshgrid(
                torch.arange(height, device=device),
                torch.arange(width, device=device),
                indexing="ij",
            )
        )
        row_offset = row[:, None] - row[None, :] + height - 1
        column_offset = column[:, None] - column[None, :] + width - 1
        which = row_offset * (2 * width - 1) + column_offset
        # Contiguous: on GPUs no fused kernel takes a bias whose keys lie apart in memory.
        pairs = per_offset.T.index_select(1, which.flatten())
        return pairs.view(-1, height * width, height * width)
