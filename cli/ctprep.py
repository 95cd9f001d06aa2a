"""`ctprep`: archives and reports to stores and tables, a function a verb."""

import json
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.audit import audit, audit_score
from cli.errors import mendable
from cli.exchange import describe, export_monai
from cli.items import show_items
from cli.label import label_reports
from cli.look import doctor, export, inspect, preview, stats
from cli.options import (
    DryRun,
    Json,
    Scheduler,
    Verbose,
    Version,
    Workers,
    start_logging,
)
from cli.reports import filter_reports
from cli.split import split
from cli.verify import verify
from ctprep.store.machine import count_cores

app = typer.Typer(
    name="ctprep",
    help="Turn chest CT archives into small Zarr stores, and reports into filtered tables.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Boxes take as long to load as all the rest of a page of help.
    rich_markup_mode=None,
)


@app.callback()
def root(version: Version = False) -> None:
    """Turn chest CT archives into small Zarr stores, and reports into filtered tables."""


@app.command()
def ingest(
    source: Annotated[
        Path, typer.Argument(help="Folder or file of scans; docs/sources.md tells which.")
    ],
    store: Annotated[
        str, typer.Argument(help="Store to write, or to finish: a folder or s3://bucket/path.")
    ],
    grid: Annotated[
        str, typer.Option(help="Common sampling: ct-clip, isotropic-2mm, phantom, or a TOML file.")
    ] = "ct-clip",
    hu: Annotated[
        Literal["auto", "rescale", "already"] | None,
        typer.Option(
            help="Slope and intercept: auto decides by the values, rescale applies them, already "
            "does not. "
            "[default: the data set's rule, else auto]"
        ),
    ] = None,
    hu_range: Annotated[
        tuple[int, int], typer.Option(help="HU kept; values outside are clipped.")
    ] = (-1024, 3071),
    scans: Annotated[
        Path | None, typer.Option(help="CSV with scan_id, patient_id, split and path.")
    ] = None,
    scan_ids: Annotated[
        Literal["stem", "path", "pseudonym"],
        typer.Option(
            help="Without --scans: stem names NIfTI and NPZ volumes by their file names, path by "
            "their folders, too, where many are called alike; both may hold a patient's name. "
            "pseudonym names all by a keyed hash. DICOM always is."
        ),
    ] = "stem",
    key_file: Annotated[
        Path | None,
        typer.Option(
            help="Key of the pseudonyms; else CTPREP_PSEUDONYM_KEY, else one is made beside STORE, "
            "unless that is in a bucket."
        ),
    ] = None,
    tolerant: Annotated[
        bool, typer.Option("--tolerant", help="Mend what can be mended, and say so.")
    ] = False,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Data set that SOURCE is of: ct_rate, rad_chestct, nidch, phantom, or a manifest. "
            "It names scans and patients, and says how HU and axes are told."
        ),
    ] = None,
    metadata: Annotated[
        Path | None,
        typer.Option(
            help="Metadata table of the data set: rescale, spacing, which volumes there are."
        ),
    ] = None,
    native_jpeg: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100,
            metavar="QUALITY",
            help="Write a JPEG store straight from SOURCE: window and compress the native slices, "
            "decode, resample; see docs/decisions/0003. Stacks of pictures, which come windowed, "
            "are taken into such a store alone.",
        ),
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    verbose: Verbose = 0,
) -> None:
    """Read every scan of SOURCE onto one grid, into a lossless store.

    Each input ends as stored, unchanged or refused; run it again to finish what was cut short.
    Exits with 3 when something was refused. Patients are pseudonyms unless --scans names them;
    docs/privacy.md says what of a file's name and header is kept.

    Example: ctprep ingest archive/ stores/hifi.zarr --grid ct-clip
    """
    from ctprep import ingest as ingestion
    from ctprep.native import NativeJpeg
    from ctprep.pseudonym import load_key
    from ctprep.store.grids import load_grid
    from ctprep.store.place import find_place

    start_logging(verbose)
    with mendable():
        chosen = load_grid(grid)
        # Before a key is made: nothing is left of a run that was never meant.
        ingestion.check_places(source, find_place(store))
        items = ingestion.ingest(
            source,
            store,
            grid=chosen,
            hu_policy=hu,
            hu_range=hu_range,
            scans=scans,
            scan_ids=scan_ids,
            key=load_key(key_file, store=store, create=not dry_run),
            workers=workers or count_cores(),
            scheduler=scheduler,
            tolerant=tolerant,
            dry_run=dry_run,
            native=None if native_jpeg is None else NativeJpeg(quality=native_jpeg),
            dataset=dataset,
            metadata=metadata,
        )
        show_items(items, "ingest", as_json)


@app.command()
def compress(
    hifi_store: Annotated[
        str, typer.Argument(help="Store of HU volumes to read: a folder or s3://bucket/path.")
    ],
    jpeg_store: Annotated[str, typer.Argument(help="Store to write, or to finish; likewise.")],
    quality: Annotated[int, typer.Option(min=1, max=100, help="JPEG quality.")] = 90,
    window: Annotated[
        tuple[float, float], typer.Option(help="Center and width of the window in HU.")
    ] = (-600, 1500),
    workers: Workers = None,
    scheduler: Scheduler = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    verbose: Verbose = 0,
) -> None:
    """Window and JPEG-compress every volume of a hi-fi store.

    Size, ratio, PSNR and SSIM of each volume go into the catalog.

    Example: ctprep compress stores/hifi.zarr stores/q90.zarr --quality 90
    """
    from ctprep.compress import compress_store
    from ctprep.store.attributes import Window

    start_logging(verbose)
    with mendable():
        items = compress_store(
            hifi_store,
            jpeg_store,
            quality=quality,
            window=Window(center_hu=window[0], width_hu=window[1]),
            workers=workers or count_cores(),
            scheduler=scheduler,
            dry_run=dry_run,
        )
        show_items(items, "compress", as_json)


@app.command()
def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    patients: Annotated[int, typer.Option(min=3, help="How many patients.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same corpus.")] = 0,
    size: Annotated[
        Literal["demo", "full"], typer.Option(help="demo (coarse, fast) or full (512 x 512).")
    ] = "demo",
    workers: Workers = None,
    as_json: Json = False,
    verbose: Verbose = 0,
) -> None:
    """Write a synthetic corpus: DICOM, NIfTI and NPZ scans with reports, labels and splits.

    Example: ctprep phantom demo-out/source --patients 1000
    """
    from cli.progress import follow
    from ctprep.phantom.corpus import write_corpus

    start_logging(verbose)
    with mendable():
        scans = write_corpus(
            out, patients=patients, seed=seed, size=size, workers=workers or count_cores()
        )
        count = sum(1 for _ in follow(scans, "phantom"))
        if as_json:
            typer.echo(json.dumps({"scans": count, "folder": str(out)}))
        else:
            typer.echo(f"wrote {count} scans of {patients} patients to {out}")


app.command()(filter_reports)
app.command()(label_reports)
app.command()(audit)
app.command()(audit_score)
app.command()(split)
app.command()(inspect)
app.command()(preview)
app.command()(export)
app.command()(export_monai)
app.command()(describe)
app.command()(stats)
app.command()(doctor)
app.command()(verify)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal without the letters of a name must not end a run.
            stream.reconfigure(errors="backslashreplace")
    app()
