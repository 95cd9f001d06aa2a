"""How scans are looked at by a model, and how what it sees is shown."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import typer
from rich.table import Table

from cli.errors import EXIT_REFUSALS
from cli.scores import print_table
from ctlite.models.config import Preprocessing
from ctlite.predictor import Finding, Predictor
from ctprep.jobs import Item
from ctprep.prepare import prepared
from ctprep.store.disk import write_atomically
from ctprep.store.errors import SourceError
from ctprep.store.layout import METADATA
from ctprep.store.outputs import check_outputs, check_suffix
from ctprep.store.place import SCHEMES
from ctprep.store.store import VolumeStore


@dataclass(frozen=True)
class Scans:
    """Volumes that a model takes, and what their users call them."""

    store: VolumeStore
    names: dict[str, str]
    """By scan id; no others are looked at."""
    refused: tuple[Item, ...] = ()


@contextmanager
def open_scans(source: str, wanted: Preprocessing, *, tolerant: bool) -> Iterator[Scans]:
    """Open a store, an entry of one, or anything that `ctprep ingest` reads.

    Args:
        source: path, or URL of a store in a bucket.
        wanted: by the model.
        tolerant: mend what can be mended in a source.

    Yields:
        Its volumes, on the model's grid.

    Raises:
        SourceError: there is no such source, or nothing in it.
        StoreError: it is a damaged store.
    """
    path = Path(source).absolute()
    if source.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)):
        store = VolumeStore.open(source)
    elif (path / METADATA).is_file() and not (path.parent / METADATA).is_file():
        store = VolumeStore.open(path)
    elif (path / METADATA).is_file():
        yield Scans(VolumeStore.open(path.parent), {path.name: path.name})
        return
    else:
        grid, window, quality = wanted.grid, wanted.window, wanted.quality
        with prepared(path, grid=grid, window=window, quality=quality, tolerant=tolerant) as made:
            there = set(made.store.scan_ids())
            yield Scans(
                made.store,
                {item.scan_id: item.name for item in made.items if item.scan_id in there},
                tuple(item for item in made.items if item.status == "refused"),
            )
        return
    yield Scans(store, {scan_id: scan_id for scan_id in store.scan_ids()})


def show_predictions(
    predictor: Predictor,
    scans: Scans,
    *,
    labels: list[str] | None,
    batch_size: int,
    as_json: bool,
) -> None:
    """Print the findings of every scan, and what was refused.

    Args:
        predictor: the model.
        scans: to look at.
        labels: to look for; None takes the model's.
        batch_size: volumes encoded at once.
        as_json: one JSON object a scan on standard output.
    """
    for scan_id, findings in predictor.predict(
        scans.store, list(scans.names), labels=labels, batch_size=batch_size
    ):
        if as_json:
            values = {
                finding.label: {
                    "score": finding.score,
                    "threshold": finding.threshold,
                    "present": finding.is_present,
                }
                for finding in findings
            }
            typer.echo(json.dumps({"scan": scans.names[scan_id], "findings": values}))
        else:
            print_table(_table(scans.names[scan_id], findings))
    if not as_json:
        typer.echo("for research; no score is a diagnosis")
    tell_refused(scans)


def _table(name: str, findings: list[Finding]) -> Table:
    table = Table(title=name, title_justify="left")
    table.add_column("abnormality")
    for column in ("score", "threshold", "called"):
        table.add_column(column, justify="right")
    told = {True: "present", False: "absent", None: "-"}
    for finding in sorted(findings, key=_margin, reverse=True):
        threshold = "-" if finding.threshold is None else f"{finding.threshold:+.3f}"
        called = told[finding.is_present]
        table.add_row(finding.label, f"{finding.score:+.3f}", threshold, called)
    return table


def _margin(finding: Finding) -> float:
    return finding.score - (finding.threshold or 0.0)


def check_latents(out: Path) -> None:
    """Refuse a file of latents that could not be written, before the model is loaded.

    Raises:
        TableError: it is not called `.npz`.
        PlaceError: it cannot be written.
    """
    check_suffix(out, (".npz",), "latents are")
    check_outputs(out)


def save_latents(predictor: Predictor, scans: Scans, out: Path, *, batch_size: int) -> None:
    """Write the latents of every scan, and tell what was refused.

    Args:
        predictor: the model.
        scans: to look at.
        out: `.npz` with `names` and `latents` (scan, latent), float32 of unit length.
        batch_size: volumes encoded at once.

    Raises:
        SourceError: no scan could be read.
        PlaceError: the file cannot be written.
    """
    pairs = list(predictor.embed(scans.store, list(scans.names), batch_size=batch_size))
    if not pairs:
        tell_refused(scans)
        raise SourceError(
            "there is no scan to embed", verdict="empty-source", mend="give a folder with scans"
        )
    names = np.array([scans.names[scan_id] for scan_id, _ in pairs])
    buffer = io.BytesIO()
    np.savez(buffer, names=names, latents=np.stack([latent for _, latent in pairs]))
    write_atomically(out, buffer.getvalue())
    typer.echo(f"{out}: {len(pairs)} scans, {pairs[0][1].size} numbers each")
    tell_refused(scans)


def tell_refused(scans: Scans) -> None:
    """Name what was refused, on standard error, and leave with the exit code that says so."""
    for item in scans.refused:
        typer.echo(
            f"refused {item.name}: {item.verdict}: {item.what}\n  mend:  {item.mend}", err=True
        )
    if scans.refused:
        raise typer.Exit(EXIT_REFUSALS)
