"""Published weights load by name, dead ones aside, and nothing else passes."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ctlite.models.reference_weights import load_encoder_weights
from ctprep.store.errors import CheckpointError


@pytest.fixture
def published(golden: Path) -> dict[str, Tensor]:
    """A complete published state dict, dead keys and empty tensors included."""
    return load_file(golden / "ctvit_rect.weights.safetensors")


def test_dead_weights_are_left_out(load_encoder, published: dict[str, Tensor]) -> None:
    """Empty null keys and decoders of early files are ignored by name."""
    encoder = load_encoder("ctvit_rect")
    published["vgg.features.0.weight"] = torch.zeros(1)
    load_encoder_weights(encoder, published)

    assert any(tensor.numel() == 0 for tensor in published.values())
    assert not any("null_kv" in name or "initted" in name for name in encoder.state_dict())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s.pop("to_patch_emb.2.bias"), r"1 are missing.* 2\.bias +none +\(24,\)"),
        (lambda s: s.update(surprise=torch.zeros(3)), r"1 unknown.* surprise +\(3,\) +none"),
        (
            lambda s: s.update({"to_patch_emb.2.bias": torch.zeros(5)}),
            r"1 of another shape.* 2\.bias +\(5,\) +\(24,\)",
        ),
    ],
)
def test_anything_else_is_an_error(load_encoder, published, change, told: str) -> None:
    """A missing or unknown name, or another shape, is told, and nothing is loaded."""
    encoder = load_encoder("ctvit_rect")
    change(published)
    with pytest.raises(CheckpointError, match=f"(?s){told}"):
        load_encoder_weights(encoder, published)


def test_own_state_dict_round_trips(load_encoder) -> None:
    """What we save loads again."""
    encoder = load_encoder("ctvit_rect")
    load_encoder_weights(encoder, encoder.state_dict())
