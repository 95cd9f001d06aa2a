"""The paper's metrics of one abnormality, for one sample or for many resamples at once.

A resample is a row of weights, how often each scan was drawn, so that a bootstrap of a thousand
resamples costs a few matrix products. Missing labels are NaN and count as not drawn.
"""

import numpy as np
from jaxtyping import Bool, Float64

Column = Float64[np.ndarray, " scan"]
Weights = Float64[np.ndarray, "resample scan"]
Values = Float64[np.ndarray, " resample"]


def once(scans: int) -> Weights:
    """Weigh every scan alike: the sample itself.

    Args:
        scans: how many.

    Returns:
        One row of ones.
    """
    return np.ones((1, scans))


def auroc(scores: Column, labels: Column, weights: Weights) -> Values:
    """Area under the receiver operating characteristic, ties counting one half.

    Args:
        scores: higher means rather present; finite.
        labels: 1 present, 0 absent, NaN missing.
        weights: how often each scan was drawn.

    Returns:
        Between 0 and 1; NaN where a resample holds one class only.

    Source:
        CT-Lite (arXiv 2605.00448), equations (21) and (22).
    """
    known = ~np.isnan(labels)
    order = np.argsort(scores[known], kind="stable")
    ordered = scores[known][order]
    if not ordered.size:
        return np.full(len(weights), np.nan)
    is_positive = labels[known][order] == 1
    drawn = weights[:, known][:, order]
    first_of_ties = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    positives = np.add.reduceat(drawn * is_positive, first_of_ties, axis=1)
    negatives = np.add.reduceat(drawn * ~is_positive, first_of_ties, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives
    won = (positives * (below + negatives / 2)).sum(axis=1)
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    return _ratio(won, pairs, empty=np.nan)


def weighted_f1(is_present: Bool[np.ndarray, " scan"], labels: Column, weights: Weights) -> Values:
    """F1 of the two classes, present and absent, weighted by their support.

    Args:
        is_present: the decision.
        labels: 1 present, 0 absent, NaN missing.
        weights: how often each scan was drawn.

    Returns:
        Between 0 and 1; NaN where a resample holds no scan.

    Source:
        CT-Lite (arXiv 2605.00448), equation (23); a class that is neither predicted nor there
        has an F1 of 0.
    """
    hits, false_alarms, misses, rejections = _confusion(is_present, labels, weights)
    f1_present = _ratio(2 * hits, 2 * hits + false_alarms + misses, empty=0.0)
    f1_absent = _ratio(2 * rejections, 2 * rejections + false_alarms + misses, empty=0.0)
    present, absent = hits + misses, rejections + false_alarms
    return _ratio(present * f1_present + absent * f1_absent, present + absent, empty=np.nan)


def accuracy(is_present: Bool[np.ndarray, " scan"], labels: Column, weights: Weights) -> Values:
    """Share of right decisions.

    Args:
        is_present: the decision.
        labels: 1 present, 0 absent, NaN missing.
        weights: how often each scan was drawn.

    Returns:
        Between 0 and 1; NaN where a resample holds no scan.

    Source:
        CT-Lite (arXiv 2605.00448), equation (25).
    """
    hits, false_alarms, misses, rejections = _confusion(is_present, labels, weights)
    right = hits + rejections
    return _ratio(right, right + false_alarms + misses, empty=np.nan)


def youden_threshold(scores: Column, labels: Column) -> tuple[float, float]:
    """Find the threshold with the largest J = true positive rate - false positive rate.

    Tried are the midpoints between neighboring distinct scores, one value below and one above
    all; on equal J the highest wins, which calls the fewest scans present.

    Args:
        scores: higher means rather present; finite.
        labels: 1 present, 0 absent, NaN missing.

    Returns:
        The threshold, which a score must exceed to mean present, and its J; both NaN where the
        labels hold one class only.

    Source:
        Youden, Cancer 3 (1950) 32-35; the midpoint rule is this project's, as the paper states
        none.
    """
    known = ~np.isnan(labels)
    is_positive = labels[known] == 1
    n_positive, n_negative = int(is_positive.sum()), int((~is_positive).sum())
    if not n_positive or not n_negative:
        return float("nan"), float("nan")
    distinct, group = np.unique(scores[known], return_inverse=True)
    # From the highest threshold down; whole numbers, so that equal J are equal to the last bit.
    hits = _from_the_top(group[is_positive], len(distinct))
    false_alarms = _from_the_top(group[~is_positive], len(distinct))
    gain = hits * n_negative - false_alarms * n_positive
    best = int(np.argmax(gain))
    return float(_candidates(distinct)[best]), float(gain[best] / (n_positive * n_negative))


def _from_the_top(group: np.ndarray, groups: int) -> np.ndarray:
    counts = np.bincount(group, minlength=groups)[::-1]
    return np.concatenate([[0], np.cumsum(counts)])


def _candidates(distinct: np.ndarray) -> np.ndarray:
    lower, upper = distinct[:-1], distinct[1:]
    middle = lower + (upper - lower) / 2
    # Between neighboring floats there is no middle, and rounding up would lose the upper score.
    middle = np.where(middle < upper, middle, lower)
    return np.concatenate([[distinct[0] - 1], middle, [distinct[-1] + 1]])[::-1]


def _confusion(
    is_present: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Hits, false alarms, misses and correct rejections by resample."""
    positive, negative = labels == 1, labels == 0
    outcomes = np.stack(
        [
            is_present & positive,
            is_present & negative,
            ~is_present & positive,
            ~is_present & negative,
        ],
        axis=1,
    )
    counts = weights @ outcomes.astype(np.float64)
    return counts[:, 0], counts[:, 1], counts[:, 2], counts[:, 3]


def _ratio(part: np.ndarray, whole: np.ndarray, *, empty: float) -> np.ndarray:
    ratio = np.full(part.shape, empty, np.float64)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio
