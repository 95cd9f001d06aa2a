"""A spread projection tells a sample apart that random weights do not."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import nn

from ctlite.models.spread import spread_projection
from ctprep.store.errors import RecipeError


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
    """Then only the axes that the sample has are seen, and noise is not blown up."""
    torch.manual_seed(0)
    features = torch.randn(3, 40)
    projection = nn.Linear(40, 5, bias=False)

    spread_projection(projection, features, torch.Generator())

    assert torch.linalg.matrix_rank(projection.weight, rtol=1e-3) == 2
    assert projection(features.mean(dim=0)).norm() < 1e-3 * projection.weight.norm()


@pytest.mark.parametrize("features", [torch.randn(1, 6), torch.ones(8, 6)])
def test_inputs_that_do_not_differ_are_refused(features: torch.Tensor) -> None:
    """Nothing can be told apart by one input, or by equal ones."""
    projection = nn.Linear(6, 4, bias=False)
    before = projection.weight.clone()

    with pytest.raises(RecipeError, match="inputs that do not differ"):
        spread_projection(projection, features, torch.Generator())
    assert torch.equal(projection.weight, before)
