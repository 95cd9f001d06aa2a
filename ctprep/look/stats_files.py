"""The files of `ctprep stats`: tables as CSV, and pictures of them."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Literal

import numpy as np

from ctprep.look.corpus_stats import (
    ALL,
    UNLISTED,
    CorpusStats,
    LabelCount,
    SplitCount,
    ValueHistogram,
)
from ctprep.look.plotting import check_plotting, encode_figure, encode_png, new_figure
from ctprep.store.disk import write_together
from ctprep.store.outputs import check_outputs

HISTOGRAM_BINS = 128
PAPER_DPI = 300
MOST_PIXELS = 12_000
"""Along the higher side of a picture."""
COLORS = {ALL: "0.35", "train": "#0072B2", "tune": "#E69F00", "test": "#009E73", UNLISTED: "0.65"}
"""Of the splits, told apart by the color-blind and in gray."""
SHOWN_HU = (-1100, 1100)


FILES = (
    *("corpus.csv", "splits.csv", "histogram.csv", "histogram.png"),
    *("class_distribution.csv", "class_distribution.png", "class_distribution.pdf"),
)


def check_out(out: Path, *inputs: Path | None) -> None:
    """Refuse a folder that cannot take the files, before the store is read.

    Raises:
        TableError: a file would replace one of the inputs.
        PlaceError: the folder does not take one.
        CtError: matplotlib is absent.
    """
    check_plotting()
    check_outputs(*(out / name for name in FILES), inputs=inputs)


def write_stats(stats: CorpusStats, out: Path) -> list[Path]:
    """Write tables and pictures, in place of what is there.

    Args:
        stats: of a corpus.
        out: folder; it is made.

    Returns:
        The files.

    Raises:
        CtError: matplotlib is absent.
    """
    check_plotting()
    files = {
        "corpus.csv": _csv(("field", "value", "scans"), map(astuple, stats.values)),
        "splits.csv": _csv(("split", "scans", "patients"), map(astuple, stats.splits)),
        "histogram.csv": _csv(("value", "voxels"), _filled(stats.histogram)),
        "histogram.png": draw_histogram(stats.histogram),
    }
    if stats.labels:
        heads = ("label", "split", "positive", "negative", "missing", "patients")
        files["class_distribution.csv"] = _csv(heads, map(astuple, stats.labels))
        files["class_distribution.png"] = draw_classes(stats.labels, stats.splits)
        files["class_distribution.pdf"] = draw_classes(stats.labels, stats.splits, format="pdf")
    placed = {out / name: content for name, content in files.items()}
    write_together(placed)
    return list(placed)


def draw_classes(
    labels: Sequence[LabelCount],
    splits: Sequence[SplitCount],
    *,
    format: Literal["png", "pdf"] = "png",
) -> bytes:
    """Draw how large a share of the scans has each label, a bar a split.

    Splits differ in size, so that the bars are shares; the counts stand beside them. The most
    frequent label comes first.

    Args:
        labels: a row a label and split.
        splits: how large each is.
        format: of the file; `pdf` can be scaled.

    Source:
        CT-Lite (arXiv 2605.00448), Figure 3.
    """
    row_of = {(row.label, row.split): row for row in labels}
    names = sorted(
        dict.fromkeys(row.label for row in labels),
        key=lambda name: -sum(row.positive for row in labels if row.label == name),
    )
    row_inches = 0.13 * len(splits) + 0.08
    inches = 1.1 + row_inches * len(names)
    # Hundreds of labels make a picture that no longer can be drawn at the resolution of print.
    dpi = max(1, min(PAPER_DPI, int(MOST_PIXELS / inches)))
    figure = new_figure(7.0, inches, dpi=dpi)
    axes = figure.subplots()
    height = 0.84 / len(splits)
    for number, split in enumerate(splits):
        rows = [row_of[name, split.split] for name in names]
        places = np.arange(len(names)) + (number - (len(splits) - 1) / 2) * height
        told = f"{split.split}: {_many(split.scans, 'scan')}, {_many(split.patients, 'patient')}"
        color = COLORS[split.split]
        bars = axes.barh(places, [_percent(row) for row in rows], height, label=told, color=color)
        axes.bar_label(bars, [_counts(row) for row in rows], padding=2, fontsize=6)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    axes.margins(x=0.18)
    axes.set_xlim(0, max(1, axes.get_xlim()[1]))
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(
        "% of labelled scans; beside each bar: positive of labelled scans (positive patients)",
        fontsize=8,
    )
    figure.legend(loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    return encode_figure(figure, format)


def draw_histogram(histogram: ValueHistogram) -> bytes:
    """Draw which HU, or gray levels, the sampled scans hold.

    Args:
        histogram: of a corpus.

    Returns:
        A PNG file.
    """
    figure = new_figure(8.0, 4.0)
    axes = figure.subplots()
    low, high = SHOWN_HU if histogram.kind == "hifi" else (0, 256)
    total = max(1, int(histogram.counts.sum()))
    axes.hist(
        histogram.values,
        bins=HISTOGRAM_BINS,
        range=(low, high),
        weights=histogram.counts / total * 100,
        color="0.3",
    )
    axes.set_xlabel("HU" if histogram.kind == "hifi" else "gray level")
    axes.set_ylabel("% of the voxels")
    axes.set_title(f"{len(histogram.scan_ids)} scans, without padding")
    return encode_png(figure)


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _percent(row: LabelCount) -> float:
    return 100 * row.positive / max(1, row.positive + row.negative)


def _counts(row: LabelCount) -> str:
    known = row.positive + row.negative
    return f"{row.positive:,} of {known:,} ({row.patients:,})" if known else "no labels"


def _filled(histogram: ValueHistogram) -> Iterable[tuple[int, int]]:
    filled = np.flatnonzero(histogram.counts)
    return zip(histogram.values[filled].tolist(), histogram.counts[filled].tolist(), strict=True)


def _csv(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(rows)
    return buffer.getvalue().encode()
