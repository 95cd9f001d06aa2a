"""How the items of a run are shown: a line an item for machines, a closing line for people."""

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

import typer

from cli.errors import EXIT_REFUSALS

if TYPE_CHECKING:
    from ctprep.jobs import Item
    from ctprep.reports.filter import ReportItem
    from ctprep.reports.label import LabelItem

Result = TypeVar("Result", "ReportItem", "LabelItem")


def show_items(
    items: "Iterable[Item]", verb: str, as_json: bool, *, beside: str | None = None
) -> None:
    """Show finished items and a closing table; exit with 3 when one was refused.

    Args:
        items: what the work yields.
        verb: the command, for the progress bar and the closing line.
        as_json: one JSON object an item on standard output, and no table.
        beside: name of an item that is not one of those counted, but a list of them.
    """
    from cli.progress import follow

    counts: dict[str, int] = {}
    refusals: list[Item] = []
    listed = ""
    for item in follow(items, verb):
        if item.name == beside:
            listed = f"; {beside} {item.status}"
        else:
            counts[item.status] = counts.get(item.status, 0) + 1
        if item.status == "refused":
            refusals.append(item)
        if as_json:
            typer.echo(json.dumps(vars(item)))
    if not as_json:
        for item in refusals:
            typer.echo(f"refused {item.name}: {item.verdict}: {item.what}\n  mend:  {item.mend}")
        told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        typer.echo(f"{verb}: {told or 'nothing to do'}{listed}")
    if refusals:
        raise typer.Exit(EXIT_REFUSALS)


def count_results(results: Iterable[Result], counts: dict[str, int]) -> Iterator[Result]:
    """Pass the results of reports on while counting them; tell of refusals on standard error.

    Args:
        results: what the work yields.
        counts: how many there are of each status so far; is added to.
    """
    for result in results:
        counts[result.status] += 1
        if result.status == "refused":
            typer.echo(f"refused {result.scan_id}: {result.what}\n  mend:  {result.mend}", err=True)
        yield result


def tell_counts(counts: dict[str, int]) -> str:
    """Tell the counts that are not 0, for a closing line."""
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)
