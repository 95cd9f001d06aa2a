"""The verbs by which a radiologist judges filtered reports."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import mendable
from cli.options import Json, Verbose, start_logging
from ctprep.audit.only import Only

if TYPE_CHECKING:
    from ctprep.audit.agreement import Agreement, Fourfold
    from ctprep.audit.score import Audited
    from ctprep.audit.shares import Share

Language = Annotated[
    str,
    typer.Option(help="Word lists that the tables were made with: english, or a TOML file."),
]


def audit(
    tables: Annotated[
        list[Path],
        typer.Argument(help="One to four tables of filter-reports, of the same reports."),
    ],
    page: Annotated[Path, typer.Argument(help="HTML file to write; it holds report text.")],
    sample: Annotated[int, typer.Option(min=1, help="How many reports to draw.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Same reports and seed, same draw.")] = 0,
    only: Annotated[
        Only,
        typer.Option(
            help="Which reports to draw from: flagged is any flag but nothing-abnormal, the others "
            "are flags."
        ),
    ] = "all",
    language: Language = "english",
    as_json: Json = False,
    verbose: Verbose = 0,
) -> None:
    """Write a page on which a radiologist judges a sample of filtered reports.

    With several tables it also tells, over all reports, how far every two of them agree.

    Example: ctprep audit rules.parquet medgemma.parquet audit.html
    """
    from ctprep.audit.audit import write_audit

    start_logging(verbose)
    with mendable():
        made = write_audit(tables, page, sample=sample, seed=seed, only=only, language=language)
        if as_json:
            told = asdict(made)
            told["agreements"] = [_agreement_row(found) for found in made.agreements]
            typer.echo(json.dumps({**told, "page": str(page)}))
            return
        for found in made.agreements:
            _show_agreement(found)
        typer.echo(
            f"audit: {made.drawn:,} of {made.candidates:,} reports drawn, {made.reports:,} in "
            f"every table; wrote {page}, which holds report text"
        )


def audit_score(
    table: Annotated[Path, typer.Argument(help="Table of the reports that were judged.")],
    judgements: Annotated[list[Path], typer.Argument(help="CSV files that the page saved.")],
    other: Annotated[
        list[Path] | None, typer.Option(help="One more table of these reports to score; repeat it.")
    ] = None,
    language: Language = "english",
    as_json: Json = False,
    verbose: Verbose = 0,
) -> None:
    """Tell precision and recall of filtered tables by what radiologists said.

    The table need not be one that the page showed: a judged text serves for every later filter.

    Example: ctprep audit-score rules.parquet judgements-1f2e-AB.csv --other medgemma.parquet
    """
    from ctprep.audit.score import score_tables

    start_logging(verbose)
    with mendable():
        found = score_tables([table, *(other or [])], judgements, language=language)
        if as_json:
            told = asdict(found)
            told["raters"] = [
                {**asdict(pair), "sentences": _fourfold_row(pair.sentences)}
                for pair in found.raters
            ]
            typer.echo(json.dumps(told))
        else:
            _show_scores(found)


def _fourfold_row(counts: "Fourfold") -> dict[str, Any]:
    return {**asdict(counts), "agreement": counts.agreement, "kappa": counts.kappa}


def _agreement_row(found: "Agreement") -> dict[str, Any]:
    row = {
        **asdict(found),
        "sentences": _fourfold_row(found.sentences),
        "sections": {name: _fourfold_row(counts) for name, counts in found.sections.items()},
    }
    # Report text goes into the page alone.
    del row["phrases"]
    return row


def _show_agreement(found: "Agreement") -> None:
    from cli.look_tables import print_table

    one, two = found.first, found.second
    counts = {"all": found.sentences, **found.sections}
    print_table(
        f"agreement of {one} and {two}",
        ("sentences", "both keep", f"only {one}", f"only {two}", "both drop", "agree", "kappa"),
        [(name, *_fourfold_cells(count)) for name, count in counts.items()],
    )
    typer.echo(
        f"{found.identical_reports:,} of {found.reports:,} reports keep the same sentences; "
        f"only in {one}: {found.missing[0]:,} reports; only in {two}: {found.missing[1]:,}"
    )
    for flag, (first, second) in found.flags.items():
        typer.echo(f"  {flag}: {first:,} of {one}, {second:,} of {two}")


def _fourfold_cells(counts: "Fourfold") -> list[str]:
    numbers = (counts.both, counts.first_only, counts.second_only, counts.neither)
    return [
        *(f"{number:,}" for number in numbers),
        "none" if counts.agreement is None else f"{100 * counts.agreement:.2f} %",
        "not defined" if counts.kappa is None else f"{counts.kappa:.3f}",
    ]


def _show_scores(found: "Audited") -> None:
    from cli.look_tables import print_table

    print_table(
        "judges",
        ("judge", "reports", "seconds a report", "unsure sentences", "not in every table"),
        [
            (
                j.name,
                f"{j.reports:,}",
                f"{j.seconds_a_report:.1f}",
                f"{j.unsure:,}",
                f"{j.unlisted:,}",
            )
            for j in found.judges
        ],
    )
    print_table(
        "kept sentences, with 95 % intervals by report",
        ("judge", "table", "reports", "all right", "precision", "recall", "missed, not read"),
        [
            (
                score.judge,
                "\n".join((score.table, *score.filters)),
                f"{score.reports:,}",
                f"{score.right_reports:,}",
                _tell_share(score.precision),
                _tell_share(score.recall),
                f"{score.missed_unread:,}",
            )
            for score in found.scores
        ],
    )
    if found.raters:
        heads = ("judges", "reports", "both keep", "first", "second", "both drop", "agree", "kappa")
        rows = [
            (f"{r.first}, {r.second}", f"{r.reports:,}", *_fourfold_cells(r.sentences))
            for r in found.raters
        ]
        print_table("agreement of judges", heads, rows)
    biased = [name for name in found.drawn_from if name != "all"]
    if biased:
        typer.echo(
            f"the judged reports were drawn from those that are {', '.join(biased)}: "
            "these numbers are not of the whole table"
        )


def _tell_share(share: "Share") -> str:
    if share.value is None:
        return "none"
    interval = "too few reports"
    if share.low is not None and share.high is not None:
        interval = f"{100 * share.low:.1f} to {100 * share.high:.1f}"
    return f"{100 * share.value:.1f} %\n{interval}\n{share.hits:,} of {share.total:,}"
