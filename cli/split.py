"""The verb that splits a corpus by patient."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.errors import mendable
from cli.options import DryRun, Json, Verbose, start_logging

if TYPE_CHECKING:
    from ctprep.split.corpus import CorpusSplit, SideCount

SIZE = "below 1 a share of the patients, else their number"


def split(
    store: Annotated[str, typer.Argument(help="Store to split: a folder or s3://bucket/path.")],
    out: Annotated[Path, typer.Argument(help="Scan table to write, .csv or .parquet.")],
    test: Annotated[float | None, typer.Option(help=f"Test side: {SIZE}. [default: 0.2]")] = None,
    tune: Annotated[float | None, typer.Option(help=f"Tuning side: {SIZE}. [default: 0.1]")] = None,
    train: Annotated[
        float | None,
        typer.Option(
            help=f"Training side: {SIZE}; who is left is unused. 0: a test set from elsewhere. "
            "[default: all left]"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same split.")] = 0,
    labels: Annotated[
        Path | None,
        typer.Option(help="Label table: each label as frequent on every side, in patients."),
    ] = None,
    reports: Annotated[
        Path | None, typer.Option(help="Reports: patients with equal ones stay together.")
    ] = None,
    test_ids: Annotated[
        str | None,
        typer.Option(help="Regular expression; the test side is the scans whose ids it matches."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Patients and studies by the names of this data set: ct_rate, rad_chestct, or a "
            "TOML file. [default: patients as the store has them]"
        ),
    ] = None,
    patients: Annotated[
        Path | None,
        typer.Option(help="CSV that tells them: scan_id, patient_id and, if known, study_id."),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            help="Scan table of an earlier split: its patients stay, further ones are for training."
        ),
    ] = None,
    paper: Annotated[
        Literal["ct_rate", "nidch"] | None,
        typer.Option(help="As many patients as the CT-Lite paper has; which, it does not tell."),
    ] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    verbose: Verbose = 0,
) -> None:
    """Split the scans of a store by patient, into train, tune and test.

    Example: ctprep split stores/q90.zarr scans.csv --labels labels.csv --reports reports.csv
    """
    start_logging(verbose)
    if paper is not None and (train, test, test_ids) != (None, None, None):
        raise typer.BadParameter("--paper gives these: leave out --train, --test, --test-ids")
    if keep is not None and (train, tune, test, test_ids, paper) != (None,) * 5:
        raise typer.BadParameter("--keep gives all sides: leave out sizes, --test-ids and --paper")
    if test_ids is not None and test is not None:
        raise typer.BadParameter("--test-ids gives the test side: leave out --test")
    if dataset is not None and patients is not None:
        raise typer.BadParameter("--dataset and --patients both tell the patients: leave out one")
    from ctprep.split.corpus import check_path, paper_sizes, split_corpus, write_split
    from ctprep.split.draw import Sizes
    from ctprep.store.tables import read_labels

    with mendable():
        check_path(out, labels, reports, patients)
        if paper is not None:
            sizes = paper_sizes(paper, tune or 0)
        elif keep is not None:
            sizes = Sizes(tune=0, test=0)
        else:
            sizes = Sizes(
                tune=Sizes.tune if tune is None else tune,
                test=Sizes.test if test is None else test,
                train=train,
            )
        made = split_corpus(
            store,
            sizes,
            seed=seed,
            labels=None if labels is None else read_labels(labels),
            reports=reports,
            test_pattern=test_ids,
            dataset=dataset,
            patients=patients,
            keep=keep,
        )
        is_new = not dry_run and write_split(out, made)
        _show(made, as_json=as_json)
        if not as_json:
            told = "nothing written (dry run)" if dry_run else f"wrote {out}"
            typer.echo(told if dry_run or is_new else f"{out} has this split already")


def _show(made: "CorpusSplit", *, as_json: bool) -> None:
    if as_json:
        facts = {key: value for key, value in asdict(made).items() if key != "rows"}
        typer.echo(json.dumps(facts))
        return
    from cli.look_tables import print_table

    sides = [count for count in made.counts if count.scans]
    rows = [(count.side, f"{count.patients:,}", f"{count.scans:,}") for count in sides]
    print_table("split", ("side", "patients", "scans"), rows)
    labels = next((tuple(count.positives) for count in sides if count.positives), ())
    if labels:
        shares = [
            (label, *(_share(side.positive_patients[label], side) for side in sides))
            for label in labels
        ]
        print_table("patients with a label", ("label", *(side.side for side in sides)), shares)
    notes = (
        (made.bound, "patients are kept with another, since their reports are equal"),
        (made.templates, "reports are of so many patients that they are taken for templates"),
        (made.unlabeled, "scans are not in the label table"),
        (made.unreported, "scans have no report"),
        (made.gone, "scans of the split to keep are not in the store"),
    )
    for count, what in notes:
        if count:
            typer.echo(f"{count:,} {what}")


def _share(count: int, side: "SideCount") -> str:
    return f"{count:,} ({100 * count / side.patients:.1f} %)"
