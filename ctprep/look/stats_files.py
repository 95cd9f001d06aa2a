"""The files of `ctprep stats`: tables as CSV, and pictures of them."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np

from ctprep.look.corpus_stats import CorpusStats, LabelCount, ValueHistogram
from ctprep.look.plotting import check_plotting, encode_png, new_figure
from ctprep.store.disk import write_atomically

HISTOGRAM_BINS = 128
SHOWN_HU = (-1100, 1100)


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
        heads = ("label", "split", "positive", "negative", "missing")
        files["class_distribution.csv"] = _csv(heads, map(astuple, stats.labels))
        files["class_distribution.png"] = draw_classes(stats.labels)
    for name, content in files.items():
        write_atomically(out / name, content)
    return [out / name for name in files]


def draw_classes(labels: Sequence[LabelCount]) -> bytes:
    """Draw how many scans have each label, a bar a split.

    Args:
        labels: a row a label and split.

    Returns:
        A PNG file.

    Source:
        CT-Lite (arXiv 2605.00448), Figure 3.
    """
    check_plotting()
    from matplotlib.ticker import MaxNLocator  # late: an extra, and slow to import

    names = list(dict.fromkeys(row.label for row in labels))
    splits = list(dict.fromkeys(row.split for row in labels))
    figure = new_figure(9.0, 1.2 + 0.28 * len(names) * max(1, len(splits) * 0.6))
    axes = figure.subplots()
    height = 0.8 / len(splits)
    for number, split in enumerate(splits):
        rows = [row for row in labels if row.split == split]
        places = np.arange(len(names)) + (number - (len(splits) - 1) / 2) * height
        bars = axes.barh(places, [row.positive for row in rows], height, label=split)
        axes.bar_label(bars, [_share(row) for row in rows], padding=2, fontsize=6)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("scans with the abnormality, and their share of those with a label")
    axes.legend(title="split")
    return encode_png(figure)


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


def _share(row: LabelCount) -> str:
    known = row.positive + row.negative
    return f"{row.positive:,} ({row.positive / known:.0%})" if known else "no labels"


def _filled(histogram: ValueHistogram) -> Iterable[tuple[int, int]]:
    filled = np.flatnonzero(histogram.counts)
    return zip(histogram.values[filled].tolist(), histogram.counts[filled].tolist(), strict=True)


def _csv(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(rows)
    return buffer.getvalue().encode()
