"""An experiment becomes runs that can be done one after the other, all from one teacher."""

from pathlib import Path
from typing import Any

import pytest

from ctlite.experiments.corpus import find_corpus, jpeg_quality
from ctlite.experiments.definition import (
    Scale,
    check_experiment,
    experiment_names,
    load_experiment,
)
from ctlite.experiments.plan import Plan, plan_experiment
from ctprep.store.errors import RecipeError

OUT = Path("out")


def make_plan(name: str, *overrides: str, scale: Scale = "phantom", seeds: int = 2) -> Plan:
    """Plan a shipped experiment."""
    corpus = find_corpus(scale, OUT, overrides)
    return plan_experiment(
        load_experiment(name), scale, corpus, OUT, seeds=seeds, overrides=overrides
    )


@pytest.mark.parametrize("name", experiment_names())
@pytest.mark.parametrize("scale", ["phantom", "paper"])
def test_every_run_follows_the_one_it_begins_from(name: str, scale: Scale) -> None:
    """At both scales, up to a teacher that all share."""
    plan = make_plan(name, scale=scale)
    done = {OUT / "runs/teacher/seed-0"} if scale == "phantom" else {Path("models/ct-clip-v1")}
    for run in plan.runs:
        if run.recipe.init is not None:
            assert run.recipe.init.source in done, run.folder
        done.add(run.folder)

    assert {point.model for point in plan.points} <= done
    assert len({run.folder for run in plan.runs}) == len(plan.runs)


def test_a_name_means_one_run_in_all_experiments() -> None:
    """Folders are shared, so that a student is trained once for all of them."""
    found: dict[Path, Any] = {}
    for name in experiment_names():
        for run in make_plan(name).runs:
            assert found.setdefault(run.folder, run.recipe) == run.recipe

    assert (OUT / "runs/fast/seed-1") in found


def test_arms_of_the_loss_ablation() -> None:
    """The paper's five, which differ in their terms alone and begin at random."""
    plan = make_plan("loss-ablation", seeds=1)
    terms = {}
    for run in plan.runs[1:]:
        stage = run.recipe.stage
        assert stage.name == "fast"
        assert stage.student_init == "random"
        assert run.recipe.schedule.tune_steps
        terms[run.name] = (stage.final, stage.features, stage.style, stage.dual)

    assert terms == {
        "ablation-final": (True, False, False, False),
        "ablation-features": (True, True, False, False),
        "ablation-no-style": (True, False, False, True),
        "ablation-no-dual": (True, False, True, False),
        "ablation-fast": (True, False, True, True),
    }


def test_seeds_go_down_the_chain() -> None:
    """An SFP of seed 1 begins from the student of seed 1, and the teacher has one seed."""
    plan = make_plan("rank-sweep")
    (sfp,) = [run for run in plan.runs if (run.name, run.seed) == ("sfp-rank-4", 1)]

    assert sfp.recipe.seed == 1
    assert sfp.recipe.init is not None
    assert sfp.recipe.init.source == OUT / "runs/fast/seed-1"
    assert [run.name for run in plan.runs].count("teacher") == 1
    assert len(plan.points) == 5 * 2


def test_the_ranks_save_weights() -> None:
    """The head of the synthetic teacher sees all tokens, and is wide enough for ranks to 9."""
    teacher = make_plan("rank-sweep").runs[0].recipe.model
    assert teacher is not None
    assert (teacher.pooling, teacher.latent_dim) == ("none", 384)
    assert 6 * 5 * 5 * teacher.dim % teacher.latent_dim == 0


def test_the_baseline_has_as_many_steps_as_ct_lite() -> None:
    """Full reports for the one, positive text for the other."""
    for scale in ("phantom", "paper"):
        runs = {run.name: run.recipe for run in make_plan("comparison", scale=scale).runs}
        both = runs["fast"].schedule.steps + runs["sfp-positive"].schedule.steps

        assert runs["finetune-full"].schedule.steps == both
        assert runs["finetune-full"].data.text == "full"
        assert runs["sfp-positive"].data.text == "positive"


def test_arms_of_single_sentences_are_for_the_synthetic_teacher() -> None:
    """Real ones read reports."""
    arms = {
        scale: {point.arm.name for point in make_plan("comparison", scale=scale).points}
        for scale in ("phantom", "paper")
    }

    assert arms["phantom"] - arms["paper"] == {"finetune-sentences", "ct-lite-sentences"}
    assert {run.name for run in make_plan("comparison", scale="paper").runs} == {
        *("finetune-full", "fast", "sfp-positive")
    }


def test_each_quality_is_trained_and_scored_on_its_store() -> None:
    """A student of quality 30 has seen no other."""
    plan = make_plan("quality-sweep", seeds=1)
    runs = {run.name: run.recipe for run in plan.runs}
    point = next(point for point in plan.points if point.arm.name == "ct-lite-q30")

    assert runs["fast-q30"].data.jpeg_store == "out/phantom/q30.zarr"
    assert runs["sfp-q30"].data.jpeg_store == point.store == "out/phantom/q30.zarr"
    assert plan.stores == ("hifi", "q30", "q50", "q70", "q80", "q90", "q95")


def test_overrides_may_be_for_a_role_or_the_corpus() -> None:
    """What the command line says comes last."""
    plan = make_plan(
        "rank-sweep", "optimizer.lr=0.5", "sfp:schedule.steps=7", "corpus.labels=my/labels.csv"
    )
    steps = {run.recipe.stage.name: run.recipe.schedule.steps for run in plan.runs}

    assert {run.recipe.optimizer.lr for run in plan.runs} == {0.5}
    assert steps["sfp"] == 7
    assert steps["fast"] != 7
    assert plan.corpus.labels == Path("my/labels.csv")


@pytest.mark.parametrize("override", ["corpus.label=x", "corpus.labels", "corpus.patients=many"])
def test_an_override_of_nothing_in_the_corpus_is_refused(override: str) -> None:
    """Its keys are named."""
    with pytest.raises(RecipeError):
        find_corpus("phantom", OUT, [override])


def test_what_is_not_there_is_told() -> None:
    """Experiment, store, run and arm."""
    with pytest.raises(RecipeError, match=r"there is no experiment 'rank'"):
        load_experiment("rank")
    with pytest.raises(RecipeError, match=r"'q101' is no JPEG store"):
        jpeg_quality("q101")
    assert jpeg_quality("native-q90") == (90, True)
    values = load_experiment("rank-sweep").model_dump() | {"reference": "densest"}
    with pytest.raises(RecipeError, match=r"there is no arm densest"):
        check_experiment(values)


def test_runs_that_wait_for_each_other_are_refused() -> None:
    """Instead of a plan without an end."""
    values = load_experiment("encode-order").model_dump()
    values["runs"]["fast"]["after"] = "sfp-rank-6"
    with pytest.raises(RecipeError, match=r"wait for each other"):
        plan_experiment(
            check_experiment(values), "phantom", find_corpus("phantom", OUT, []), OUT, seeds=1
        )
