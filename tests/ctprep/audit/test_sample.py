"""The draw depends on ids and seed alone, and favours nobody."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ctprep.audit.sample import draw_sample

IDS = [f"scan-{number}" for number in range(20)]


@given(st.permutations(IDS))
def test_order_of_rows_does_not_matter(ids: list[str]) -> None:
    """Same ids and seed, same draw in the same order."""
    assert draw_sample(ids, 7, 3) == draw_sample(IDS, 7, 3)


def test_a_larger_draw_begins_with_the_smaller() -> None:
    """Who judges a hundred and then asks for two hundred goes on where he was."""
    assert draw_sample(IDS, 12, 0)[:5] == draw_sample(IDS, 5, 0)


def test_seeds_differ_and_a_short_table_is_drawn_whole() -> None:
    """Another seed is another draw; nothing is drawn twice."""
    assert draw_sample(IDS, 20, 0) != draw_sample(IDS, 20, 1)
    assert sorted(draw_sample(IDS, 99, 0)) == sorted(IDS)


def test_every_report_is_drawn_as_often() -> None:
    """Over 400 seeds each of 20 is drawn 100 times of 5 drawn, give or take five deviations."""
    drawn = Counter(scan for seed in range(400) for scan in draw_sample(IDS, 5, seed))

    assert all(abs(drawn[scan] - 100) < 5 * (400 * 0.25 * 0.75) ** 0.5 for scan in IDS)
