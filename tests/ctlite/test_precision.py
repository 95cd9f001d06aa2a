"""What a GPU lacks is told, and nothing else is."""

import pytest
import torch

from ctlite.precision import Precision, warn_of_emulation


@pytest.mark.parametrize(
    ("precision", "device", "has_it", "warns"),
    [
        ("bfloat16", "cuda", False, True),
        ("bfloat16", "cuda", True, False),
        ("bfloat16", "cpu", False, False),
        ("float32", "cuda", False, False),
    ],
)
def test_a_gpu_without_bfloat16_is_told(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    precision: Precision,
    device: str,
    has_it: bool,
    warns: bool,
) -> None:
    """Torch takes it there and is slow, without a word."""
    monkeypatch.setattr(
        torch.cuda,
        "is_bf16_supported",
        lambda including_emulation=True: including_emulation or has_it,
    )
    warn_of_emulation(precision, torch.device(device))

    assert ("no bfloat16 of its own" in caplog.text) is warns
