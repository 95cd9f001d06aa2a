"""How training is shown: the plan before it, a bar with the losses during it."""

import json
from pathlib import Path

import typer
from rich.progress import Progress, TaskID

from cli.progress import progress_bar
from ctlite import ranks
from ctlite.assembly import assemble, estimate_step
from ctlite.models.approximated import OnBlock
from ctlite.recipe import Recipe, to_toml
from ctlite.step_report import StepReport
from ctlite.trainer import train

LINES_A_RUN = 10
"""Where there is no terminal for a bar, so many lines tell the losses."""


def show_plan(recipe: Recipe, *, as_json: bool) -> None:
    """Print the resolved recipe, the parameter groups and the memory that a step will need.

    Args:
        recipe: resolved; its files are opened and checked. A dense projection that an SFP is to
            replace is looked at for its shape alone.
        as_json: one JSON object instead of text.
    """
    if ranks.local_rank():
        # One process of each machine looks at its files.
        return
    unfound: list[int] = []
    parts = assemble(recipe, lambda _, of: unfound.append(of), is_plan=True)
    groups = parts.stage.parameter_groups(recipe.optimizer.lr, recipe.optimizer.weight_decay)
    estimate = estimate_step(parts.stage, recipe)
    if ranks.rank():
        # Every process under torchrun has the same plan; the first one tells it.
        return
    rows = [
        {
            "name": group["name"],
            "parameters": sum(parameter.numel() for parameter in group["params"]),
            "lr": group["lr"],
            "weight_decay": group["weight_decay"],
        }
        for group in groups
    ]
    if as_json:
        plan = {"groups": rows, "memory_bytes": estimate.total, "blocks_to_find": sum(unfound)}
        typer.echo(json.dumps({"recipe": recipe.model_dump(mode="json"), **plan}))
        return
    typer.echo(to_toml(recipe))
    for row in rows:
        typer.echo(
            f"group {row['name']}, {row['parameters']:,} parameters: lr {row['lr']:g}, "
            f"weight decay {row['weight_decay']:g}"
        )
    if unfound:
        typer.echo(f"projection: training first finds its SFP, of {sum(unfound):,} blocks")
    typer.echo(f"memory: {estimate}")


def show_training(recipe: Recipe, run: Path, *, as_json: bool) -> None:
    """Train, with a bar on a terminal and a few lines elsewhere.

    Args:
        recipe: resolved.
        run: its folder.
        as_json: every step's metrics as a JSON line on standard output.
    """
    if ranks.rank():
        # Every process under torchrun sees the same numbers; the first one tells them.
        for _ in train(recipe, run):
            pass
        return
    last: StepReport | None = None
    with progress_bar() as progress:
        task = progress.add_task(run.name, total=recipe.schedule.steps)
        for report in train(recipe, run, _block_bar(progress)):
            last = report
            _advance(progress, task, report)
            if as_json:
                typer.echo(json.dumps(report.metrics()))
            elif progress.disable and report.step % max(1, report.steps // LINES_A_RUN) == 0:
                typer.echo(f"step {report.step}/{report.steps}: {_losses(report)}", err=True)
    if as_json:
        return
    if last is None:
        typer.echo(f"{run}: finished before; nothing to do")
    else:
        typer.echo(f"{run}: {last.step} steps done, {_losses(last)}")


def _block_bar(progress: Progress) -> OnBlock:
    # A bar of its own, there as long as it takes: the steps that follow have another rate.
    task = progress.add_task("factorize (blocks)", total=None, visible=False)

    def show(done: int, of: int) -> None:
        progress.update(task, completed=done, total=of, visible=done < of)
        if progress.disable and not done:
            typer.echo(f"finding the SFP nearest to a dense projection of {of:,} blocks", err=True)

    return show


def _advance(progress: Progress, task: TaskID, report: StepReport) -> None:
    progress.update(task, completed=report.step, description=_losses(report))


def _losses(report: StepReport) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in report.losses.items())
