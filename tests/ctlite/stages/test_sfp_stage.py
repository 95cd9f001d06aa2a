"""SFP takes over the student's projection and is aligned with the reports."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ctlite.models import ct_clip, projection_init
from ctlite.models.approximated import load_approximated
from ctlite.models.config import ModelConfig
from ctlite.models.ct_clip import CtClip, StoredModel
from ctlite.models.projection import SFP
from ctlite.models.text_encoder import restore_text_tower
from ctlite.stages.sfp import SfpConfig
from ctlite.stages.stage import Setup
from ctlite.trainer import train
from ctprep.store.errors import CheckpointError, RecipeError
from ctprep.store.store import VolumeStore


@pytest.fixture
def student(toy_recipe, tmp_path: Path) -> Path:
    """A run with a barely trained model of gray levels."""
    recipe = toy_recipe("clip", "schedule.steps=2", "stage.input=jpeg")
    list(train(recipe, tmp_path / "student"))
    return tmp_path / "student"


def test_the_loss_falls_and_the_sfp_is_saved(student: Path, toy_recipe, tmp_path: Path) -> None:
    """The model reads back with its SFP and encodes to unit length."""
    recipe = toy_recipe(
        "sfp", f"init.from={student}", "stage.rank=1", "schedule.steps=30", "optimizer.lr=0.01"
    )
    reports = list(train(recipe, tmp_path / "sfp"))
    model = CtClip.from_pretrained(tmp_path / "sfp" / "model")
    latents = model.encode_image(torch.zeros(2, 1, 8, 16, 16))

    assert reports[-1].losses["siglip"] < 0.7 * reports[0].losses["siglip"]
    assert model.config.rank == 1
    torch.testing.assert_close(latents.norm(dim=-1), torch.ones(2))


@pytest.mark.filterwarnings("ignore:rank 4 saves no weights")
def test_a_full_rank_sfp_is_the_dense_projection(student: Path) -> None:
    """At rank min(m1, m2) the slices lose nothing, so the latents stay what they were."""
    video = torch.randn(2, 1, 8, 16, 16)
    stored = StoredModel.open(student / "model")
    before = stored.load().encode_image(video)
    after = load_approximated(stored, 4, "svd").encode_image(video)

    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)


def test_the_cores_alone_learn_faster(student: Path, toy_corpus: Path) -> None:
    """D / r = 16 times, by (19); t' and b neither learn faster nor decay."""
    jpeg = VolumeStore.open(toy_corpus / "q90.zarr").attributes
    setup = Setup(model=None, init=student, hifi=None, jpeg=jpeg)
    stage = SfpConfig(name="sfp", rank=1).build(setup)
    groups = {group["name"]: group for group in stage.parameter_groups(1e-3, 0.1)}
    plain = [id(parameter) for parameter in groups["base-undecayed"]["params"]]

    assert groups["to_visual_latent"]["lr"] == pytest.approx(16e-3)
    assert {id(p) for p in groups["to_visual_latent"]["params"]} == {
        id(p) for p in stage.model.to_visual_latent.parameters()
    }
    assert {id(stage.t_prime), id(stage.bias)} <= set(plain)


def test_a_frozen_text_encoder_is_asked_once_a_text(student: Path, toy_recipe, tmp_path) -> None:
    """Its latents are kept, and its weights stay out of the checkpoint."""
    recipe = toy_recipe("sfp", f"init.from={student}", "stage.rank=1", "schedule.steps=3")
    list(train(recipe, tmp_path / "sfp"))
    before = CtClip.from_pretrained(student / "model").text_transformer.state_dict()
    after = CtClip.from_pretrained(tmp_path / "sfp" / "model").text_transformer.state_dict()

    assert all(torch.equal(before[name], after[name]) for name in before)


def test_another_rank_of_an_sfp_is_refused(student: Path, tmp_path: Path) -> None:
    """A factorized projection is not factorized again."""
    model = load_approximated(StoredModel.open(student / "model"), 1, "random")
    model.save_pretrained(tmp_path / "sfp")
    stored = StoredModel.open(tmp_path / "sfp")

    again = load_approximated(stored, 1, "svd").state_dict()
    torch.testing.assert_close(again, model.state_dict(), rtol=0, atol=0)
    with pytest.raises(RecipeError, match=r"rank 1 already, not 2"):
        load_approximated(stored, 2, "svd")


