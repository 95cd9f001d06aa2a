"""Options that every verb of both commands spells alike."""

import logging
from importlib.metadata import version
from typing import Annotated

import typer

Json = Annotated[
    bool, typer.Option("--json", help="Print machine-readable JSON lines on standard output.")
]
Verbose = Annotated[
    int, typer.Option("-v", "--verbose", count=True, help="Log more; -vv logs everything.")
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Worker processes; 1 stays in this process. [default: one a core]"),
]
Scheduler = Annotated[
    str | None,
    typer.Option(help="Address of a running dask scheduler, tcp://host:port, in place of workers."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")]
OriginalGrid = Annotated[
    bool, typer.Option("--original-grid", help="Resample NIfTI back onto the source's grid.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace files that are there already.")
]


def print_version(asked: bool) -> None:
    """Print the version and leave, if asked."""
    if asked:
        typer.echo(f"ct-lite {version('ct-lite')}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", callback=print_version, is_eager=True, help="Print the version."),
]


def start_logging(verbose: int) -> None:
    """Send log records to standard error at the asked level."""
    levels = [logging.WARNING, logging.INFO, logging.DEBUG]
    logging.basicConfig(level=levels[min(verbose, 2)], format="%(levelname)s %(name)s: %(message)s")
