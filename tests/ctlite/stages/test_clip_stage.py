"""Contrastive training makes a model that tells its scans apart."""

from pathlib import Path

import pytest
import torch

from ctlite.models.ct_clip import CtClip
from ctlite.trainer import train


def test_the_loss_falls_and_the_model_is_saved(toy_recipe, tmp_path: Path) -> None:
    """Seven scans are learned by heart, and the saved model knows what volumes it takes."""
    recipe = toy_recipe("clip", "schedule.steps=40", "optimizer.lr=0.01")
    reports = list(train(recipe, tmp_path / "run"))
    model = CtClip.from_pretrained(tmp_path / "run" / "model")

    first = sum(report.losses["clip"] for report in reports[:4])
    last = sum(report.losses["clip"] for report in reports[-4:])
    assert last < 0.8 * first
    assert model.config.preprocessing.kind == "hifi"
    assert model.config.preprocessing.hu_range == (-1000, 1000)
    assert model.tokenizer("There is emphysema.")["input_ids"][0] == 2


def test_jpeg_fine_tuning_starts_from_the_teacher(toy_recipe, tmp_path: Path) -> None:
    """The baseline takes the teacher's weights, and its model takes gray levels."""
    list(train(toy_recipe("clip", "schedule.steps=2"), tmp_path / "teacher"))
    recipe = toy_recipe(
        "sfp",
        "stage={name='clip', input='jpeg'}",
        f"init.from={tmp_path / 'teacher'}",
        "schedule.steps=1",
        "optimizer.lr=1e-12",
    )
    list(train(recipe, tmp_path / "tuned"))
    teacher = CtClip.from_pretrained(tmp_path / "teacher" / "model")
    tuned = CtClip.from_pretrained(tmp_path / "tuned" / "model")

    assert tuned.config.preprocessing.kind == "jpeg"
    assert tuned.config.preprocessing.window is not None
    torch.testing.assert_close(tuned.to_visual_latent.weight, teacher.to_visual_latent.weight)


def test_the_codebook_begins_with_tokens_and_follows_them(toy_recipe, tmp_path: Path) -> None:
    """Seeded rows are unit tokens, and training moves them."""
    books = []
    for steps in (1, 6):
        run = tmp_path / str(steps)
        list(train(toy_recipe("clip", f"schedule.steps={steps}"), run))
        model = CtClip.from_pretrained(run / "model")
        books.append(model.visual_transformer.state_dict()["vq._codebook.embed"])

    assert books[0].norm(dim=-1).max() < 1.001
    assert (books[0] - books[1]).abs().max() > 1e-3


@pytest.mark.parametrize("is_frozen", [True, False])
def test_a_frozen_text_encoder_stays(toy_recipe, tmp_path: Path, is_frozen: bool) -> None:
    """Its weights move only when they may."""
    states = []
    for steps in (1, 4):
        run = tmp_path / str(steps)
        frozen = str(is_frozen).lower()
        list(
            train(toy_recipe("clip", f"schedule.steps={steps}", f"stage.freeze_text={frozen}"), run)
        )
        states.append(CtClip.from_pretrained(run / "model").text_transformer.state_dict())
    same = all(torch.equal(states[0][name], states[1][name]) for name in states[0])

    assert same is is_frozen


def test_a_new_model_starts_from_the_data(toy_recipe, tmp_path: Path) -> None:
    """Text lessons and spread projections change the start, and keep a frozen encoder frozen."""
    texts, heads = [], []
    for name, options in (
        ("plain", ()),
        ("taught", ("stage.text_warmup_steps=2", "stage.spread_batches=1")),
        ("longer", ("stage.text_warmup_steps=2", "stage.spread_batches=1", "schedule.steps=3")),
    ):
        recipe = toy_recipe("clip", "schedule.steps=1", "stage.freeze_text=true", *options)
        list(train(recipe, tmp_path / name))
        model = CtClip.from_pretrained(tmp_path / name / "model")
        texts.append(next(iter(model.text_transformer.parameters())))
        heads.append(model.to_visual_latent.weight)

    assert not torch.equal(texts[0], texts[1])
    assert torch.equal(texts[1], texts[2])
    assert (heads[0] - heads[1]).abs().max() > 0.05


@pytest.mark.parametrize("stage", ["clip", "sfp"])
def test_every_sentence_of_a_scan_counts(toy_recipe, tmp_path: Path, stage: str) -> None:
    """With two texts a scan the first loss is another than with one."""
    list(train(toy_recipe("clip", "schedule.steps=1"), tmp_path / "teacher"))
    start = () if stage == "clip" else (f"init.from={tmp_path / 'teacher'}", "stage.rank=1")
    losses = []
    for count in (1, 2):
        recipe = toy_recipe(
            stage, "data.text=sentences", f"data.texts_per_scan={count}", *start, "schedule.steps=1"
        )
        losses += [step.losses["total"] for step in train(recipe, tmp_path / f"{stage}{count}")]

    assert losses[0] != losses[1]
