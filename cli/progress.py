"""Progress on standard error: how many, how fast, how long still."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

T = TypeVar("T")


class RateColumn(ProgressColumn):
    """Items a second so far."""

    def render(self, task: Task) -> Text:
        """Give the mean rate since the task began."""
        rate = task.finished_speed or task.speed
        return Text("" if rate is None else f"{rate:.1f}/s", style="progress.data.speed")


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show one live bar on standard error; nothing where that is no terminal."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield progress


def follow(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Pass items on while counting them on a bar.

    Args:
        items: what the work yields as it finishes.
        description: what is being done.
        total: how many are expected; None shows a count without an end.
    """
    with progress_bar() as progress:
        task = progress.add_task(description, total=total)
        for item in items:
            progress.advance(task)
            yield item


def say(line: str) -> None:
    """Print one line of a result for a person."""
    typer.echo(line)
