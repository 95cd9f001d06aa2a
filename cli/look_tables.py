"""How sources and stores are told: a few tables for people, one JSON object for machines."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from pathlib import Path

    from ctprep.doctor.check import Check
    from ctprep.look.corpus_stats import CorpusStats, LabelCount
    from ctprep.look.inspection import FileDetails, Kind, SourceSummary
    from ctprep.look.store_summary import StoreSummary

WIDTH = 120
"""Of a table that goes to a file or a pipe."""
KINDS_SHOWN = 12
VALUES_SHOWN = 8
UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def show_source(summary: "SourceSummary", details: "FileDetails | None", *, as_json: bool) -> None:
    """Tell what lies in a source.

    Args:
        summary: of the source.
        details: of its one scan, where it is a single file.
        as_json: one JSON object instead of tables.
    """
    if as_json:
        row = {"is": "source", **asdict(summary)}
        if details is not None:
            row["scan"] = {**asdict(details), "acquisition": dict(details.acquisition)}
        typer.echo(json.dumps(row))
        return
    facts = [
        ("files", f"{summary.files:,}"),
        ("candidate volumes", f"{summary.candidates:,} of {summary.patients:,} patients"),
        ("mended to be found", f"{summary.mended:,}"),
        *((f"warned: {verdict}", f"{count:,}") for verdict, count in summary.verdicts.items()),
        ("memory of the largest", tell_bytes(summary.largest_peak_bytes)),
        ("fit in memory at once", f"{summary.at_once:,}"),
        (f"hi-fi store on {summary.grid}", f"about {tell_bytes(summary.hifi_bytes)}"),
        ("JPEG store, quality 90", f"about {tell_bytes(summary.jpeg_bytes)}"),
    ]
    print_table("source", ("", ""), facts)
    if summary.kinds:
        rows = [_kind_row(kind) for kind in summary.kinds[:KINDS_SHOWN]]
        heads = ("format", "shape", "spacing mm", "axes", "volumes")
        print_table("candidates (slice, row, column)", heads, rows)
        _tell_rest(len(summary.kinds), "samplings")
    if summary.refusals:
        rows = [
            (group.verdict, f"{group.files:,}", group.example, group.what)
            for group in summary.refusals
        ]
        print_table("refusals", ("verdict", "files", "for example", "reason"), rows)
    if details is not None:
        _show_details(details)


def show_store(summary: "StoreSummary", *, as_json: bool) -> None:
    """Tell what is in a store.

    Args:
        summary: of the store.
        as_json: one JSON object instead of tables.
    """
    if as_json:
        row = asdict(summary)
        row["attributes"] = summary.attributes.model_dump(mode="json")
        typer.echo(json.dumps({"is": "store", **row}))
        return
    print_table("store", ("", ""), [*_parameter_rows(summary), *_volume_rows(summary)])
    counted = {
        "format": summary.formats,
        "HU": summary.hu_decisions,
        "verdict": summary.verdicts,
        "mend": summary.mends,
    }
    rows = [
        (what, name, f"{n:,}") for what, counts in counted.items() for name, n in counts.items()
    ]
    if rows:
        print_table("counts", ("what", "", "volumes"), rows)
    if summary.damaged:
        typer.echo(
            f"{len(summary.damaged)} volumes cannot be read, such as {summary.damaged[0]}\n"
            "  mend:  ingest or compress again; they are replaced"
        )


def show_checks(checks: "Sequence[Check]") -> None:
    """Tell what works here, and how to mend what does not.

    Args:
        checks: in the order in which they were made.
    """
    rows = [
        (
            check.group,
            check.name,
            check.status,
            check.detail if not check.mend else f"{check.detail}\nmend: {check.mend}",
        )
        for check in checks
    ]
    print_table("doctor", ("", "what", "status", "detail"), rows)
    failing = [check.name for check in checks if check.required and check.status != "ok"]
    told = (
        f"these do not work, and are needed: {', '.join(failing)}"
        if failing
        else ("all that preparing needs works here")
    )
    typer.echo(told)


def show_stats(stats: "CorpusStats", files: "Sequence[Path]", *, as_json: bool) -> None:
    """Tell what a corpus consists of.

    Args:
        stats: of the corpus.
        files: that were written.
        as_json: one JSON object instead of tables.
    """
    histogram = stats.histogram
    if as_json:
        row = asdict(stats)
        row["histogram"] = {
            "scan_ids": histogram.scan_ids,
            "unreadable": histogram.unreadable,
            "percentiles": histogram.percentiles(),
        }
        typer.echo(json.dumps({**row, "files": [str(path) for path in files]}))
        return
    rows = [(count.split, f"{count.scans:,}", f"{count.patients:,}") for count in stats.splits]
    print_table("splits", ("split", "scans", "patients"), rows)
    if stats.gone:
        typer.echo(f"{stats.gone:,} rows of the scan table are of scans that are not in the store")
    if stats.labels:
        _show_labels(stats)
    values = _most_common(stats)
    print_table("sampling and scanners", ("field", "value", "scans"), values)
    percentiles = [(name, f"{value}") for name, value in histogram.percentiles().items()]
    unit = "HU" if histogram.kind == "hifi" else "gray level"
    title = f"percentiles of {len(histogram.scan_ids)} scans"
    print_table(title, ("voxels below", unit), percentiles)
    if histogram.unreadable:
        typer.echo(f"damaged, not counted: {', '.join(histogram.unreadable)}")
    for path in files:
        typer.echo(f"wrote {path}")


def _show_labels(stats: "CorpusStats") -> None:
    heads = ("label", "split", "positive", "share", "patients", "negative", "missing")
    rows = [
        (
            *(row.label, row.split, f"{row.positive:,}", _share(row)),
            *(f"{count:,}" for count in (row.patients, row.negative, row.missing)),
        )
        for row in stats.labels
    ]
    print_table("class distribution", heads, rows)
    if stats.unlabeled or stats.absent:
        typer.echo(
            f"{stats.unlabeled:,} scans of the store have no row of labels; "
            f"{stats.absent:,} rows of labels are of scans that are not in the store"
        )


def _share(row: "LabelCount") -> str:
    known = row.positive + row.negative
    return f"{100 * row.positive / known:.1f} %" if known else "no labels"


def _most_common(stats: "CorpusStats") -> list[tuple[str, str, str]]:
    rows: list[tuple[str, str, str]] = []
    for field in dict.fromkeys(count.field for count in stats.values):
        counts = [count for count in stats.values if count.field == field]
        rows += [(field, count.value, f"{count.scans:,}") for count in counts[:VALUES_SHOWN]]
        rest = counts[VALUES_SHOWN:]
        if rest:
            scans = sum(count.scans for count in rest)
            rows.append((field, f"{len(rest):,} others", f"{scans:,}"))
    return rows


def print_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; as wide as the terminal, or 120 characters elsewhere.

    Args:
        title: above it.
        heads: of the columns; all empty for none.
        rows: as many cells each; not read as markup, since names may hold brackets.
    """
    from rich.text import Text

    table = Table(title=title, title_justify="left", show_header=any(heads))
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(table)


