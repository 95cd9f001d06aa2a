"""The verbs of `ctprep` that look at sources and stores, and take volumes out of them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.errors import mendable
from cli.items import show_items
from cli.options import DryRun, Json, Verbose, Workers, default_workers, start_logging

Scans = Annotated[
    list[str] | None, typer.Option("--scan", metavar="ID", help="Only this scan; repeat for more.")
]


def export(
    store: Annotated[Path, typer.Argument(help="Hi-fi or JPEG store to read.")],
    out: Annotated[Path, typer.Argument(help="Folder for the files, named by scan id.")],
    format_: Annotated[
        Literal["nifti", "ome-zarr"],
        typer.Option("--format", help="nifti (.nii.gz) or ome-zarr (a pyramid, stock codecs)."),
    ] = "nifti",
    scan: Scans = None,
    original_grid: Annotated[
        bool,
        typer.Option("--original-grid", help="Resample back onto the source's grid; NIfTI only."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there already.")
    ] = False,
    workers: Workers = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    verbose: Verbose = 0,
) -> None:
    """Take volumes out of a store: HU, or the gray levels of a JPEG store.

    Exits with 3 when a volume was refused, among others because its file is there already.

    Example: ctprep export stores/hifi.zarr out/ --format nifti --original-grid
    """
    from ctprep.export import export_store

    start_logging(verbose)
    with mendable():
        items = export_store(
            store,
            out,
            format=format_,
            scan_ids=scan or (),
            original_grid=original_grid,
            overwrite=overwrite,
            workers=workers or default_workers(),
            dry_run=dry_run,
        )
        show_items(items, "export", as_json)
