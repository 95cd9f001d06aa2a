"""How an experiment is shown: its plan, its progress, its table."""

import json
from pathlib import Path

import typer
from rich.progress import Progress, TaskID

from cli.experiment_stores import make_missing, missing_stores
from cli.progress import progress_bar
from ctlite.experiments.plan import Plan
from ctlite.experiments.run import Done, Outcome, carry_out, finish
from ctlite.run_folder import RunFolder


def show_plan(plan: Plan, *, as_json: bool) -> None:
    """Print the runs of an experiment with their sizes, and which stores are missing.

    Args:
        plan: of the experiment.
        as_json: one JSON object instead.
    """
    runs = [
        {
            "run": run.name,
            "seed": run.seed,
            "stage": run.recipe.stage.name,
            "steps": run.recipe.schedule.steps,
            "batch_size": run.recipe.data.batch_size,
            "begins_from": None if run.recipe.init is None else str(run.recipe.init.source),
            "folder": str(run.folder),
            "is_done": RunFolder(run.folder).model.is_dir(),
        }
        for run in plan.runs
    ]
    missing = missing_stores(plan.corpus, plan.stores)
    if as_json:
        plain = {"experiment": plan.experiment.name, "scale": plan.scale}
        typer.echo(json.dumps({**plain, "runs": runs, "missing_stores": missing}))
        return
    for run in runs:
        begin = f", from {run['begins_from']}" if run["begins_from"] else ""
        done = "done" if run["is_done"] else "to do"
        typer.echo(
            f"{run['folder']}: {run['stage']}, {run['steps']} steps of {run['batch_size']} "
            f"scans{begin} ({done})"
        )
    for name in missing:
        typer.echo(f"{plan.corpus.path(name)}: to be made")
    todo = [planned for run, planned in zip(runs, plan.runs, strict=True) if not run["is_done"]]
    steps = sum(run.recipe.schedule.steps for run in todo)
    typer.echo(
        f"{plan.experiment.name}: {len(plan.runs)} runs, {len(todo)} to do with {steps:,} steps; "
        f"{len(plan.points)} points"
    )


def show_experiment(plan: Plan, folder: Path, *, device: str, as_json: bool) -> None:
    """Make what is missing, train, score, and print the table.

    Args:
        plan: of the experiment.
        folder: of its results.
        device: where models are scored.
        as_json: a JSON line a point instead of the table.
    """
    for made in make_missing(plan.corpus, plan.stores):
        typer.echo(f"made {made}", err=True)
    with progress_bar() as progress:
        task = progress.add_task(plan.experiment.name, total=None)
        for done in carry_out(plan, device=device):
            _tell(progress, task, done)
    outcome = finish(plan, folder)
    if as_json:
        _print_rows(outcome)
        return
    typer.echo(outcome.table)
    typer.echo(f"written to {folder}")
    if outcome.picture is None:
        typer.echo("no picture: pip install 'ct-lite[plot]'", err=True)


def _tell(progress: Progress, task: TaskID, done: Done) -> None:
    place = f"{done.number}/{done.count} {done.name}"
    if done.report is not None:
        report = done.report
        progress.update(task, description=place, completed=report.step, total=report.steps)
    elif progress.disable:
        typer.echo(f"{done.what} {place}", err=True)
    else:
        progress.update(task, description=f"{done.what} {place}")


def _print_rows(outcome: Outcome) -> None:
    for row in outcome.rows:
        typer.echo(json.dumps({"arm": row.point.arm.name, "seed": row.point.seed, **row.numbers}))
