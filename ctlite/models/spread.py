"""A start for a projection that tells its inputs apart from the first step on."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ctprep.store.errors import RecipeError

FLOOR = 0.1
"""Added to every length, as a share of the largest, so that short axes are not blown up."""
LEAST_SHARE = 1e-3
"""Axes shorter than this share of the longest are rounding."""


@torch.no_grad()
def spread_projection(
    projection: nn.Linear, features: Float[Tensor, "sample feature"], generator: torch.Generator
) -> None:
    """Set a projection so that the latents of a sample point in all directions.

    With random weights the latents of similar inputs, such as chest CT, lie close together.
    Then all scores are alike, and contrastive training stands still for hundreds of steps.
    Here the mean goes to zero and the main axes of the sample get about equal lengths.

    Memory beyond the weights is that of the sample twice: axes come from the products of
    samples, never from those of features.

    Args:
        projection: without bias; its weights are replaced, and keep their norm.
        features: inputs of a sample.
        generator: turns the axes, so that each latent feature has a share of all; on the CPU.

    Raises:
        RecipeError: fewer than two inputs, or all are the same.

    Source:
        Data-dependent initialization by principal components: Kraehenbuehl et al., 2016.
    """
    weight = projection.weight
    norm = weight.norm()
    mean = features.mean(dim=0)
    centered = features - mean
    squares, mixtures = torch.linalg.eigh((centered @ centered.T).double())
    lengths, mixtures = squares.clamp(min=0).sqrt().flip(0), mixtures.flip(1)
    count = min(len(weight), int((lengths > LEAST_SHARE * lengths[0]).sum()))
    if len(features) < 2 or not count:
        raise RecipeError(
            f"the projection cannot be spread by {len(features)} inputs that do not differ",
            mend="raise stage.spread_batches or data.batch_size, or set the former to 0",
        )
    # An axis is a mixture of samples over its length; the second factor evens the lengths out.
    scale = lengths[:count] * (lengths[:count] + FLOOR * lengths[0])
    turn = torch.linalg.qr(torch.randn(len(weight), len(weight), generator=generator).double()).Q
    rows = turn[:, :count].to(scale.device) @ (mixtures[:, :count] / scale).T
    torch.mm(rows.to(weight.dtype), centered.to(weight.dtype), out=weight)
    # Without a bias, the mean vanishes only if no row sees its direction.
    direction = nn.functional.normalize(mean, dim=0).to(weight.dtype)
    weight.addr_(weight @ direction, direction, alpha=-1)
    weight.mul_(norm / weight.norm())
