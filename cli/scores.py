"""How scores are shown: a table a run, and one table over several."""

from collections.abc import Sequence

import typer
from rich.console import Console
from rich.table import Table

from ctlite.evaluate.comparison import ComparisonRow
from ctlite.evaluate.scores import Interval, Scores

WIDTH = 120
"""Of a table that goes to a file or a pipe."""


def show_scores(scores: Scores, *, as_json: bool) -> None:
    """Print the scores of one run, a row a label.

    Args:
        scores: of an evaluation.
        as_json: the whole of `metrics.json` instead.
    """
    if as_json:
        typer.echo(scores.model_dump_json())
        return
    for level, means in scores.levels.items():
        table = Table(title=f"{scores.run} on {scores.store}, per {level}", title_justify="left")
        table.add_column("abnormality")
        for name in ("AUROC", "weighted F1", "accuracy", "positive", "negative"):
            table.add_column(name, justify="right")
        for label, row in means.labels.items():
            values = [_tell(metric) for metric in (row.auroc, row.weighted_f1, row.accuracy)]
            table.add_row(label, *values, str(row.positives), str(row.negatives))
        table.add_section()
        values = [_tell(metric) for metric in (means.auroc, means.weighted_f1, means.accuracy)]
        table.add_row("mean", *values, "", "")
        print_table(table)
        left_out = [
            f"{name} ({row.left_out})" for name, row in means.labels.items() if row.left_out
        ]
        if left_out:
            typer.echo(f"left out of the mean: {', '.join(left_out)}")
        few = [
            f"{name} ({row.no_interval})"
            for name, row in means.labels.items()
            if row.no_interval and not row.left_out
        ]
        if few:
            typer.echo(f"too few patients for an interval: {', '.join(few)}")
        typer.echo(
            f"{means.units} of {means.patients} patients; 95 % intervals by patient, "
            f"{scores.resamples} resamples; thresholds: {scores.thresholds}"
        )


def show_comparison(rows: Sequence[ComparisonRow]) -> None:
    """Print several runs below each other.

    Args:
        rows: a run each.
    """
    table = Table()
    table.add_column("model")
    table.add_column("input")
    for name in ("AUROC", "weighted F1", "accuracy", "head parameters", "bytes a volume"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row.run,
            row.store_kind,
            *(_tell(metric) for metric in (row.auroc, row.weighted_f1, row.accuracy)),
            f"{row.head_parameters:,}",
            f"{row.bytes_per_volume:,.0f}",
        )
    print_table(table)


def _tell(metric: Interval) -> str:
    if metric.value is None:
        return "-"
    if metric.low is None or metric.high is None:
        return f"{metric.value:.3f}"
    return f"{metric.value:.3f} ({metric.low:.3f} to {metric.high:.3f})"


def print_table(table: Table) -> None:
    """Print a table as wide as the terminal, or wide enough for a file."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(table)
