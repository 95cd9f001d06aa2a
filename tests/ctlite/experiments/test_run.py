"""A whole tiny experiment: cut short, gone on with, gathered and told."""

import csv
import json
from pathlib import Path

import pytest

from ctlite.experiments.gather import read_curve
from ctlite.experiments.plan import PlannedRun
from ctlite.experiments.run import carry_out, finish
from ctlite.experiments.statistics import log_area
from ctlite.recipe import check_recipe
from ctprep.store.errors import RecipeError
from ctprep.store.store import VolumeStore

pytestmark = pytest.mark.slow


def test_an_interrupted_experiment_goes_on(tiny_plan, tmp_path: Path) -> None:
    """Finished runs are left alone, the broken one goes on, and the results are those of all."""
    plan = tiny_plan("curve")
    work = carry_out(plan)
    for done in work:
        if (done.what, done.number) == ("step", 3):
            break
    work.close()
    before = (plan.runs[1].folder / "metrics.jsonl").read_bytes()
    seen = [(done.what, done.number) for done in carry_out(plan)]
    outcome = finish(plan, tmp_path / "results")

    assert seen.count(("step", 2)) == 0
    assert seen.count(("step", 3)) == 1
    assert seen.count(("step", 4)) == 2
    assert (plan.runs[1].folder / "metrics.jsonl").read_bytes() == before
    assert list(carry_out(plan))[-1].what == "trained"
    with (tmp_path / "results" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["arm"], row["seed"]) for row in rows] == [
        *(("final", "0"), ("final", "1"), ("full", "0"), ("full", "1"))
    ]
    for row, run in zip(rows, plan.runs[1:], strict=True):
        curve = read_curve(run.folder)
        assert curve.steps == (1, 2)
        assert float(row["final_end"]) == curve.values[-1]
        assert float(row["log_area"]) == log_area(curve.steps, curve.values)
    # The arm that sets the level reaches it where it ends.
    assert float(rows[0]["steps_to_level"]) <= 2
    final, full = outcome.summaries
    ends = [float(row["final_end"]) for row in rows]
    assert final.differences["final_end"].value == pytest.approx(
        (ends[0] - ends[2] + ends[1] - ends[3]) / 2
    )
    assert full.differences == {}
    assert outcome.table.splitlines()[-1].startswith("Means over 2 seeds with 95 % t-intervals")
    assert outcome.picture is not None
    assert outcome.picture.read_bytes().startswith(b"\x89PNG")


def test_scores_of_a_tiny_experiment(tiny_plan, tmp_path: Path) -> None:
    """A row a seed, one for the teacher; scored once, into a folder of their own."""
    plan = tiny_plan("scores")
    for name in ("hifi", "q90"):
        VolumeStore.open(plan.corpus.path(name)).write_catalog()
    done = [each.name for each in carry_out(plan) if each.what == "scored"]
    outcome = finish(plan, tmp_path / "results")
    document = json.loads((tmp_path / "results" / "results.json").read_text())
    written = [point.scores / "metrics.json" for point in plan.points]
    times = [path.stat().st_mtime_ns for path in written]
    list(carry_out(plan))

    assert done == ["teacher", "final, seed 0", "final, seed 1", "full, seed 0", "full, seed 1"]
    assert [path.stat().st_mtime_ns for path in written] == times
    assert not (plan.points[0].model / "eval").exists()
    teacher, final = document["arms"][0], document["arms"][1]
    assert teacher["means"]["auroc"]["count"] == 1
    assert final["means"]["head_share"]["value"] == 1
    scores = [point["auroc"] for point in document["points"]]
    assert final["differences"]["auroc"]["value"] == pytest.approx(
        (scores[1] + scores[2]) / 2 - scores[0]
    )
    assert "| clean |" in outcome.table
    assert (tmp_path / "results" / "tiny.md").read_text() == outcome.table


def test_a_changed_recipe_is_refused(tiny_plan) -> None:
    """Also for a run that has ended, whose model would be another one."""
    plan = tiny_plan("curve")
    work = carry_out(plan)
    while next(work).what != "trained":
        pass
    work.close()
    run = plan.runs[0]
    values = run.recipe.model_dump(mode="json", by_alias=True, exclude_none=True)
    changed = check_recipe(values | {"seed": 9})
    runs = (PlannedRun(run.name, run.seed, changed, run.folder), *plan.runs[1:])

    with pytest.raises(RecipeError, match=r"seed: 9, not 0"):
        next(carry_out(type(plan)(**{**vars(plan), "runs": runs})))
