"""The verbs that tell a corpus to other programs: MONAI, and whatever reads Croissant."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.errors import mendable
from cli.items import show_items
from cli.options import (
    DryRun,
    Json,
    OriginalGrid,
    Overwrite,
    Verbose,
    Workers,
    start_logging,
)
from ctprep.store.machine import count_cores

if TYPE_CHECKING:
    from ctprep.exchange.datalist import DatalistPlan

TABLES = {"scans": "scan", "labels": "label", "reports": "report"}
SHOWN = 3
"""Scan ids that a line names as examples."""


def export_monai(
    store: Annotated[str, typer.Argument(help="Hi-fi or JPEG store: a folder or s3:// URL.")],
    out: Annotated[Path, typer.Argument(help="Folder for the NIfTI files and datalist.json.")],
    scans: Annotated[Path, typer.Option(help="Scan table: patients and sides.")],
    labels: Annotated[
        Path | None, typer.Option(help="Label table: `label`, 1, 0 or null a label.")
    ] = None,
    reports: Annotated[
        Path | None, typer.Option(help="Table of filtered reports: `report`, a text.")
    ] = None,
    text: Annotated[
        Literal["positive", "full"],
        typer.Option(help="Which text of a report: what is abnormal, or all of it."),
    ] = "positive",
    folds: Annotated[
        int | None,
        typer.Option(min=2, help="Deal the training side into folds by patient: `fold`, from 0."),
    ] = None,
    original_grid: OriginalGrid = False,
    overwrite: Overwrite = False,
    workers: Workers = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    verbose: Verbose = 0,
) -> None:
    """Export a corpus as NIfTI with a datalist that MONAI reads.

    Run it again to finish what was cut short. Exits with 3 when a volume was refused.

    Example: ctprep export-monai stores/hifi.zarr monai/ --scans scans.csv --labels labels.csv
    """
    from ctprep.exchange import monai
    from ctprep.exchange.datalist import DATALIST, plan_datalist

    start_logging(verbose)
    with mendable():
        plan = plan_datalist(store, scans, labels=labels, reports=reports, text=text, folds=folds)
        items = monai.export_monai(
            store,
            out,
            plan,
            original_grid=original_grid,
            overwrite=overwrite,
            workers=workers or count_cores(),
            dry_run=dry_run,
        )
        _show_plan(plan, as_json=as_json)
        show_items(items, "export-monai", as_json, beside=DATALIST)


def _show_plan(plan: "DatalistPlan", *, as_json: bool) -> None:
    sizes = {section: len(own) for section, own in plan.entries.items()}
    if as_json:
        facts = {
            "is": "datalist",
            **sizes,
            "absent": plan.absent,
            "unlisted": plan.unlisted,
            "unlabeled": plan.unlabeled,
            "unreported": plan.unreported,
        }
        typer.echo(json.dumps(facts))
        return
    typer.echo(", ".join(f"{count:,} {section}" for section, count in sizes.items()))
    notes = (
        (plan.absent, "scans of the table are not in the store"),
        (plan.unlisted, "scans of the store are not in the table"),
    )
    for scan_ids, what in notes:
        tell_left_out(scan_ids, what)
    for number, what in (
        (plan.unlabeled, "listed scans have no row of labels; all of theirs are null"),
        (plan.unreported, "listed scans have no report; theirs is null"),
    ):
        if number:
            typer.echo(f"{number:,} {what}")


def describe(
    store: Annotated[str, typer.Argument(help="Hi-fi or JPEG store: a folder.")],
    out: Annotated[
        Path, typer.Argument(help="JSON to write, in a folder that holds store and tables.")
    ],
    about: Annotated[
        Path, typer.Option(help="TOML with name, licence, creators, citation; docs/exports.md.")
    ],
    scans: Annotated[Path | None, typer.Option(help="Scan table.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Label table.")] = None,
    reports: Annotated[Path | None, typer.Option(help="Table of filtered reports.")] = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    verbose: Verbose = 0,
) -> None:
    """Describe a corpus in Croissant 1.1: its files, its tables, and what ABOUT says of it.

    Example: ctprep describe stores/q90.zarr croissant.json --about about.toml --scans scans.csv
    """
    from ctprep.exchange.about import read_about
    from ctprep.exchange.croissant import describe_corpus, write_description
    from ctprep.store.outputs import check_outputs

    start_logging(verbose)
    with mendable():
        # Before the store is hashed, which may take hours.
        check_outputs(out, inputs=(about, scans, labels, reports))
        told_of = read_about(about)
        described = describe_corpus(
            store, out, told_of, scans=scans, labels=labels, reports=reports
        )
        is_new = not dry_run and write_description(out, described, overwrite=overwrite)
        if as_json:
            facts = {key: value for key, value in vars(described).items() if key != "content"}
            typer.echo(json.dumps({"is": "description", "written": is_new, **facts}))
            return
        for name, scan_ids in described.absent.items():
            tell_left_out(scan_ids, f"scans of the {TABLES[name]} table are not in the store")
        for name, scan_ids in described.unlisted.items():
            tell_left_out(scan_ids, f"scans of the store are not in the {TABLES[name]} table")
        if told_of.not_given:
            typer.echo(
                f"{about} does not give what Croissant recommends: {', '.join(told_of.not_given)}"
            )
        told = "nothing written (dry run)" if dry_run else f"wrote {out}"
        typer.echo(told if dry_run or is_new else f"{out} says this already")


def tell_left_out(scan_ids: tuple[str, ...], what: str) -> None:
    """Tell how many scans something holds for, and the first of them."""
    if scan_ids:
        typer.echo(f"{len(scan_ids):,} {what}, such as {', '.join(scan_ids[:SHOWN])}")
