"""An answer counts only if it is a list of distinct sentence numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctprep.reports.backends.backend import parse_answer


@pytest.mark.parametrize(("answer", "numbers"), [("[]", ()), ("[2, 0]", (0, 2)), (" [1]\n", (1,))])
def test_valid_answers(answer: str, numbers: tuple[int, ...]) -> None:
    """They come sorted."""
    assert parse_answer(answer, 3) == numbers


@pytest.mark.parametrize(
    "answer",
    ["", "[3]", "[-1]", "[0, 0]", "[true]", "[1.0]", '["0"]', "{}", "0", "keep 0", "[" * 5000],
)
def test_invalid_answers(answer: str) -> None:
    """Out of range, repeated, not a number, not a list, not JSON, too deep."""
    assert parse_answer(answer, 3) is None


@given(st.text(max_size=30), st.integers(0, 5))
def test_any_answer_is_safe(answer: str, count: int) -> None:
    """Whatever a model writes, the numbers are sentences."""
    numbers = parse_answer(answer, count)

    assert numbers is None or all(0 <= number < count for number in numbers)
