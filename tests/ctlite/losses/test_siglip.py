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
    logits = siglip_logits(
        values["image"], values["text"], values[f"{case}.t_prime"], values[f"{case}.bias"]
    )

    torch.testing.assert_close(logits, values[f"{case}.logits"], **EXACT)
    torch.testing.assert_close(siglip_loss(logits), values[f"{case}.loss"], **EXACT)
    over_pairs = siglip_loss(logits, "pairs")
    torch.testing.assert_close(over_pairs, values[f"{case}.loss_mean_over_pairs"], **EXACT)


def test_matches_the_written_out_sum() -> None:
    """The second form of (18), value and gradient."""
    logits = torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    y = torch.eye(4, dtype=torch.float64)
    p = logits.sigmoid()
    plain = -(y * p.log() + (1 - y) * (1 - p).log()).sum() / 4
    ours = siglip_loss(logits)

    torch.testing.assert_close(ours, plain)
    expected = torch.autograd.grad(plain, logits)
    torch.testing.assert_close(torch.autograd.grad(ours, logits), expected)


def test_large_logits_stay_finite() -> None:
    """Where a sigmoid would round to zero, its logarithm does not."""
    assert siglip_loss(torch.full((2, 2), 1e4)).isfinite()


def test_start_values() -> None:
    """Scale 10 and bias -10."""
    assert torch.tensor(START_LOG_SCALE).exp().item() == pytest.approx(10)
    assert START_BIAS == -10
