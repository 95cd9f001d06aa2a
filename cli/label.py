"""The verb that labels reports."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.errors import EXIT_REFUSALS, mendable
from cli.options import Json, Verbose, start_logging


def label_reports(
    reports: Annotated[Path, typer.Argument(help="CSV or Parquet, a report a row.")],
    table: Annotated[Path, typer.Argument(help="Label table to write, a CSV.")],
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Write the label columns of this data set: ct_rate, rad_chestct, nidch, or a "
            "TOML file. [default: the 18 of CT-RATE]"
        ),
    ] = None,
    scans: Annotated[
        Path | None,
        typer.Option(help="CSV of scans: a row for each, by its own report or its study's."),
    ] = None,
    level: Annotated[
        Literal["reconstruction", "scan"],
        typer.Option(help="scan: a row a study, by study_id of SCANS or the names of DATASET."),
    ] = "reconstruction",
    uncertain: Annotated[
        Literal["present", "absent", "missing"],
        typer.Option(help="What a label is whose only mention is in doubt."),
    ] = "present",
    language: Annotated[
        str, typer.Option(help="Word lists: english, or a TOML file (docs/reports.md).")
    ] = "english",
    words: Annotated[
        str, typer.Option(help="How reports speak of the labels, likewise.")
    ] = "english_labels",
    as_json: Json = False,
    verbose: Verbose = 0,
) -> None:
    """Tell by rules which of 18 abnormalities each report asserts.

    Example: ctprep label-reports reports.csv labels.csv
    """
    from cli.progress import follow
    from ctprep.reports import label

    start_logging(verbose)
    with mendable():
        counts = {"labelled": 0, "unlisted": 0, "refused": 0}
        found: dict[str, int] = {}
        results = label.label_reports(
            reports,
            table,
            dataset=dataset,
            scan_table=scans,
            level=level,
            uncertain=uncertain,
            language=language,
            label_words=words,
        )
        for result in follow(results, "label-reports"):
            counts[result.status] += 1
            for name in result.present:
                found[name] = found.get(name, 0) + 1
            if result.status == "refused":
                typer.echo(
                    f"refused {result.scan_id}: {result.what}\n  mend:  {result.mend}", err=True
                )
        if as_json:
            typer.echo(json.dumps({**counts, "present": found}))
        else:
            told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
            typer.echo(f"label-reports: {told}; {sum(found.values())} labels present")
    if counts["refused"]:
        raise typer.Exit(EXIT_REFUSALS)
