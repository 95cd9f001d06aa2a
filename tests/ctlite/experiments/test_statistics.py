"""Means, intervals and curves as one works them out by hand."""

import pytest
from scipy.stats import t

from ctlite.experiments.statistics import (
    log_area,
    mean_interval,
    paired_difference,
    steps_to_reach,
    t_quantile,
)


@pytest.mark.parametrize("degrees", [*range(1, 31), 31, 40, 100, 1000])
def test_quantiles_are_students(degrees: int) -> None:
    """The table and the expansion behind it agree with scipy."""
    assert t_quantile(degrees) == pytest.approx(t.ppf(0.975, degrees), abs=5e-4)


def test_an_interval_by_hand() -> None:
    """1, 2, 3, 4: mean 2.5, deviation 1.29099, standard error 0.64550, times 3.1824."""
    mean = mean_interval([1.0, 2.0, 3.0, 4.0])

    assert mean.value == 2.5
    assert mean.count == 4
    assert mean.low == pytest.approx(2.5 - 2.05423, abs=1e-4)
    assert mean.high == pytest.approx(2.5 + 2.05423, abs=1e-4)


def test_one_value_has_no_interval() -> None:
    """Nothing is known of its spread."""
    assert mean_interval([0.7]).low is None
    assert mean_interval([0.7]).high is None


def test_pairs_take_the_spread_of_seeds_out() -> None:
    """Seeds differ by 10, the arms by 1, 2 and 3: mean 2, deviation 1, times 4.3027 / sqrt(3)."""
    difference = paired_difference([11.0, 22.0, 33.0], [10.0, 20.0, 30.0])

    assert difference.value == 2
    assert difference.high == pytest.approx(2 + 4.3027 / 3**0.5, abs=1e-4)


def test_a_single_reference_stands_against_every_seed() -> None:
    """A teacher has one value."""
    assert paired_difference([3.0, 5.0], [1.0]).value == 3
    with pytest.raises(ValueError, match="zip"):
        paired_difference([3.0, 5.0, 7.0], [1.0, 2.0])


def test_area_of_a_curve_by_hand() -> None:
    """Logarithms 0, -1, -1 at steps 0, 10, 30: -5 and -20, over 30 steps."""
    assert log_area([0, 10, 30], [1.0, 0.1, 0.1]) == pytest.approx(-25 / 30)
    assert log_area([5], [0.01]) == pytest.approx(-2)


@pytest.mark.parametrize(
    ("level", "step"), [(4.0, 15.0), (10.0, 0.0), (2.0, 20.0), (1.0, None), (7.0, 7.5)]
)
def test_where_a_level_is_reached(level: float, step: float | None) -> None:
    """On the line between 10, 6 and 2 at steps 0, 10 and 20."""
    assert steps_to_reach([0, 10, 20], [10.0, 6.0, 2.0], level) == step
