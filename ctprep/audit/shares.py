"""Shares with intervals that know that the sentences of one report resemble each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

Z_95 = 1.959964
"""Standard deviations on either side that hold 95 % of a normal distribution."""


FEWEST_REPORTS = 10
"""That tell how far reports differ; of fewer no interval is given, as it would be too narrow."""


@dataclass(frozen=True)
class Share:
    """A share with its 95 % interval.

    There are no numbers where there is nothing to count, and no interval where fewer than
    `FEWEST_REPORTS` reports have something to count.
    """

    hits: int
    total: int
    value: float | None
    low: float | None
    high: float | None


def estimate_share(reports: Sequence[tuple[int, int]]) -> Share:
    """Estimate a share of sentences from reports that were drawn whole.

    Args:
        reports: of each, its hits and its total.

    Source:
        E. B. Wilson, J. Am. Stat. Assoc. 22, 1927, with the number of sentences divided by the
        design effect (L. Kish, Survey Sampling, 1965): the variance of the ratio over clusters,
        over that of as many sentences drawn singly. An effect below 1 is taken as 1, and so is
        that of a share of 0 or 1, which has none.
    """
    hits, total = (sum(column) for column in zip(*reports, strict=True)) if reports else (0, 0)
    if not total:
        return Share(0, 0, None, None, None)
    if sum(size > 0 for _, size in reports) < FEWEST_REPORTS:
        return Share(hits, total, hits / total, None, None)
    low, high = wilson_interval(hits / total, total / _design_effect(reports, hits, total))
    return Share(hits, total, hits / total, low, high)


def _design_effect(reports: Sequence[tuple[int, int]], hits: int, total: int) -> float:
    clusters = [report for report in reports if report[1]]
    share = hits / total
    if share in (0, 1):
        return 1.0
    spread = sum((part - share * size) ** 2 for part, size in clusters)
    variance = len(clusters) / (len(clusters) - 1) * spread / total**2
    return max(1.0, variance / (share * (1 - share) / total))


def wilson_interval(share: float, total: float) -> tuple[float, float]:
    """Give the 95 % interval of a share of `total` independent things."""
    squared = Z_95**2 / total
    center = (share + squared / 2) / (1 + squared)
    half = Z_95 / (1 + squared) * sqrt(share * (1 - share) / total + squared / (4 * total))
    return max(0.0, center - half), min(1.0, center + half)
