"""A spread projection tells a sample apart that random weights do not."""

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import nn

from ctlite.models.spread import spread_projection


def test_latents_of_similar_inputs_point_apart() -> None:
    """Inputs that differ by a percent get latents of mean cosine zero, on all axes alike."""
    torch.manual_seed(0)
    features = torch.randn(24) + 0.01 * torch.randn(64, 24)
    projection = nn.Linear(24, 8, bias=False)
    norm = projection.weight.norm()
    before = F.normalize(projection(features), dim=-1)

    spread_projection(projection, features, torch.Generator().manual_seed(1))
    after = F.normalize(projection(features), dim=-1)

    assert (before @ before.T).mean() > 0.99
    assert (after @ after.T).mean().abs() < 0.05
    spread = torch.linalg.svdvals(after)
    assert spread[-1] > 0.4 * spread[0]
    torch.testing.assert_close(projection.weight.norm(), norm)


def test_fewer_samples_than_latents() -> None:
    """Then the sample fills only some directions, and the weights stay finite."""
    projection = nn.Linear(6, 5, bias=False)

    spread_projection(projection, torch.randn(3, 6), torch.Generator())

    assert projection.weight.isfinite().all()