def tell_bytes(nbytes: int) -> str:
    """Tell a size in the unit that suits it, a kB being 1000 bytes."""
    size = float(nbytes)
    for unit in UNITS[:-1]:
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} {UNITS[-1]}"


def _kind_row(kind: "Kind") -> tuple[str, ...]:
    unknown = "not in the header"
    shape = unknown if kind.shape is None else " x ".join(map(str, kind.shape))
    spacing = unknown if kind.spacing_mm is None else " x ".join(f"{n:g}" for n in kind.spacing_mm)
    return kind.format, shape, spacing, kind.axis_codes or unknown, f"{kind.count:,}"


def _tell_rest(number: int, what: str) -> None:
    if number > KINDS_SHOWN:
        typer.echo(f"and {number - KINDS_SHOWN:,} more {what}; --json tells all")


def _show_details(details: "FileDetails") -> None:
    if details.refusal:
        typer.echo(f"reading it is refused: {details.refusal}")
        return
    rows = [
        ("HU", details.hu_decision),
        ("HU at 1, 50, 99 %", ", ".join(map(str, details.hu_percentiles))),
        *((name, f"{value}") for name, value in details.acquisition),
        *(("verdict", verdict) for verdict in details.verdicts),
        *(("mend", mend) for mend in details.mends),
    ]
    print_table("the scan, as read", ("", ""), rows)


def _parameter_rows(summary: "StoreSummary") -> list[tuple[str, str]]:
    attributes = summary.attributes
    grid, window = attributes.grid, attributes.window
    shape, spacing = (" x ".join(f"{n:g}" for n in n3) for n3 in (grid.shape, grid.spacing_mm))
    rows = [
        ("kind", f"{attributes.kind}, format version {attributes.format_version}"),
        ("grid", f"{grid.name}: {shape} voxels of {spacing} mm, axes {attributes.orientation}"),
        ("HU range", "{} to {}".format(*attributes.hu_range)),
    ]
    if window is not None:
        rows += [
            ("window", f"center {window.center_hu:g}, width {window.width_hu:g} HU"),
            ("JPEG", f"quality {attributes.quality}, {attributes.encode_at} slices"),
            ("encoder", attributes.encoder or "not recorded"),
        ]
    versions = ", ".join(f"{name} {version}" for name, version in attributes.versions.items())
    return [*rows, ("made with", versions or "not recorded")]


def _volume_rows(summary: "StoreSummary") -> list[tuple[str, str]]:
    size = "the catalog would tell" if summary.nbytes is None else tell_bytes(summary.nbytes)
    rows = [
        ("volumes", f"{summary.volumes:,} of {summary.patients:,} patients"),
        ("size", size),
        ("catalog", summary.catalog),
    ]
    if summary.mean_ratio is not None and summary.mean_ssim is not None:
        psnr = "none" if summary.mean_psnr_db is None else f"{summary.mean_psnr_db:.2f} dB"
        rows += [
            ("times smaller, mean", f"{summary.mean_ratio:.1f}"),
            ("PSNR, mean", f"{psnr}; {summary.exact:,} volumes came back exactly"),
            ("SSIM, mean", f"{summary.mean_ssim:.4f}"),
        ]
    return rows
