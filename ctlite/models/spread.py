"""A start for a projection that tells its inputs apart from the first step on."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

FLOOR = 0.1
"""Least singular value that is evened out, as a share of the largest; smaller ones are noise."""


@torch.no_grad()
def spread_projection(
    projection: nn.Linear, features: Float[Tensor, "sample feature"], generator: torch.Generator
) -> None:
    """Set a projection so that the latents of a sample point in all directions.

    With random weights the latents of similar inputs, such as chest CT, are nearly the same
    vector. Then all scores are alike, and contrastive training stands still for hundreds of
    steps. Here the mean goes to zero and the main axes of the sample get about equal lengths.

    Args:
        projection: without bias; its weights are replaced, and keep their norm.
        features: inputs of a sample, at least two.
        generator: turns the axes, so that each latent feature has a share of all; on the CPU.

    Source:
        Data-dependent initialization by principal components: Kraehenbuehl et al., 2016.
    """
    weight = projection.weight
    mean = features.mean(dim=0)
    centered = (features - mean).double()
    _, lengths, axes = torch.linalg.svd(centered, full_matrices=False)
    count = min(len(weight), len(axes))
    rows = torch.zeros_like(weight, dtype=torch.float64)
    rows[:count] = axes[:count] / (lengths[:count, None] + FLOOR * lengths[0])
    direction = nn.functional.normalize(mean.double(), dim=0)
    # Without a bias, the mean vanishes only if no row sees its direction.
    rows -= (rows @ direction)[:, None] * direction
    turn = torch.linalg.qr(torch.randn(len(weight), len(weight), generator=generator).double()).Q
    rows = turn.to(rows.device) @ rows
    weight.copy_(rows * weight.norm() / rows.norm())
