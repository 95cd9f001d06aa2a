"""Intervals: Wilson's by hand, wider where the sentences of a report resemble each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctprep.audit.shares import estimate_share, wilson_interval


def test_wilson_by_hand() -> None:
    """Of 8 in 10: z 1.96, so z^2/n = 0.384146; (0.8 + 0.192073) / 1.384146 = 0.716740.

    And 1.959964 / 1.384146 * sqrt(0.8 * 0.2 / 10 + 0.384146 / 40) = 0.226578.
    """
    assert wilson_interval(0.8, 10.0) == pytest.approx((0.490162, 0.943318), abs=2e-6)


def test_sentences_of_single_reports_are_independent() -> None:
    """A sentence a report has no design effect but that of n / (n - 1): 10 / 9 of the variance."""
    found = estimate_share([(1, 1)] * 8 + [(0, 1)] * 2)

    assert (found.hits, found.total, found.value) == (8, 10, 0.8)
    assert (found.low, found.high) == pytest.approx(wilson_interval(0.8, 9.0))


def test_reports_that_are_wrong_as_a_whole_widen_the_interval() -> None:
    """Ten times the same sentence in each of 10 reports tell as much as 10 sentences do."""
    whole = estimate_share([(10, 10)] * 8 + [(0, 10)] * 2)

    assert (whole.low, whole.high) == pytest.approx(wilson_interval(0.8, 9.0))
    assert whole.total == 100


def test_too_few_reports_have_no_interval() -> None:
    """Many sentences of one report tell nothing of the next; one without sentences is none."""
    for reports in ([(40, 50)], [(1, 1)] * 9, [(4, 5)] * 9 + [(0, 0)] * 20):
        found = estimate_share(reports)

        assert found.value is not None
        assert (found.low, found.high) == (None, None)
    assert estimate_share([(1, 1)] * 10).low is not None


def test_nothing_to_count() -> None:
    """Has no share."""
    assert estimate_share([]).value is None
    assert estimate_share([(0, 0)]).low is None


@given(
    st.lists(
        st.integers(0, 9).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=10
    )
)
def test_the_interval_holds_the_share(reports: list[tuple[int, int]]) -> None:
    """Within 0 and 1, and never narrower than of as many single sentences."""
    found = estimate_share(reports)

    if sum(size > 0 for _, size in reports) >= 10:
        assert found.value is not None
        assert found.low is not None
        assert found.high is not None
        low, high = wilson_interval(found.value, float(found.total))
        assert 0 <= found.low <= low + 1e-12
        assert high - 1e-12 <= found.high <= 1
        assert found.low <= found.value + 1e-12
        assert found.value <= found.high + 1e-12
