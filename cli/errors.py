"""What a user sees when something goes wrong: three lines, and an exit code."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

EXIT_FAILED = 1
EXIT_REFUSALS = 3
EXIT_INTERRUPTED = 130


@contextmanager
def mendable() -> Iterator[None]:
    """Turn a `CtError` into its three lines and exit code 1; anything else keeps its traceback."""
    from ctprep.store.errors import CtError  # late: keeps --help free of the store

    try:
        yield
    except CtError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_FAILED) from error
    except KeyboardInterrupt:
        typer.echo("interrupted: run the same command again to go on", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