def test_the_dense_projection_is_never_in_memory(
    student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Block by block it becomes what the layer in memory would, and each is told."""
    monkeypatch.setattr(projection_init, "NUMBERS_AT_ONCE", 16**2)
    stored = StoredModel.open(student / "model")
    expected = SFP.from_dense(stored.load().to_visual_latent.weight.detach(), 1)
    built: list[torch.device] = []
    build = ct_clip.build_projection

    def watch(config: ModelConfig, *, blank: bool) -> nn.Module:
        made = build(config, blank=blank)
        if config.rank is None:
            built.append(next(made.parameters()).device)
        return made

    monkeypatch.setattr(ct_clip, "build_projection", watch)
    told: list[tuple[int, int]] = []
    model = load_approximated(stored, 1, "svd", lambda done, of: told.append((done, of)))

    assert built == [torch.device("meta")]
    assert told == [(done, 4) for done in range(5)]
    for own, theirs in zip(model.to_visual_latent.cores, expected.cores, strict=True):
        assert torch.equal(own, theirs)
    assert model.config.rank == 1
    assert not model.training


def test_a_model_that_does_not_fit_its_configuration_is_told(student: Path, tmp_path: Path) -> None:
    """Before the projection is looked at, and by its folder."""
    path = student / "model" / "model.safetensors"
    weights = load_file(path)
    weights["to_visual_latent.weight"] = weights["to_visual_latent.weight"][:, :32].clone()
    save_file(weights, path)

    with pytest.raises(CheckpointError, match="another geometry") as caught:
        load_approximated(StoredModel.open(student / "model"), 1, "svd")
    assert caught.value.where == str(student / "model")
    assert "save the model again" in caught.value.mend


def test_a_projection_that_is_not_finite_is_told_by_its_model(student: Path) -> None:
    """Saving it again would not mend it."""
    path = student / "model" / "model.safetensors"
    weights = load_file(path)
    weights["to_visual_latent.weight"][0, 0] = torch.nan
    save_file(weights, path)

    with pytest.raises(CheckpointError, match="not finite in blocks 0 to 3") as caught:
        load_approximated(StoredModel.open(student / "model"), 1, "svd")
    assert caught.value.where == str(student / "model")
    assert "checkpoint before it" in caught.value.mend


def test_the_structure_aware_rule_gives_each_core_its_own_rate(
    student: Path, toy_corpus: Path
) -> None:
    """By hand for 64 inputs, 16 = 4 x 4 outputs, rank 1: 64 / (4 * 4) / 2 and 64 / 4 / 2."""
    jpeg = VolumeStore.open(toy_corpus / "q90.zarr").attributes
    setup = Setup(model=None, init=student, hifi=None, jpeg=jpeg)
    stage = SfpConfig(name="sfp", rank=1, lr_rule="structure-aware").build(setup)
    groups = {group["name"]: group for group in stage.parameter_groups(1e-3, 0.1)}
    projection = stage.model.to_visual_latent

    assert groups["left"]["lr"] == pytest.approx(2e-3)
    assert groups["right"]["lr"] == pytest.approx(8e-3)
    assert [id(p) for p in groups["left"]["params"]] == [id(projection.left)]
    assert [id(p) for p in groups["right"]["params"]] == [id(projection.right)]
    assert sum(len(group["params"]) for group in groups.values()) == sum(
        parameter.requires_grad for parameter in stage.parameters()
    )


def test_loading_draws_nothing_for_the_projection(
    student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CT-CLIP v1 has 1.07 B weights there, which come from the file: one layer less is drawn."""
    drawn: list[str] = []
    draw = torch.nn.Linear.reset_parameters

    def watch(layer: torch.nn.Linear) -> None:
        if not layer.weight.is_meta:
            drawn.append(str(layer))
        draw(layer)

    monkeypatch.setattr(torch.nn.Linear, "reset_parameters", watch)
    config = CtClip.from_pretrained(student / "model").config
    loading = len(drawn)
    CtClip(config, restore_text_tower(student / "model" / "text"))

    assert len(drawn) - loading == loading + 1
