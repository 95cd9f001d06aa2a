"""Does a plan: trains what is not trained, scores what is not scored."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ctlite.evaluate.evaluate import evaluate_run
from ctlite.evaluate.scores import Scores
from ctlite.experiments.gather import Row, gather
from ctlite.experiments.plan import Plan, PlannedRun, Point
from ctlite.experiments.plot import can_plot, draw
from ctlite.experiments.summary import ArmSummary, summarize_arms, write_results
from ctlite.experiments.table import to_markdown
from ctlite.run_folder import RunFolder
from ctlite.step_report import StepReport
from ctlite.trainer import choose_device, train
from ctprep.store.errors import TableError


@dataclass(frozen=True)
class Done:
    """Something that an experiment has come through."""

    what: Literal["step", "trained", "scored"]
    name: str
    number: int
    """Of the run or point, from 1."""
    count: int
    """Of all runs, or of all points."""
    report: StepReport | None = None
    """Of a step."""


@dataclass(frozen=True)
class Outcome:
    """What came out, and where it was written."""

    rows: list[Row]
    summaries: list[ArmSummary]
    table: str
    picture: Path | None
    """None where matplotlib is not installed."""


def carry_out(plan: Plan, *, device: str = "auto") -> Iterator[Done]:
    """Train and score everything that is not there yet.

    Args:
        plan: whose stores and tables are there.
        device: where models are scored; training goes by its recipes.

    Yields:
        A report a step, a run and a score.

    Raises:
        RecipeError: a run folder holds a run of another recipe.
        CtError: training or scoring failed.
    """
    for number, run in enumerate(plan.runs, start=1):
        name = f"{run.name}, seed {run.seed}"
        for report in _train(run):
            yield Done("step", name, number, len(plan.runs), report)
        yield Done("trained", name, number, len(plan.runs))
    if plan.experiment.measure == "curve":
        return
    for number, point in enumerate(plan.points, start=1):
        _score(point, plan, device)
        name = point.arm.name if point.seed is None else f"{point.arm.name}, seed {point.seed}"
        yield Done("scored", name, number, len(plan.points))


def finish(plan: Plan, folder: Path) -> Outcome:
    """Gather, average and write `results.csv`, `results.json`, a table and a picture.

    Args:
        plan: carried out.
        folder: made where missing.

    Returns:
        What was written.
    """
    rows = gather(plan)
    summaries = summarize_arms(plan, rows)
    write_results(folder, plan, rows, summaries)
    table = to_markdown(plan, summaries)
    name = plan.experiment.name
    (folder / f"{name}.md").write_text(table, encoding="utf-8")
    picture = None
    if can_plot():
        picture = folder / f"{name}.png"
        picture.write_bytes(draw(plan, rows, summaries))
    return Outcome(rows, summaries, table, picture)


def _train(run: PlannedRun) -> Iterator[StepReport]:
    if RunFolder(run.folder).model.is_dir():
        # Refuses a model that another recipe has made.
        RunFolder.begin(run.folder, run.recipe)
        return
    yield from train(run.recipe, run.folder)


def _score(point: Point, plan: Plan, device: str) -> None:
    if _is_scored(point):
        return
    evaluate_run(
        point.model,
        labels=plan.corpus.labels,
        scans=plan.corpus.scans,
        store=point.store,
        batch_size=plan.corpus.batch_size,
        device=choose_device(device),
        out=point.scores,
    )


def _is_scored(point: Point) -> bool:
    try:
        Scores.read(point.scores / "metrics.json")
    except TableError:
        return False
    return True
