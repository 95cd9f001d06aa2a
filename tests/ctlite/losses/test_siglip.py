"""SigLIP's logits and loss are those of (15)-(18)."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ctlite.losses.siglip import START_BIAS, START_LOG_SCALE, siglip_logits, siglip_loss

EXACT = {"atol": 1e-10, "rtol": 1e-10}


@pytest.mark.parametrize("case", ["init", "tuned"])
def test_golden(golden: Path, case: str) -> None:
    """Logits, the loss over texts, and the option over pairs."""
    values = load_file(golden / "siglip.safetensors")
    inputs = (values["image"], values["text"], values[f"{case}.t_prime"], values[f"{case}.bias"])

    torch.testing.assert_close(siglip_logits(*inputs), values[f"{case}.logits"], **EXACT)
    torch.testing.assert_close(siglip_loss(*inputs), values[f"{case}.loss"], **EXACT)
    over_pairs = siglip_loss(*inputs, mean_over="pairs")
    torch.testing.assert_close(over_pairs, values[f"{case}.loss_mean_over_pairs"], **EXACT)


def test_matches_the_written_out_sum() -> None:
    """The second form of (18), value and gradient."""
    image, text = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    inputs = (image, text, torch.tensor(0.5), torch.tensor(-1.0))
    y = torch.eye(4, dtype=torch.float64)
    p = siglip_logits(*inputs).sigmoid()
    plain = -(y * p.log() + (1 - y) * (1 - p).log()).sum() / 4
    ours = siglip_loss(*inputs)

    torch.testing.assert_close(ours, plain)
    expected = torch.autograd.grad(plain, (image, text))
    torch.testing.assert_close(torch.autograd.grad(ours, (image, text)), expected)


def test_large_logits_stay_finite() -> None:
    """Where a sigmoid would round to zero, its logarithm does not."""
    latents = torch.eye(2)
    assert siglip_loss(latents, latents.flip(0), torch.tensor(9.0), torch.tensor(0.0)).isfinite()


def test_start_values() -> None:
    """Scale 10 and bias -10."""
    assert torch.tensor(START_LOG_SCALE).exp().item() == pytest.approx(10)
    assert START_BIAS == -10
