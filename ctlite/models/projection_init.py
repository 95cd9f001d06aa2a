"""Cores of a block tensor train nearest to a dense layer, some blocks at a time.

The layer of CT-CLIP v1 has 4.3 GB, and its cores more than half of that: only what is worked on is
in memory, so that both may lie in mapped files.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ctlite.models.even_split import split_evenly
from ctprep.store.errors import CheckpointError

Method = Literal["svd", "whole-block"]
NUMBERS_AT_ONCE = 2**24
"""Of the dense layer. Rows of a mapped file are then read 128 kB at a time for CT-CLIP v1."""


@dataclass(frozen=True)
class Cores:
    """Cores of some neighbouring blocks."""

    blocks: slice
    left: Float64[Tensor, "block rows rows columns rank"]
    """L[block, alpha, gamma, beta, sigma]."""
    right: Float64[Tensor, "block rank columns rows columns"]
    """R[block, sigma, beta, gamma, delta]."""
    norm: float
    """Squared Frobenius norm of the dense blocks."""
    kept: float
    """Of it, what the cores keep; the rest is the squared error."""


def approximate(
    weight: Float[Tensor, "out_dim in_dim"], rank: int, method: Method = "svd", *, start: int = 0
) -> Generator[Cores]:
    """Find the nearest cores of every block.

    Args:
        weight: of an `nn.Linear`; may be mapped from a file, it is read once, from the front.
        rank: of the block tensor train.
        method: `svd` for the best of all, `whole-block` for the literal reading of (13).
        start: first block.

    Yields:
        Cores of some blocks, in order.

    Raises:
        CheckpointError: a weight is NaN or infinite.

    Source:
        CT-Lite (13)-(14); docs/mathematics.md, SFP.
    """
    side, in_dim = weight.shape
    blocks = in_dim // side
    step = max(1, NUMBERS_AT_ONCE // side**2)
    find = METHODS[method]
    for first in range(start, blocks, step):
        part = slice(first, min(first + step, blocks))
        # First to memory as it is, in long rows; then each block by itself.
        rows = weight[:, part.start * side : part.stop * side].clone()
        if not rows.isfinite().all():
            raise CheckpointError(
                f"the dense weight is not finite in blocks {part.start} to {part.stop - 1}",
                mend="take the checkpoint before it, or train it again",
            )
        dense = rows.view(side, -1, side).transpose(0, 1).to(torch.float64)
        left, right, kept = find(dense, rank)
        yield Cores(part, left, right, float(dense.square().sum()), float(kept))


def approximate_slices(
    dense: Float64[Tensor, "block side side"], rank: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Approximate blocks slice by slice, which is the best that any cores can do.

    Args:
        dense: blocks.
        rank: of the block tensor train.

    Returns:
        L and R as in `Cores`, both scaled by the root of the singular values, and the squared
        norm that they keep.

    Source:
        docs/mathematics.md, SFP; Eckart and Young for every slice (beta, gamma), by the
        eigenvectors of its Gram matrix, m1 x m1.
    """
    count, side, _ = dense.shape
    rows, columns = split_evenly(side)
    slices = dense.view(count, rows, columns, rows, columns).permute(0, 2, 3, 1, 4)
    _, vectors = torch.linalg.eigh(slices @ slices.mT)
    found = min(rank, rows)
    u = vectors.flip(-1)[..., :found]
    scaled_v = u.mT @ slices
    root = torch.linalg.vector_norm(scaled_v, dim=-1).sqrt()
    left = dense.new_zeros(count, columns, rows, rows, rank)
    right = dense.new_zeros(count, columns, rows, rank, columns)
    left[..., :found] = u * root[..., None, :]
    right[..., :found, :] = scaled_v / root.clamp(min=torch.finfo(dense.dtype).tiny)[..., None]
    return left.permute(0, 3, 2, 1, 4), right.permute(0, 3, 1, 2, 4), scaled_v.square().sum()


def approximate_whole_blocks(
    dense: Float64[Tensor, "block side side"], rank: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Approximate blocks by their own singular vectors: an ablation, never better.

    Args:
        dense: blocks.
        rank: of the block tensor train.

    Returns:
        As `approximate_slices`.

    Source:
        docs/mathematics.md, SFP, the literal reading of (13).
    """
    count, side, _ = dense.shape
    rows, columns = split_evenly(side)
    u, s, vh = torch.linalg.svd(dense)
    root = s[:, :rank].sqrt()
    left = (u[..., :rank] * root[:, None]).view(count, rows, 1, columns, rank)
    right = (root[..., None] * vh[:, :rank]).view(count, rank, 1, rows, columns)
    return (
        left.expand(-1, -1, rows, -1, -1),
        right.expand(-1, -1, columns, -1, -1),
        s[:, :rank].square().sum(),
    )


METHODS: dict[Method, Callable[[Tensor, int], tuple[Tensor, Tensor, Tensor]]] = {
    "svd": approximate_slices,
    "whole-block": approximate_whole_blocks,
}
