"""From the scores of all scans to thresholds, metrics and their intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from ctlite.evaluate.bootstrap import patient_resamples, percentile_interval
from ctlite.evaluate.metrics import accuracy, auroc, once, weighted_f1, youden_threshold
from ctlite.evaluate.scores import Interval, LabelScores, LevelScores
from ctprep.store.errors import TableError

METRICS = ("auroc", "weighted_f1", "accuracy")
FEWEST_PATIENTS = 5
"""With a label, and without it, that its intervals need: drawing one patient again and again tells
nothing of others, and the interval of a single one would be the value itself."""


@dataclass(frozen=True)
class Sample:
    """The scores and labels of some scans."""

    scan_ids: tuple[str, ...]
    patients: tuple[str, ...]
    scores: Float64[np.ndarray, "scan label"]
    labels: Float64[np.ndarray, "scan label"]
    """1 present, 0 absent, NaN missing."""


def by_study(sample: Sample, studies: Mapping[str, str]) -> Sample:
    """Put the reconstructions of a study together: one score, the mean of theirs.

    Args:
        sample: reconstructions.
        studies: study of every reconstruction.

    Returns:
        Studies, in the order of their first reconstruction.

    Raises:
        TableError: reconstructions of one study differ in their labels or patient.
    """
    members: dict[str, list[int]] = {}
    for row, scan_id in enumerate(sample.scan_ids):
        members.setdefault(studies[scan_id], []).append(row)
    for rows in members.values():
        labels = sample.labels[rows]
        alike = np.array_equal(labels, np.broadcast_to(labels[0], labels.shape), equal_nan=True)
        if not alike or len({sample.patients[row] for row in rows}) > 1:
            raise TableError(
                f"scans {sample.scan_ids[rows[0]]} and others are of one study, but differ in "
                "label or patient",
                mend="correct study_id in the scan table, or the label table",
            )
    firsts = [rows[0] for rows in members.values()]
    return Sample(
        scan_ids=tuple(members),
        patients=tuple(sample.patients[row] for row in firsts),
        scores=np.stack([sample.scores[rows].mean(axis=0) for rows in members.values()]),
        labels=sample.labels[firsts],
    )


def choose_thresholds(sample: Sample) -> Float64[np.ndarray, " label"]:
    """Choose Youden's threshold of every label.

    Args:
        sample: the tuning scans.

    Returns:
        The thresholds; NaN where the sample holds one class only.
    """
    columns = zip(sample.scores.T, sample.labels.T, strict=True)
    return np.array([youden_threshold(scores, labels)[0] for scores, labels in columns])


def summarize(
    sample: Sample,
    names: Sequence[str],
    thresholds: Float64[np.ndarray, " label"],
    *,
    resamples: int,
    seed: int,
) -> LevelScores:
    """Compute all metrics of the test scans, with intervals.

    A label that has one class only, or no threshold, is left out of the means and says so. In a
    resample that happens to hold one class of a label, its AUROC is left out of that mean. A label
    that fewer than `FEWEST_PATIENTS` have present, or absent, has no intervals, and where no label
    has any, neither have the means.

    Args:
        sample: the test scans.
        names: of the labels.
        thresholds: of the labels, chosen elsewhere.
        resamples: bootstrap samples.
        seed: of the bootstrap.

    Returns:
        The metrics per label and their means.

    Source:
        CT-Lite (arXiv 2605.00448), equations (21) to (25).
    """
    drawn = patient_resamples(sample.patients, resamples=resamples, seed=seed)
    weights = np.concatenate([once(len(sample.scan_ids)), drawn])
    values: dict[str, list[np.ndarray]] = {name: [] for name in METRICS}
    labels = {}
    for column, name in enumerate(names):
        scores, truth = sample.scores[:, column], sample.labels[:, column]
        left_out = _reason(truth, thresholds[column])
        if left_out is None:
            is_present = scores > thresholds[column]
            own = {
                "auroc": auroc(scores, truth, weights),
                "weighted_f1": weighted_f1(is_present, truth, weights),
                "accuracy": accuracy(is_present, truth, weights),
            }
        else:
            own = {metric: np.full(len(weights), np.nan) for metric in METRICS}
            own["auroc"] = auroc(scores, truth, weights)
        for metric in METRICS:
            if left_out is None:
                values[metric].append(own[metric])
        few = _too_few(truth, sample.patients)
        labels[name] = LabelScores(
            **{metric: _interval(own[metric], is_given=few is None) for metric in METRICS},
            threshold=None if np.isnan(thresholds[column]) else float(thresholds[column]),
            positives=int((truth == 1).sum()),
            negatives=int((truth == 0).sum()),
            missing=int(np.isnan(truth).sum()),
            left_out=left_out,
            no_interval=few,
        )
    is_told = any(row.left_out is None and row.no_interval is None for row in labels.values())
    return LevelScores(
        units=len(sample.scan_ids),
        patients=len(set(sample.patients)),
        labels=labels,
        **{
            metric: _interval(_mean(values[metric], len(weights)), is_given=is_told)
            for metric in METRICS
        },
    )


def _reason(truth: np.ndarray, threshold: float) -> str | None:
    for name, value in (("present", 1), ("absent", 0)):
        if not (truth == value).any():
            return f"no test scan has it {name}"
    if np.isnan(threshold):
        return "the tuning scans hold one class only"
    return None


def _too_few(truth: np.ndarray, patients: Sequence[str]) -> str | None:
    for name, value in (("present", 1), ("absent", 0)):
        count = len(set(np.asarray(patients)[truth == value].tolist()))
        if count < FEWEST_PATIENTS:
            return f"{count} of at least {FEWEST_PATIENTS} patients have it {name}"
    return None


def _mean(columns: list[np.ndarray], rows: int) -> np.ndarray:
    if not columns:
        return np.full(rows, np.nan)
    stacked = np.stack(columns)
    known = ~np.isnan(stacked)
    total = np.where(known, stacked, 0).sum(axis=0)
    counts = known.sum(axis=0)
    mean = np.full(rows, np.nan)
    np.divide(total, counts, out=mean, where=counts > 0)
    return mean


def _interval(values: np.ndarray, *, is_given: bool) -> Interval:
    """The first value is that of the sample itself, the others are resamples."""
    nan = float("nan")
    ends = percentile_interval(values[1:]) if is_given else (nan, nan)
    return Interval.of(float(values[0]), ends)
