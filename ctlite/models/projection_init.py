"""Cores of a block tensor train nearest to a dense block."""

import torch
from jaxtyping import Float64
from torch import Tensor

Cores = tuple[Tensor, Tensor]


def approximate_slices(
    dense: Float64[Tensor, "out_dim out_dim"], rank: int, sizes: tuple[int, int]
) -> Cores:
    """Approximate a block slice by slice, which is the best that any cores can do.

    Args:
        dense: one block.
        rank: of the block tensor train.
        sizes: (m1, m2), the factors of the block's side.

    Returns:
        L[alpha, gamma, beta, sigma] and R[sigma, beta, gamma, delta] of one block, both scaled by
        the root of the singular values.

    Source:
        docs/mathematics.md, SFP; Eckart and Young for every slice (beta, gamma), by the
        eigenvectors of its Gram matrix, m1 x m1.
    """
    rows, columns = sizes
    slices = dense.view(rows, columns, rows, columns).permute(1, 2, 0, 3)
    _, vectors = torch.linalg.eigh(slices @ slices.mT)
    kept = min(rank, rows)
    u = vectors.flip(-1)[..., :kept]
    scaled_v = u.mT @ slices
    root = torch.linalg.vector_norm(scaled_v, dim=-1).sqrt()
    left = torch.zeros(columns, rows, rows, rank, dtype=dense.dtype, device=dense.device)
    right = torch.zeros(columns, rows, rank, columns, dtype=dense.dtype, device=dense.device)
    left[..., :kept] = u * root[..., None, :]
    right[..., :kept, :] = scaled_v / root.clamp(min=torch.finfo(dense.dtype).tiny)[..., None]
    return left.permute(2, 1, 0, 3), right.permute(2, 0, 1, 3)


def approximate_whole_blocks(
    dense: Float64[Tensor, "out_dim out_dim"], rank: int, sizes: tuple[int, int]
) -> Cores:
    """Approximate a block by its own singular vectors.

    Args:
        dense: one block.
        rank: of the block tensor train.
        sizes: (m1, m2), the factors of the block's side.

    Returns:
        As `approximate_slices`.

    Source:
        docs/mathematics.md, SFP, the literal reading of (13).
    """
    rows, columns = sizes
    u, s, vh = torch.linalg.svd(dense)
    root = s[:rank].sqrt()
    left = (u[:, :rank] * root).view(rows, 1, columns, rank).expand(-1, rows, -1, -1)
    right = (root[:, None] * vh[:rank]).view(rank, 1, rows, columns).expand(-1, columns, -1, -1)
    return left, right
