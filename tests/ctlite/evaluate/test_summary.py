"""Thresholds, means and what is left out of them."""

import numpy as np
import pytest

from ctlite.evaluate.summary import Sample, by_study, choose_thresholds, summarize
from ctprep.store.errors import TableError

NAMES = ["clear", "constant", "partly"]
SAMPLE = Sample(
    scan_ids=("a1", "a2", "b", "c"),
    patients=("a", "a", "b", "c"),
    scores=np.array([[0.9, 1, 0.1], [0.7, 1, 0.3], [0.2, 1, 0.2], [0.1, 1, 0.9]]),
    labels=np.array([[1, 1, 0], [1, 1, 0], [0, 1, 1], [0, 1, np.nan]]),
)


def test_thresholds_are_per_label() -> None:
    """By hand: between 0.2 and 0.7; none for one class; midway below 0.2 or above all."""
    thresholds = choose_thresholds(SAMPLE)

    np.testing.assert_allclose(thresholds, [0.45, np.nan, 0.15])


def test_what_has_one_class_is_left_out_and_named() -> None:
    """The mean is over the two other labels: AUROC (1 + 0.5) / 2."""
    found = summarize(SAMPLE, NAMES, np.array([0.45, 0.5, 0.15]), resamples=50, seed=0)

    assert found.auroc.value == 0.75
    assert found.accuracy.value == pytest.approx((1 + 2 / 3) / 2)
    assert (found.units, found.patients) == (4, 3)
    assert found.labels["constant"].left_out == "no test scan has it absent"
    assert found.labels["constant"].auroc.value is None
    assert found.labels["partly"].missing == 1
    told = found.labels["clear"]
    assert (told.auroc.value, told.auroc.low, told.accuracy.low) == (1, None, None)
    assert told.no_interval == "1 of at least 5 patients have it present"
    assert (found.auroc.low, found.accuracy.low) == (None, None)


@pytest.mark.parametrize(("ill", "well", "why"), [(4, 9, "present"), (9, 4, "absent"), (5, 5, "")])
def test_few_patients_have_no_interval(ill: int, well: int, why: str) -> None:
    """Scans of one patient are one: of a single ill patient, AUROC would be 1.000 for certain."""
    patients = tuple(str(number) for number in range(ill + well) for _ in range(2))
    labels = np.array([float(int(patient) < ill) for patient in patients])
    scores = labels + np.linspace(0, 1.5, len(patients))
    sample = Sample(
        scan_ids=tuple(map(str, range(len(patients)))),
        patients=patients,
        scores=np.stack([scores, scores], axis=1),
        labels=np.stack([labels, np.arange(len(patients)) % 2], axis=1),
    )

    found = summarize(sample, ["few", "many"], np.array([1.0, 1.0]), resamples=50, seed=0)

    assert (found.labels["few"].auroc.low is None) == bool(why)
    assert found.labels["few"].no_interval == (
        f"4 of at least 5 patients have it {why}" if why else None
    )
    assert found.labels["many"].no_interval is None
    assert found.auroc.low is not None


def test_a_label_without_a_threshold_is_left_out_of_every_mean() -> None:
    """Its AUROC is told, but means over different labels would not go together."""
    found = summarize(SAMPLE, NAMES, np.array([0.45, np.nan, np.nan]), resamples=9, seed=0)

    assert found.labels["partly"].left_out == "the tuning scans hold one class only"
    assert found.labels["partly"].auroc.value == 0.5
    assert found.labels["partly"].threshold is None
    assert found.auroc.value == 1


def test_nothing_left_is_no_value() -> None:
    """With every label left out there is no mean, and no warning."""
    found = summarize(SAMPLE, NAMES, np.full(3, np.nan), resamples=9, seed=0)

    assert found.auroc.value is None
    assert found.weighted_f1.low is None


def test_studies_have_the_mean_of_their_reconstructions() -> None:
    """By hand: (0.9 + 0.7) / 2."""
    studies = {"a1": "A", "a2": "A", "b": "B", "c": "C"}

    found = by_study(SAMPLE, studies)

    assert found.scan_ids == ("A", "B", "C")
    np.testing.assert_allclose(found.scores[:, 0], [0.8, 0.2, 0.1])
    np.testing.assert_array_equal(found.labels, SAMPLE.labels[[0, 2, 3]])
    with pytest.raises(TableError, match="scans b and others are of one study"):
        by_study(SAMPLE, studies | {"c": "B"})
