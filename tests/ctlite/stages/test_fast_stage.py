"""FAST draws the student to the teacher, with weights that are measured once."""

import json
from pathlib import Path

import pytest
import torch

from ctlite.assembly import assemble
from ctlite.data.volumes import to_video
from ctlite.models.ct_clip import CtClip
from ctlite.trainer import train
from ctprep.store.errors import RecipeError


@pytest.fixture
def teacher(toy_recipe, tmp_path: Path) -> Path:
    """A run with a barely trained teacher."""
    list(train(toy_recipe("clip", "schedule.steps=2"), tmp_path / "teacher"))
    return tmp_path / "teacher"


def test_terms_begin_at_one_one_four_and_fall(teacher: Path, toy_recipe, tmp_path: Path) -> None:
    """The weighted terms stand at the paper's ratio at first, and the total falls."""
    recipe = toy_recipe("fast", f"init.from={teacher}", "schedule.steps=30", "optimizer.lr=0.005")
    reports = list(train(recipe, tmp_path / "fast"))
    begin, end = reports[0].losses, reports[-1].losses

    assert begin.keys() == {"style", "dual", "final", "total"}
    assert begin["style"] / begin["final"] == pytest.approx(0.25, rel=0.3)
    assert begin["dual"] / begin["final"] == pytest.approx(0.25, rel=0.3)
    assert end["total"] < 0.7 * begin["total"]


def test_the_result_is_the_teacher_but_for_the_encoder(
    teacher: Path, toy_recipe, tmp_path: Path
) -> None:
    """Text encoder, projections and codebook are copies (F10); the encoder takes gray levels."""
    list(train(toy_recipe("fast", f"init.from={teacher}"), tmp_path / "fast"))
    before = CtClip.from_pretrained(teacher / "model")
    after = CtClip.from_pretrained(tmp_path / "fast" / "model")
    own = after.state_dict()
    same = {name for name, value in before.state_dict().items() if torch.equal(value, own[name])}

    assert after.config.preprocessing.kind == "jpeg"
    assert "visual_transformer.vq._codebook.embed" in same
    assert {name for name in own if not name.startswith("visual_transformer.")} <= same
    assert "visual_transformer.to_patch_emb.2.weight" not in same


def test_a_switched_off_term_is_gone(teacher: Path, toy_recipe, tmp_path: Path) -> None:
    """The ablations of the paper: a term that is off is not in the losses."""
    recipe = toy_recipe("fast", f"init.from={teacher}", "stage.style=false", "stage.features=true")
    report = next(train(recipe, tmp_path / "fast"))

    assert report.losses.keys() == {"dual", "features", "final", "total"}
    assert report.losses["total"] == pytest.approx(
        sum(report.losses[term] for term in ("dual", "features", "final"))
    )


def test_explicit_weights_scale_the_terms(teacher: Path, toy_recipe, tmp_path: Path) -> None:
    """Twice the weight is twice the term."""
    values = []
    for weight in (1.0, 2.0):
        weights = f"stage.weights={{style={weight}, dual=1, final=1}}"
        recipe = toy_recipe("fast", f"init.from={teacher}", weights)
        values.append(next(train(recipe, tmp_path / str(weight))).losses)

    assert values[1]["style"] == pytest.approx(2 * values[0]["style"])
    assert values[1]["dual"] == pytest.approx(values[0]["dual"])


def test_the_weights_survive_a_pause(teacher: Path, toy_recipe, tmp_path: Path) -> None:
    """They are in the checkpoint, which leaves the frozen teacher out, and are left alone."""
    recipe = toy_recipe("fast", f"init.from={teacher}", "schedule.checkpoint_steps=1")
    whole = [report.losses for report in train(recipe, tmp_path / "whole")]
    reports = train(recipe, tmp_path / "paused")
    next(reports)
    reports.close()
    rest = [report.losses for report in train(recipe, tmp_path / "paused")]
    header = (tmp_path / "whole/checkpoints/step-00000004/stage.safetensors").read_bytes()
    names = json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])

    assert rest == whole[1:]
    assert "weights" in names
    assert not [name for name in names if name.startswith("teacher.")]


def test_a_student_may_begin_as_the_teacher(teacher: Path, toy_recipe, tmp_path: Path) -> None:
    """Then it is closer from the first step, under equal weights."""
    first = {}
    for start in ("random", "teacher"):
        recipe = toy_recipe(
            "fast",
            f"init.from={teacher}",
            f"stage.student_init={start}",
            "stage.weights={style=1, dual=1, final=1}",
        )
        first[start] = next(train(recipe, tmp_path / f"from-{start}")).losses["total"]

    assert first["teacher"] < 0.5 * first["random"]


def test_no_terms_is_refused(teacher: Path, toy_recipe, tmp_path: Path) -> None:
    """There would be nothing to learn from."""
    off = ["stage.style=false", "stage.dual=false", "stage.final=false"]

    with pytest.raises(RecipeError, match=r"all terms of FAST are off"):
        next(train(toy_recipe("fast", f"init.from={teacher}", *off), tmp_path / "fast"))


@pytest.mark.parametrize("terms", [["final"], ["style", "dual"], ["features", "final"]])
def test_the_end_error_is_measured_alike_for_all_terms(
    teacher: Path, toy_recipe, terms: list[str]
) -> None:
    """Mean square between final tokens before the codebook, unweighted, worked out anew."""
    switches = [
        f"stage.{term}={str(term in terms).lower()}"
        for term in ("style", "dual", "features", "final")
    ]
    options = ["stage.weights={style=3, dual=5, features=7, final=11}"]
    after = "stage.final_after_codebook=true"
    recipe = toy_recipe("fast", f"init.from={teacher}", after, *options, *switches)
    parts = assemble(recipe)
    stage = parts.stage.eval()
    batch = next(iter(parts.loader.epoch(0)))
    with torch.no_grad():
        found = stage.measure(batch)
        losses = stage(batch)
        clean = to_video(
            torch.as_tensor(batch.hu),
            hu_range=(-1000.0, 1000.0),
            stored_orientation="SPL",
            model_orientation="SLP",
        )
        gray = to_video(
            torch.as_tensor(batch.gray),
            hu_range=None,
            stored_orientation="SPL",
            model_orientation="SLP",
        )
        theirs = stage.teacher.encode(clean).tokens_pre_codebook
        own = stage.model.visual_transformer.encode(gray).tokens_pre_codebook

    torch.testing.assert_close(found["end"], (own - theirs).square().mean())
    torch.testing.assert_close(found["loss"], torch.stack(list(losses.values())).sum())
    assert losses.keys() == set(terms)


def test_the_end_error_is_told_of_tuning_scans(teacher: Path, toy_recipe, tmp_path: Path) -> None:
    """At the steps that ask for it, beside the tuning loss; with final tokens alone, both agree."""
    recipe = toy_recipe(
        "fast",
        f"init.from={teacher}",
        "schedule.tune_steps=2",
        "data.batch_size=1",
        "stage.style=false",
        "stage.dual=false",
    )
    reports = list(train(recipe, tmp_path / "fast"))
    lines = [
        json.loads(line) for line in (tmp_path / "fast/metrics.jsonl").read_text().splitlines()
    ]

    assert [report.tune is not None for report in reports] == [False, True, False, True]
    assert "tune/end" not in lines[0]
    assert lines[1]["tune/end"] == pytest.approx(lines[1]["tune/loss"])
    assert lines[3]["tune/end"] == reports[3].metrics()["tune/end"]
