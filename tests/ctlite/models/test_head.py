"""From tokens to latents and scores as the CT-CLIP class has it."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from safetensors.torch import load_file

from ctlite.losses.clip import clip_logits, clip_loss
from ctlite.models.head import pool_tokens

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.mark.parametrize(("version", "pooling"), [("v1", "none"), ("v2", "mean")])
def test_golden_head(golden: Path, version: str, pooling: str) -> None:
    """Features, latents, scores and the contrastive loss are the reference's."""
    values = load_file(golden / "ctclip_head.safetensors")
    tokens = load_file(golden / "ctvit_small.io.safetensors")["tokens"]
    own = {key[3:]: value for key, value in values.items() if key.startswith(version)}
    features = pool_tokens(tokens, pooling)
    image = F.normalize(features @ own["to_visual_latent.weight"].T, dim=-1)
    text = F.normalize(values["text_hidden"][:, 0] @ own["to_text_latent.weight"].T, dim=-1)
    logits = clip_logits(image, text, own["temperature"])

    torch.testing.assert_close(features, own["image_features"], **TOLERANCE)
    torch.testing.assert_close(image, own["image_latents"], **TOLERANCE)
    torch.testing.assert_close(text, own["text_latents"], **TOLERANCE)
    torch.testing.assert_close(logits, own["scores"], **TOLERANCE)
    torch.testing.assert_close(logits.softmax(-1)[:, 0], own["prob_present"], **TOLERANCE)
    loss = clip_loss(image, text, own["temperature"])
    torch.testing.assert_close(loss, own["clip_loss"], **TOLERANCE)


def test_clip_loss_by_hand() -> None:
    """Equal logits leave the logarithm of the number of pairs."""
    latents = torch.ones(4, 1)
    loss = clip_loss(latents, latents, torch.tensor(1.0))
    torch.testing.assert_close(loss, torch.tensor(4.0).log())
