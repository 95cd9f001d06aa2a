"""The structured projection equals its equations, and is the best one from a dense layer."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ctlite.models import projection
from ctlite.models.projection import (
    SFP,
    sfp_core_lr_factors,
    sfp_lr_factor,
    sfp_parameter_counts,
    split_evenly,
)
from ctprep.store.errors import RecipeError

EXACT = {"atol": 1e-10, "rtol": 1e-10}


@pytest.fixture
def sfp(golden: Path) -> dict[str, Tensor]:
    """Cores, inputs and outputs in float64."""
    return load_file(golden / "sfp.safetensors")


@pytest.mark.filterwarnings("ignore:rank")
@pytest.mark.parametrize(("case", "rank"), [("square", 2), ("rect", 3)])
def test_golden_forward(sfp: dict[str, Tensor], case: str, rank: int) -> None:
    """Outputs and the written-out matrix are those of (10)."""
    x, y = sfp[f"{case}.x"], sfp[f"{case}.y"]
    layer = SFP(x.shape[1], y.shape[1], rank).double()
    layer.load_cores(sfp[f"{case}.L"], sfp[f"{case}.R"])

    torch.testing.assert_close(layer(x), y, **EXACT)
    torch.testing.assert_close(layer.to_dense(), sfp[f"{case}.dense"], **EXACT)


@pytest.mark.filterwarnings("ignore:rank")
@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_golden_approximation(sfp: dict[str, Tensor], rank: int) -> None:
    """By slices it is the best there is; by whole blocks it is the golden, worse one."""
    dense = sfp["proj.dense"]
    near = SFP.from_dense(dense, rank).to_dense()
    whole = SFP.from_dense(dense, rank, "whole-block").to_dense()

    torch.testing.assert_close(near, sfp[f"proj.rank{rank}.dense"], **EXACT)
    error, whole_error = ((dense - other).norm() for other in (near, whole))
    torch.testing.assert_close(error, sfp[f"proj.rank{rank}.error"], **EXACT)
    torch.testing.assert_close(whole_error, sfp[f"proj.rank{rank}.error_whole_block"], **EXACT)


@pytest.mark.parametrize("numbers", [1, 200, 2**20])
def test_gradients_match_the_plain_einsum(monkeypatch: pytest.MonkeyPatch, numbers: int) -> None:
    """Whatever the number of blocks at a time, all three gradients are autograd's."""
    monkeypatch.setitem(projection.MIDDLE_NUMBERS, "cpu", numbers)
    torch.manual_seed(0)
    layer = SFP(5 * 32, 32, 2).double()
    x = torch.randn(3, 160, dtype=torch.float64, requires_grad=True)
    target = torch.randn(3, 32, dtype=torch.float64)
    left, right = layer.cores
    cells = x.view(3, 5, 4, 8)
    slow = torch.einsum("iagbs,isbgd,nigd->nab", left, right, cells).reshape(3, 32)
    inputs = (x, layer.left, layer.right)
    expected = torch.autograd.grad((slow * target).sum(), inputs)
    fast = layer(x)

    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(torch.autograd.grad((fast * target).sum(), inputs), expected)
    assert torch.autograd.gradcheck(layer, (x,))


def test_frozen_cores_and_frozen_input_get_no_gradient() -> None:
    """Any of the three may be left out."""
    layer = SFP(64, 16, 1)
    layer.left.requires_grad_(False)
    layer(torch.randn(2, 64)).sum().backward()
    assert layer.left.grad is None
    assert layer.right.grad is not None


def test_counts_of_the_paper() -> None:
    """604 M weights where the paper's ideal formula says 569 M, and no saving at rank 11."""
    exact, ideal = sfp_parameter_counts(2_097_152, 512, 6)

    assert exact == 603_979_776
    assert round(ideal / 1e6, 1) == 569.4
    assert sfp_parameter_counts(2_097_152, 512, 11)[0] > 2_097_152 * 512
    small = SFP(64, 16, 1)
    assert sum(p.numel() for p in small.parameters()) == sfp_parameter_counts(64, 16, 1)[0]
    assert [split_evenly(size) for size in (512, 64, 32, 7)] == [(16, 32), (8, 8), (4, 8), (1, 7)]


def test_learning_rate_factors_of_the_paper() -> None:
    """About 85 for rank 6, and the structure-aware pair."""
    assert sfp_lr_factor(512, 6) == pytest.approx(85.33, abs=0.01)
    left, right = sfp_core_lr_factors(2_097_152, 512, 6)
    assert (left, right) == (pytest.approx(2.667, abs=1e-3), 32_768)


def test_a_rank_that_saves_nothing_warns() -> None:
    """The bound is d / (m1 + m2)."""
    with pytest.warns(UserWarning, match="saves no weights"):
        SFP(64, 16, 2)


@pytest.mark.parametrize("sizes", [(65, 16, 1), (64, 16, 0)])
def test_impossible_sizes_are_refused(sizes: tuple[int, int, int]) -> None:
    """An output that does not divide the input, or no rank at all."""
    with pytest.raises(RecipeError, match="no structured projection"):
        SFP(*sizes)


def test_start_keeps_the_variance() -> None:
    """Unit inputs give unit outputs."""
    torch.manual_seed(0)
    outputs = SFP(64 * 64, 64, 3)(torch.randn(400, 4096))
    assert outputs.std().item() == pytest.approx(1, abs=0.05)
