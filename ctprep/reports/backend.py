"""What answers which sentences to keep, and the check of its answers."""

import json
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

MAX_ANSWER_CHARACTERS = 100_000


@runtime_checkable
class Backend(Protocol):
    """Chooses sentences; it never writes text that gets into a report.

    Attributes:
        name: kind of backend, such as `rules`.
        model: model and version.
        prompt_hash: SHA-256 of everything, besides the model, that determines an answer.
    """

    name: str
    model: str
    prompt_hash: str

    def answer(self, reports: Sequence[Sequence[str]]) -> list[str]:
        """Answer for each report with the numbers of the sentences to keep.

        Args:
            reports: sentences of each report, numbered from 0.

        Returns:
            One answer a report, a JSON list such as `[0, 3]`; it is checked by `parse_answer`.
        """
        ...


def parse_answer(answer: str, count: int) -> tuple[int, ...] | None:
    """Read an answer strictly.

    Args:
        answer: what a backend wrote.
        count: number of sentences it was asked about.

    Returns:
        The sentence numbers in order, or None where the answer is not a list of distinct
        integers from 0 to `count` - 1.
    """
    if len(answer) > MAX_ANSWER_CHARACTERS:
        return None
    try:
        numbers = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    if not isinstance(numbers, list):
        return None
    # JSON's true would pass as 1.
    valid = all(type(number) is int and 0 <= number < count for number in numbers)
    if not valid or len(set(numbers)) != len(numbers):
        return None
    return tuple(sorted(numbers))
