"""The verb that labels reports."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.errors import EXIT_REFUSALS, mendable
from cli.items import count_results, tell_counts
from cli.options import Json, Verbose, start_logging


def label_reports(
    reports: Annotated[Path, typer.Argument(help="CSV or Parquet, a report a row.")],
    table: Annotated[Path, typer.Argument(help="Label table to write, .csv or .parquet.")],
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
    backend: Annotated[
        Literal["rules", "radbert"],
        typer.Option(help="Who tells the labels; radbert is a classifier and needs --model."),
    ] = "rules",
    uncertain: Annotated[
        Literal["present", "absent", "missing"] | None,
        typer.Option(
            help="rules: what a label is whose only mention is in doubt. [default: present]"
        ),
    ] = None,
    language: Annotated[
        str, typer.Option(help="Word lists: english, or a TOML file (docs/reports.md).")
    ] = "english",
    words: Annotated[
        str | None,
        typer.Option(
            help="rules: how reports speak of the labels, likewise. [default: english_labels]"
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="radbert: RadBertClassifier.pth, a model folder, or a name downloaded before."
        ),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help="radbert: folder or name with the tokenizer. [default: beside the model]"
        ),
    ] = None,
    pooling: Annotated[
        Literal["auto", "pooler", "first"] | None,
        typer.Option(
            help="radbert: what the last layer of a .pth reads, the pooled output or the first "
            "token. [default: auto]"
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="radbert: probability that makes a label present. [default: 0.5]"
        ),
    ] = None,
    windows: Annotated[
        bool,
        typer.Option("--windows", help="radbert: read long reports in parts, not cut at 512."),
    ] = False,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="radbert: reports at once. [default: 32]")
    ] = None,
    probabilities: Annotated[
        Path | None,
        typer.Option(help="radbert: table of probabilities to write as well, likewise."),
    ] = None,
    as_json: Json = False,
    verbose: Verbose = 0,
) -> None:
    """Tell which of 18 abnormalities each report asserts, by rules or by a classifier.

    Example: ctprep label-reports reports.csv labels.csv
    """
    from cli.progress import follow
    from ctprep.reports import label
    from ctprep.reports.labels.build import LabelOptions, build_labeller

    start_logging(verbose)
    with mendable():
        label.check_paths(reports, table, scan_table=scans, probabilities=probabilities)
        options = LabelOptions(
            uncertain=uncertain,
            words=words,
            model=model,
            tokenizer=tokenizer,
            pooling=pooling,
            threshold=threshold,
            windows=windows or None,
            batch_size=batch_size,
            probabilities=probabilities,
        )
        labeller = build_labeller(backend, options, language=language)
        results = label.label_reports(
            reports,
            table,
            labeller=labeller,
            dataset=dataset,
            scan_table=scans,
            level=level,
            probabilities=probabilities,
            watch=lambda judged, total: follow(judged, "label-reports", total),
        )
        counts = {"labelled": 0, "unlisted": 0, "refused": 0}
        found: dict[str, int] = {}
        cut = 0
        for result in count_results(results, counts):
            cut += result.is_cut
            for name in result.present:
                found[name] = found.get(name, 0) + 1
        told = {"backend": labeller.name, "model": labeller.model, "cut": cut}
        if as_json:
            typer.echo(json.dumps({**counts, "present": found, **told}))
        else:
            typer.echo(
                f"label-reports: {tell_counts(counts)}; {sum(found.values())} labels present"
            )
            typer.echo(f"  by {labeller.name} {labeller.model}")
            if cut:
                typer.echo(
                    f"  reports cut where the classifier ends: {cut} (--windows reads them whole)"
                )
    if counts["refused"]:
        raise typer.Exit(EXIT_REFUSALS)
