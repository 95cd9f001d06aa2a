"""How a factorization is shown: a bar over the blocks, then what was kept of how much."""

import json
from contextlib import closing
from pathlib import Path

import typer

from cli.progress import progress_bar, say
from ctlite.factorize_model import Factorization


def show_factorization(work: Factorization, out: Path, *, dry_run: bool, as_json: bool) -> None:
    """Write the model folder and tell what became of its projection.

    Args:
        work: checked.
        out: of the folder.
        dry_run: whether nothing is written.
        as_json: one JSON object instead of lines.
    """
    if work.done.blocks:
        typer.echo(f"going on after block {work.done.blocks:,} of {work.blocks:,}", err=True)
    if work.starts_over:
        what = "what was begun there is of another model, rank or method, or damaged"
        typer.echo(f"{what}: from the start", err=True)
    if not dry_run:
        with progress_bar() as progress, closing(work.run()) as blocks:
            task = progress.add_task(
                "factorize (blocks)", total=work.blocks, completed=work.done.blocks
            )
            for done in blocks:
                progress.update(task, completed=done)
    counts, kept = work.counts, None if dry_run else work.kept_share
    if as_json:
        values = {"out": str(out), "rank": work.rank, "parameters": counts, "kept_share": kept}
        typer.echo(json.dumps({**values, "written": not dry_run}))
        return
    share = counts["exact"] / counts["dense"]
    say(f"dense projection: {counts['dense']:,} weights")
    say(f"SFP of rank {work.rank}: {counts['exact']:,} weights ({100 * share:.1f} %)")
    say(f"by the paper's formula, as if {work.dense.latent_dim} were a square: {counts['ideal']:,}")
    if kept is not None:
        say(f"kept of the squared norm: {100 * kept:.2f} %")
    say(f"{'would write' if dry_run else 'wrote'} {out}")
