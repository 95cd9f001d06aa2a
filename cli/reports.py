"""`ctprep filter-reports`: radiologists' reports to a table of what is abnormal."""

import json
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.errors import EXIT_REFUSALS, mendable
from cli.items import count_results, tell_counts
from cli.options import Json, Verbose, start_logging


def filter_reports(
    reports: Annotated[Path, typer.Argument(help="CSV or Parquet, a report a row.")],
    table: Annotated[Path, typer.Argument(help="Parquet table to write.")],
    backend: Annotated[
        str,
        typer.Option(
            help="Who decides which sentences stay: rules; transformers, a language model on this "
            "machine; openai, one on a server."
        ),
    ] = "rules",
    model: Annotated[
        str | None,
        typer.Option(
            help="Language model: google/medgemma-4b-it or another name, downloaded before, or a "
            "folder; for openai, the server's name of it."
        ),
    ] = None,
    mode: Annotated[
        Literal["extractive", "generative"],
        typer.Option(
            help="extractive keeps sentences; generative, as in the paper, has the model write "
            "the report again, and falls back where that says more than the report."
        ),
    ] = "extractive",
    keep_identifiers: Annotated[
        bool,
        typer.Option(
            "--keep-identifiers",
            help="Leave names, dates, ages above 89, numbers and addresses in the texts.",
        ),
    ] = False,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="transformers: reports at once. [default: 8]")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="openai: address of the server, http://localhost:8000/v1.")
    ] = None,
    key_variable: Annotated[
        str | None,
        typer.Option(
            help="openai: environment variable that holds the key. [default: OPENAI_API_KEY]"
        ),
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=256, help="openai: questions at once. [default: 8]")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(min=0.1, help="openai: seconds that an answer may take. [default: 120]"),
    ] = None,
    scans: Annotated[
        Path | None, typer.Option(help="CSV of scans; reports of others are left out.")
    ] = None,
    language: Annotated[
        str, typer.Option(help="Word lists: english, or a TOML file (docs/reports.md).")
    ] = "english",
    as_json: Json = False,
    verbose: Verbose = 0,
) -> None:
    """Keep the sentences of each report that tell something abnormal.

    Extractive: the result consists of the report's own sentences. Run it again after a stop, and
    no answer is asked for twice. docs/report_backends.md tells of language models and of what
    is not found among names.

    Example: ctprep filter-reports reports.csv reports.parquet
    """
    from cli.progress import follow
    from ctprep.reports import filter as report_filter
    from ctprep.reports.backends.build import ModelOptions, build_backend
    from ctprep.store.tables import read_raw_reports

    start_logging(verbose)
    with mendable():
        report_filter.check_paths(reports, table, scan_table=scans)
        raw = read_raw_reports(reports)
        options = ModelOptions(model, batch_size, base_url, key_variable, concurrency, timeout)
        results = report_filter.filter_reports(
            reports,
            table,
            raw=raw,
            backend=build_backend(backend, options, language=language),
            mode=mode,
            keep_identifiers=keep_identifiers,
            scan_table=scans,
            language=language,
        )
        counts = {"filtered": 0, "unlisted": 0, "refused": 0}
        removed: dict[str, int] = {}
        flags: dict[str, int] = {}
        kept = sentences = 0
        begin = time.monotonic()
        followed = follow(results, "filter-reports", len(raw))
        for result in count_results(followed, counts):
            kept += len(result.kept_sentences)
            sentences += result.sentence_count
            _add(removed, result.removed)
            _add(flags, dict.fromkeys(result.flags, 1))
        rate = sum(counts.values()) / max(time.monotonic() - begin, 1e-9)
        if as_json:
            told = {"sentences": sentences, "kept": kept, "flags": flags, "removed": removed}
            typer.echo(json.dumps({**counts, **told}))
        else:
            typer.echo(
                f"filter-reports: {tell_counts(counts)}; {kept} of {sentences} sentences kept; "
                f"{rate:.1f} reports a second"
            )
            for what, some in (("flags", flags), ("taken out", removed)):
                if some:
                    typer.echo(f"  {what}: {tell_counts(some)}")
    if counts["refused"]:
        raise typer.Exit(EXIT_REFUSALS)


def _add(counts: dict[str, int], more: dict[str, int]) -> None:
    for name, count in more.items():
        counts[name] = counts.get(name, 0) + count
