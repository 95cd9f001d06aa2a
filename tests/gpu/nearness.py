"""How near two results of different arithmetic must be."""

import math
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor


def off_by(found: Tensor, expected: Tensor) -> float:
    """Tell the greatest difference, as a share of the greatest expected number."""
    difference = found.detach().double().cpu() - expected.detach().double().cpu()
    return (difference.abs().max() / expected.detach().double().abs().max()).item()


def assert_near(found: Tensor, expected: Tensor, share: float) -> None:
    """Fail where a number is off by more than a share of the greatest one, or is none.

    Elements that are small by cancellation are not asked for more digits than the large ones.
    """
    assert found.shape == expected.shape
    # NaN is below nothing.
    assert off_by(found, expected) <= share


def assert_all_near(found: Iterable[Tensor], expected: Iterable[Tensor], share: float) -> None:
    """The same for each of several tensors by itself.

    What is nothing but rounding, such as the gradient of a bias before a softmax, is measured by
    a thousandth of the greatest number of all.
    """
    pairs = [
        (own.detach().double().cpu(), other.detach().double().cpu())
        for own, other in zip(found, expected, strict=True)
    ]
    least = 1e-3 * max(other.abs().max().item() for _, other in pairs)
    for own, other in pairs:
        assert own.shape == other.shape
        assert (own - other).abs().max().item() <= share * max(other.abs().max().item(), least)


def on(device: torch.device | str, *tensors: Tensor, dtype: torch.dtype) -> list[Tensor]:
    """Copy leaves to a device, as leaves of a precision."""
    return [
        tensor.detach().to(device, dtype).requires_grad_(tensor.requires_grad) for tensor in tensors
    ]


def apart(run: Path, other: Path) -> float:
    """Tell the distance of two runs' models, as a share of the length of all their weights.

    Not weight by weight: Adam makes a step of a gradient that is nothing but rounding.
    """
    own, theirs = (load_file(each / "model" / "model.safetensors") for each in (run, other))
    assert own.keys() == theirs.keys()
    squares = sum(float((own[name] - theirs[name]).double().square().sum()) for name in own)
    return math.sqrt(squares / sum(float(each.double().square().sum()) for each in theirs.values()))
