"""Groups, schedule and clipping do what their equations say."""

import math

import pytest
import torch
from torch import nn

from ctlite.optimizer import (
    build_optimizer,
    clip_gradients,
    parameter_groups,
    schedule_factor,
    set_learning_rate,
)


class Toy(nn.Module):
    """One parameter of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 4, bias=False)
        self.body = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.temperature = nn.Parameter(torch.tensor(1.0))
        self.still = nn.Parameter(torch.ones(2, 2), requires_grad=False)


def test_norms_biases_and_scalars_do_not_decay() -> None:
    """Only matrices decay; frozen parameters are in no group."""
    toy = Toy()
    groups = {
        group["name"]: group
        for group in parameter_groups(toy.named_parameters(), lr=0.1, weight_decay=0.5)
    }

    assert [p is toy.body.weight or p is toy.head.weight for p in groups["base"]["params"]]
    assert len(groups["base"]["params"]) == 2
    assert len(groups["base-undecayed"]["params"]) == 4
    assert groups["base"]["weight_decay"] == 0.5
    assert groups["base-undecayed"]["weight_decay"] == 0


def test_the_factor_is_for_the_prefix_alone() -> None:
    """By hand from (19) at d = 512, r = 6: 85.3 times the base rate."""
    groups = parameter_groups(
        Toy().named_parameters(),
        lr=1e-3,
        weight_decay=0.0,
        faster={"head": 512 / 6},
    )
    rates = {group["name"]: group["lr"] for group in groups}

    assert rates == {
        "base": 1e-3,
        "base-undecayed": 1e-3,
        "head": pytest.approx(0.085333, rel=1e-4),
    }


def test_cosine_with_warmup_by_hand() -> None:
    """Linear to the peak, half way down in the middle, eta_min at the last step."""
    factors = [
        schedule_factor(step, steps=9, warmup_steps=4, eta_min_ratio=0.2) for step in range(9)
    ]

    assert factors[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert factors[6] == pytest.approx(0.2 + 0.8 * 0.5)
    assert factors[8] == pytest.approx(0.2)


def test_groups_keep_their_ratio_to_the_end() -> None:
    """eta_min scales with the group."""
    optimizer = build_optimizer(
        parameter_groups(Toy().named_parameters(), lr=1.0, weight_decay=0.0, faster={"head": 8.0})
    )
    set_learning_rate(optimizer, 0.25)

    assert {group["name"]: group["lr"] for group in optimizer.param_groups} == {
        "base": 0.25,
        "base-undecayed": 0.25,
        "head": 2.0,
    }


def test_clipping_returns_the_norm_before() -> None:
    """A gradient of (3, 4) has norm 5 and is scaled to the limit; 0 leaves it."""
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([3.0, 4.0])

    assert clip_gradients([parameter], 0.0) == pytest.approx(5)
    assert parameter.grad.tolist() == [3, 4]
    assert clip_gradients([parameter], 1.0) == pytest.approx(5)
    assert math.hypot(*parameter.grad.tolist()) == pytest.approx(1, rel=1e-4)
