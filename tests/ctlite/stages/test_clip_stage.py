"""Contrastive training makes a model that tells its scans apart."""

from pathlib import Path

import pytest
import torch

from ctlite.assembly import assemble
from ctlite.data.batch import Batch
from ctlite.models.ct_clip import CtClip
from ctlite.trainer import train
from ctprep.store.errors import RecipeError


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


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("init.from=somewhere", "stage.spread_batches=1"), "are for a new model"),
        (("stage.text_warmup_steps=1", "model.text.encoder=a/b"), "pretrained text encoder"),
    ],
)
def test_a_start_that_would_do_harm_is_refused(
    toy_recipe, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    """Options for a new model beside a trained one, and lessons for an encoder that can read."""
    recipe = toy_recipe("clip", *(o.replace("somewhere", str(tmp_path)) for o in options))

    with pytest.raises(RecipeError, match=said):
        list(train(recipe, tmp_path / "run"))


@pytest.mark.parametrize("name", ["clip", "sfp"])
def test_every_sentence_counts_and_equal_ones_do_not(toy_recipe, tmp_path: Path, name: str) -> None:
    """By hand, two texts of three scans: the mean over texts, without pairs of equal text."""
    teacher = tmp_path / "teacher"
    list(train(toy_recipe("clip", "schedule.steps=1"), teacher))
    start = [f"init.from={teacher}"]
    start += ["stage={name='clip', input='jpeg'}"] if name == "clip" else ["stage.rank=1"]
    stage = assemble(toy_recipe("sfp", *start)).stage.eval()
    model = stage.model
    ids = torch.tensor([[2, 9, 3], [2, 9, 3], [2, 8, 3], [2, 7, 3], [2, 6, 3], [2, 5, 3]])
    gray = torch.randint(256, (3, 8, 16, 16), dtype=torch.uint8)
    batch = Batch(("a", "b", "c"), gray=gray, token_ids=ids, attention_mask=torch.ones_like(ids))
    with torch.no_grad():
        got = stage(batch)
        image = model.encode_image(stage._reader(batch))
        text = model.encode_text(ids, torch.ones_like(ids))
        losses = []
        for view, pairs in ((text[:3], {(0, 1), (1, 0)}), (text[3:], set())):
            kept = torch.tensor([[(i, j) not in pairs for j in range(3)] for i in range(3)])
            if name == "clip":
                scores = (model.temperature.exp() * image @ view.T).masked_fill(~kept, -1e9)
                ways = (scores.log_softmax(0).diag(), scores.log_softmax(1).diag())
                losses.append(-torch.stack(ways).mean())
            else:
                scores = stage.t_prime.exp() * view @ image.T + stage.bias
                signed = (2 * torch.eye(3) - 1) * scores
                losses.append(-signed.sigmoid().log()[kept].sum() / 3)

    torch.testing.assert_close(sum(got.values()), torch.stack(losses).mean())
