"""What answers which sentences to keep, and the check of its answers."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from ctprep.reports.backends.prompt import Mode

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


@runtime_checkable
class ChatBackend(Backend, Protocol):
    """A language model, which can be told of a wrong answer, and can write reports again.

    Attributes:
        chunk: how many reports to ask about at a time.
    """

    chunk: int

    def chat(
        self, mode: Mode, reports: Sequence[Sequence[str]], wrong: Sequence[str] | None = None
    ) -> Iterator[Mapping[int, str]]:
        """Ask about each report.

        Args:
            mode: for numbers of sentences, or for the report again without what is normal.
            reports: sentences of each report.
            wrong: what was answered before about each, where that was not valid.

        Yields:
            Answers by the position of their report, some at a time, as they come; each is saved
            before the next is waited for. Empty where the model cannot take the report.

        Raises:
            BackendError: the model cannot be used at all.
        """
        ...


def in_order(replies: Iterable[Mapping[int, str]], count: int) -> list[str]:
    """Wait for all answers of a chat, and give them in the order of the reports.

    Args:
        replies: as `ChatBackend.chat` yields them.
        count: of the reports.
    """
    answers = [""] * count
    for some in replies:
        for place, answer in some.items():
            answers[place] = answer
    return answers


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
