"""CT-CLIP equals the reference after its encoders, saves whole, and refuses what does not fit."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ctlite.losses.clip import clip_logits, clip_loss
from ctlite.models.config import ModelConfig, Preprocessing, VisionConfig
from ctlite.models.ct_clip import CtClip
from ctlite.models.text_encoder import TextTower, build_small_bert
from ctprep.store.attributes import LUNG, Grid
from ctprep.store.errors import CheckpointError

REPORTS = ["There is emphysema.", "No nodule."]


class Words(nn.Module):
    """A text encoder that says what it is told."""

    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self.config = SimpleNamespace(hidden_size=hidden.shape[-1])
        self.hidden = hidden

    def forward(self, **_: Any) -> SimpleNamespace:
        """Say it."""
        return SimpleNamespace(last_hidden_state=self.hidden)


def config_of(pooling: str, *, patch: int = 10, latent: int = 20) -> ModelConfig:
    """The small golden encoder, with a projection."""
    return ModelConfig(
        vision=VisionConfig(
            image_size=40,
            frames=30,
            patch_size=patch,
            temporal_patch_size=5,
            dim=32,
            codebook_size=64,
            spatial_depth=2,
            temporal_depth=2,
            dim_head=16,
            heads=2,
        ),
        latent_dim=latent,
        pooling=pooling,
        preprocessing=Preprocessing(
            kind="jpeg",
            grid=Grid(name="small", spacing_mm=(1.5, 1, 1), shape=(30, 40, 40)),
            window=LUNG,
            quality=90,
        ),
    )


def small_model(pooling: str = "mean", **sizes: int) -> CtClip:
    """A whole model with random weights."""
    return CtClip(config_of(pooling, **sizes), build_small_bert(REPORTS, width=16, layers=1)).eval()


@pytest.mark.parametrize(("version", "pooling"), [("v1", "none"), ("v2", "mean")])
def test_latents_scores_and_loss_are_the_reference(
    golden: Path, version: str, pooling: str
) -> None:
    """Golden: pooling, both projections, the factor e^temperature, and the contrastive loss."""
    values = load_file(golden / "ctclip_head.safetensors")
    model = CtClip(config_of(pooling), TextTower(Words(values["text_hidden"]), None))
    own = {
        name.removeprefix(f"{version}."): value
        for name, value in values.items()
        if name.startswith(f"{version}.to_") or name == f"{version}.temperature"
    }
    model.load_state_dict(own, strict=False)
    image = model.project_image(load_file(golden / "ctvit_small.io.safetensors")["tokens"])
    ids = torch.zeros(2, 7, dtype=torch.int64)
    text = model.encode_text(ids, ids)
    logits = clip_logits(image, text, model.temperature)

    for name, found in (
        ("image_latents", image),
        ("text_latents", text),
        ("scores", logits),
        ("prob_present", logits.softmax(dim=-1)[:, 0]),
        ("clip_loss", clip_loss(image, text, model.temperature)),
    ):
        torch.testing.assert_close(found, values[f"{version}.{name}"], atol=1e-5, rtol=1e-5)


def test_a_model_reads_back_as_it_was(tmp_path: Path) -> None:
    """Weights, configuration with preprocessing, and tokenizer."""
    model = small_model()
    model.save_pretrained(tmp_path)
    again = CtClip.from_pretrained(tmp_path)
    tokens = model.tokenizer(REPORTS, padding="longest")
    ids, mask = torch.tensor(tokens["input_ids"]), torch.tensor(tokens["attention_mask"])
    video = torch.randn(1, 1, 30, 40, 40)

    assert again.config == model.config
    assert again.tokenizer(REPORTS, padding="longest")["input_ids"] == tokens["input_ids"]
    assert torch.equal(again.encode_text(ids, mask), model.encode_text(ids, mask))
    assert torch.equal(again.encode_image(video), model.encode_image(video))


def test_published_names_load_and_dead_ones_are_left_out() -> None:
    """Keys of the published file that take no part are ignored by name, none other."""
    model, other = small_model(), small_model()
    state = dict(other.state_dict())
    state["text_transformer.embeddings.position_ids"] = torch.zeros(1, 4)
    state["text_transformer.pooler.dense.weight"] = torch.zeros(4, 4)
    state["to_visual_latent_extra.weight"] = torch.zeros(4, 4)
    state["visual_transformer.to_pixels.0.weight"] = torch.zeros(4, 4)
    model.load_weights(state)

    assert torch.equal(model.to_visual_latent.weight, other.to_visual_latent.weight)
    with pytest.raises(CheckpointError, match=r"(?s)0 are missing, 1 unknown.* extra "):
        model.load_weights(state | {"extra": torch.zeros(1)})
    del state["temperature"]
    with pytest.raises(CheckpointError, match=r"(?s)1 are missing, .* temperature "):
        model.load_weights(state)


def test_another_geometry_is_told_with_both() -> None:
    """The checkpoint's widths and the model's, in one message."""
    with pytest.raises(CheckpointError) as caught:
        small_model(patch=20).load_weights(small_model("none").state_dict())

    assert "its projection is 3072 -> 20" in caught.value.what
    assert "its patches have 500 voxels" in caught.value.what
    assert "patches of 5x20x20 voxels, 6x2x2 tokens of 32, pooling mean" in caught.value.what


def test_another_version_of_the_configuration_is_refused(tmp_path: Path) -> None:
    """Rather than guessed at."""
    small_model().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"config_version": "7"}))

    with pytest.raises(CheckpointError, match=r"version '7'; this is '1'"):
        CtClip.from_pretrained(tmp_path)
