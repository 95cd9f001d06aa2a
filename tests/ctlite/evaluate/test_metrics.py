"""Metrics equal equations (21) to (25), the golden values and scikit-learn."""

from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics as oracle
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load_file

from ctlite.evaluate.metrics import accuracy, auroc, once, weighted_f1, youden_threshold

# Quarters make ties; 40 values of them leave room for distinct ones.
columns = st.integers(2, 40).flatmap(
    lambda n: st.tuples(
        arrays(np.float64, n, elements=st.integers(-20, 20).map(lambda v: v / 4)),
        arrays(np.float64, n, elements=st.sampled_from([0.0, 1.0])),
        arrays(np.int64, n, elements=st.integers(0, 3)),
    )
)


def test_golden(golden: Path) -> None:
    """Every column and mean to 1e-10."""
    want = load_file(golden / "metrics.safetensors")
    found: dict[str, list[float]] = {name: [] for name in want}
    for scores, labels in zip(want["scores"].T, want["labels"].T.astype(float), strict=True):
        threshold, j = youden_threshold(scores, labels)
        ones = once(len(scores))
        found["threshold"].append(threshold)
        found["youden_j"].append(j)
        found["auroc"].append(float(auroc(scores, labels, ones)[0]))
        found["weighted_f1"].append(float(weighted_f1(scores > threshold, labels, ones)[0]))
        found["accuracy"].append(float(accuracy(scores > threshold, labels, ones)[0]))

    for name in ("threshold", "youden_j", "auroc", "weighted_f1", "accuracy"):
        np.testing.assert_allclose(found[name], want[name], atol=1e-10, rtol=0)
        if f"{name}_mean" in want:
            np.testing.assert_allclose(np.mean(found[name]), want[f"{name}_mean"], atol=1e-10)


def test_ties_count_one_half() -> None:
    """By hand from (22): of four pairs one is won, one tied, two lost."""
    scores, labels = np.array([1.0, 3, 3, 4]), np.array([1.0, 1, 0, 0])

    assert auroc(scores, labels, once(4)).tolist() == [0.125]
    assert auroc(np.array([1.0, 3, 3, 0]), labels, once(4)).tolist() == [0.625]


@given(columns)
def test_like_scikit_learn(sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """AUROC, weighted F1 and accuracy, in the sample and in a resample of it."""
    scores, labels, times = sample
    weights = np.stack([np.ones(len(scores)), times.astype(float)])
    is_present = scores > 0
    found = [
        auroc(scores, labels, weights),
        weighted_f1(is_present, labels, weights),
        accuracy(is_present, labels, weights),
    ]

    for row, drawn in enumerate(weights.astype(int)):
        truth, decision = np.repeat(labels, drawn), np.repeat(is_present, drawn)
        if len(np.unique(truth)) < 2:
            assert np.isnan(found[0][row])
            continue
        want = (
            oracle.roc_auc_score(truth, np.repeat(scores, drawn)),
            oracle.f1_score(truth, decision, average="weighted", zero_division=0),
            oracle.accuracy_score(truth, decision),
        )
        np.testing.assert_allclose([values[row] for values in found], want, atol=1e-10)


@given(columns)
def test_youden_is_the_best_of_all_thresholds(
    sample: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """No other threshold has a larger J, and no higher one has the same."""
    scores, labels, _ = sample
    threshold, best = youden_threshold(scores, labels)
    if len(np.unique(labels)) < 2:
        assert np.isnan([threshold, best]).all()
        return

    def j(tried: float) -> float:
        above = scores > tried
        return float(above[labels == 1].mean() - above[labels == 0].mean())

    assert j(threshold) == pytest.approx(best, abs=1e-12)
    assert not np.isin(threshold, scores)
    for tried in np.r_[scores.min() - 1, scores + 0.1, scores.max() + 1]:
        assert j(tried) <= best + 1e-12
        assert tried <= threshold + 0.25 or j(tried) < best - 1e-12


def test_youden_between_neighboring_floats() -> None:
    """Where no float lies between two scores, the upper one still exceeds the threshold."""
    low = 1.0
    high = float(np.nextafter(low, 2))

    threshold, j = youden_threshold(np.array([low, high]), np.array([0.0, 1.0]))

    assert low <= threshold < high
    assert j == 1


def test_missing_labels_are_masked() -> None:
    """A scan without a label changes nothing, whatever its score."""
    scores, labels = np.array([0.1, 0.4, 0.3, 0.8]), np.array([0.0, 1, 0, 1])
    more_scores, more_labels = np.r_[scores, 9.0, -9.0], np.r_[labels, np.nan, np.nan]

    assert youden_threshold(more_scores, more_labels) == youden_threshold(scores, labels)
    for metric in (weighted_f1, accuracy):
        assert metric(more_scores > 0.35, more_labels, once(6)) == metric(
            scores > 0.35, labels, once(4)
        )
    assert auroc(more_scores, more_labels, once(6)) == auroc(scores, labels, once(4))
    assert np.isnan(auroc(scores, np.full(4, np.nan), once(4)))
    assert np.isnan(accuracy(scores > 0, np.full(4, np.nan), once(4)))
