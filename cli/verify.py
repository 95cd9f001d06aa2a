"""`ctprep verify`: is everything in a store still as it was written?"""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cli.errors import EXIT_REFUSALS, mendable
from cli.options import Json, Scheduler, Verbose, Workers, start_logging
from ctprep.store.machine import count_cores

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ctprep.verify.finding import Finding


def verify(
    store: Annotated[
        str, typer.Argument(help="Store to read again: a folder or s3://bucket/path.")
    ],
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Rebuild the catalog, remove what killed writers have left, and move what is "
            "damaged or unknown into <store>.quarantine beside STORE.",
        ),
    ] = False,
    hifi: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="HIFI",
            help="With --repair of a JPEG store: make lost volumes again from this hi-fi store.",
        ),
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
    verbose: Verbose = 0,
) -> None:
    """Check every byte of a store against its checksums, its metadata and its catalog.

    Exits with 3 when something differs; with --repair, when something is left to do.

    Example: ctprep verify stores/hifi.zarr
    """
    from ctprep.verify.verify import verify_store

    start_logging(verbose)
    with mendable():
        findings = verify_store(
            store,
            repair=repair,
            hifi=hifi,
            workers=workers or count_cores(),
            scheduler=scheduler,
        )
        left = show_findings(findings, as_json)
    if left:
        raise typer.Exit(EXIT_REFUSALS)


def show_findings(findings: "Iterable[Finding]", as_json: bool) -> int:
    """Show what was found and a closing line; give the number of findings that are left.

    Args:
        findings: what the verification yields.
        as_json: one JSON object a finding on standard output, sound volumes too.
    """
    from cli.progress import follow

    counts: dict[str, int] = {}
    left = 0
    for finding in follow(findings, "verify"):
        counts[finding.verdict] = counts.get(finding.verdict, 0) + 1
        left += not finding.settled
        if as_json:
            typer.echo(json.dumps(asdict(finding)))
        elif finding.verdict != "sound":
            typer.echo(_told(finding))
    if not as_json:
        told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
        typer.echo(f"verify: {told or 'no volumes'}")
    return left


def _told(finding: "Finding") -> str:
    about = " ".join([finding.verdict, *([finding.scan_id] if finding.scan_id else [])])
    lines = [f"{about}: {finding.what}"]
    if finding.mended is not None:
        lines.append(f"  mended: {finding.mended}")
    if not finding.settled:
        lines.append(f"  mend:  {finding.mend}")
    return "\n".join(lines)
