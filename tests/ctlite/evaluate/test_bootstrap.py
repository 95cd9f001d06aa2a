"""The bootstrap draws patients, repeats itself, and is fast enough to be used."""

import time

import numpy as np
import pytest

from ctlite.evaluate.bootstrap import patient_resamples, percentile_interval
from ctlite.evaluate.summary import Sample, summarize


def test_scans_of_a_patient_are_drawn_together() -> None:
    """Every resample holds as many patients as there are, each with all scans."""
    patients = ["b", "a", "b", "c"]

    times = patient_resamples(patients, resamples=200, seed=1)

    np.testing.assert_array_equal(times[:, 0], times[:, 2])
    np.testing.assert_array_equal(times[:, [0, 1, 3]].sum(axis=1), 3)
    assert len(np.unique(times, axis=0)) > 5


def test_draws_are_seeded() -> None:
    """The same seed, the same resamples."""
    patients = [str(index) for index in range(9)]
    first = patient_resamples(patients, resamples=9, seed=1)

    np.testing.assert_array_equal(patient_resamples(patients, resamples=9, seed=1), first)
    assert not np.array_equal(patient_resamples(patients, resamples=9, seed=2), first)


def test_percentiles_leave_out_what_has_no_value() -> None:
    """By hand: of 0..200, the middle 95 % run from 5 to 195."""
    values = np.r_[np.arange(201.0), np.nan]

    assert percentile_interval(values) == pytest.approx((5, 195))
    assert np.isnan(percentile_interval(np.array([np.nan]))).all()


def test_intervals_cover_what_they_should() -> None:
    """About 95 % of samples from a population of AUROC 0.76 have it in their interval."""
    random = np.random.default_rng(0)
    truth = 0.7602
    covered = 0
    for _ in range(60):
        labels = (np.arange(120) % 2).astype(float)[:, None]
        sample = Sample(
            scan_ids=tuple(map(str, range(120))),
            patients=tuple(map(str, range(120))),
            scores=random.normal(labels, 1.0),
            labels=labels,
        )
        found = summarize(sample, ["x"], np.array([0.5]), resamples=200, seed=0).auroc
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= truth <= found.high

    assert 51 <= covered <= 60


def test_a_thousand_resamples_take_a_second() -> None:
    """12 labels of 300 scans: the whole summary, on one core."""
    random = np.random.default_rng(0)
    scans = tuple(map(str, range(300)))
    sample = Sample(
        scans, scans, random.normal(size=(300, 12)), random.integers(0, 2, (300, 12)).astype(float)
    )
    start = time.process_time()

    summarize(sample, list("abcdefghijkl"), np.zeros(12), resamples=1000, seed=0)

    assert time.process_time() - start < 5
