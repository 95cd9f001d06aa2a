"""The verbs of `ctprep` that look at sources and stores, and take volumes out of them."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.errors import EXIT_FAILED, mendable
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

Scans = Annotated[
    list[str] | None, typer.Option("--scan", metavar="ID", help="Only this scan; repeat for more.")
]


def inspect(
    path: Annotated[
        str, typer.Argument(help="Folder or file of scans, or a store: a folder or s3:// URL.")
    ],
    grid: Annotated[
        str, typer.Option(help="For which the sizes of stores are estimated: a name or TOML file.")
    ] = "ct-clip",
    tolerant: Annotated[
        bool, typer.Option("--tolerant", help="Mend what can be mended, as ingest would.")
    ] = False,
    as_json: Json = False,
    verbose: Verbose = 0,
) -> None:
    """Tell what a source or a store is, without writing anything.

    Of a source headers alone are read; a single file is read whole.

    Example: ctprep inspect archive/
    """
    from cli.look_tables import show_source, show_store
    from cli.progress import follow
    from ctprep.look.inspection import Inspector, check_there, read_details
    from ctprep.look.store_summary import inspect_store, is_store
    from ctprep.sources.discover import discover
    from ctprep.sources.paths import is_file
    from ctprep.store.grids import load_grid

    start_logging(verbose)
    with mendable():
        if is_store(path):
            show_store(inspect_store(path), as_json=as_json)
            return
        source = Path(path)
        check_there(source)
        inspector = Inspector(load_grid(grid))
        for outcome in follow(discover(source, tolerant=tolerant), "inspect"):
            inspector.add(outcome)
        summary, details = inspector.summary(), None
        if is_file(source) and summary.candidates == 1:
            details = read_details(source, tolerant=tolerant)
        show_source(summary, details, as_json=as_json)


def export(
    store: Annotated[str, typer.Argument(help="Hi-fi or JPEG store: a folder or s3:// URL.")],
    out: Annotated[Path, typer.Argument(help="Folder for the files, named by scan id.")],
    format_: Annotated[
        Literal["nifti", "ome-zarr"],
        typer.Option("--format", help="nifti (.nii.gz) or ome-zarr (a pyramid, stock codecs)."),
    ] = "nifti",
    scan: Scans = None,
    original_grid: OriginalGrid = False,
    overwrite: Overwrite = False,
    workers: Workers = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    verbose: Verbose = 0,
) -> None:
    """Take volumes out of a store: HU, or the gray levels of a JPEG store.

    Exits with 3 when a volume was refused, among others because its file is there already.

    Example: ctprep export stores/hifi.zarr out/ --format nifti --original-grid
    """
    from ctprep.look.export import export_store

    start_logging(verbose)
    with mendable():
        items = export_store(
            store,
            out,
            format=format_,
            scan_ids=scan or (),
            original_grid=original_grid,
            overwrite=overwrite,
            workers=workers or count_cores(),
            dry_run=dry_run,
        )
        show_items(items, "export", as_json)


def preview(
    store: Annotated[str, typer.Argument(help="Hi-fi or JPEG store: a folder or s3:// URL.")],
    out: Annotated[Path, typer.Option(help="Folder for the PNG files.")],
    jpeg: Annotated[
        str | None,
        typer.Option(help="JPEG store made of STORE: draws clean, compressed and difference."),
    ] = None,
    scan: Scans = None,
    count: Annotated[
        int, typer.Option(min=1, help="Without --scan: how many scans get a picture.")
    ] = 12,
    sheet: Annotated[
        bool, typer.Option(help="Contact sheets over all scans, or those of --scan.")
    ] = True,
    window: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Center and width in HU. [default: lung, or that of the JPEG store]"),
    ] = None,
    as_json: Json = False,
    verbose: Verbose = 0,
) -> None:
    """Draw scans in three planes, and all of them on contact sheets.

    Pictures show the patient's right at the left, and name no patient. Needs the extra `plot`.

    Example: ctprep preview stores/hifi.zarr --jpeg stores/q90.zarr --out pictures/
    """
    from ctprep.look.preview import preview_store
    from ctprep.store.attributes import Window

    start_logging(verbose)
    with mendable():
        items = preview_store(
            store,
            out,
            jpeg=jpeg,
            scan_ids=scan or (),
            count=count,
            sheet=sheet,
            window=window and Window(center_hu=window[0], width_hu=window[1]),
        )
        show_items(items, "preview", as_json)


def stats(
    store: Annotated[str, typer.Argument(help="Hi-fi or JPEG store: a folder or s3:// URL.")],
    labels: Annotated[
        Path | None, typer.Option(help="CSV with scan_id and one 0/1 column a label.")
    ] = None,
    scans: Annotated[
        Path | None, typer.Option(help="CSV with scan_id, patient_id, split and path.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for tables and pictures.")] = None,
    sample: Annotated[int, typer.Option(min=1, help="Scans read for the histogram of HU.")] = 8,
    as_json: Json = False,
    verbose: Verbose = 0,
) -> None:
    """Count labels, splits, samplings and scanners of a store, and draw the classes.

    Example: ctprep stats stores/q90.zarr --labels labels.csv --scans scans.csv --out stats/
    """
    from cli.look_tables import show_stats
    from ctprep.look.corpus_stats import measure_corpus
    from ctprep.look.stats_files import check_out, write_stats

    start_logging(verbose)
    with mendable():
        if out is not None:
            check_out(out, labels, scans)
        measured = measure_corpus(store, labels=labels, scans=scans, sample=sample)
        files = [] if out is None else write_stats(measured, out)
        show_stats(measured, files, as_json=as_json)


def doctor(as_json: Json = False, verbose: Verbose = 0) -> None:
    """Say which decoders, codecs and libraries work here, by trying each.

    Exits with 1 when something that preparing needs does not work.

    Example: ctprep doctor
    """
    from dataclasses import asdict

    from cli.look_tables import show_checks
    from cli.progress import follow
    from ctprep.doctor.doctor import examine, fails

    start_logging(verbose)
    with mendable():
        checks = []
        for check in follow(examine(Path.cwd()), "doctor"):
            checks.append(check)
            if as_json:
                typer.echo(json.dumps(asdict(check)))
        if not as_json:
            show_checks(checks)
    if any(fails(check) for check in checks):
        raise typer.Exit(EXIT_FAILED)
