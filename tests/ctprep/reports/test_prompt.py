"""What a model wrote around its answer is left out, and what it may write is enough."""

import json

import pytest

from ctprep.reports.backends.prompt import (
    count_answer_tokens,
    drop_thoughts,
    is_unfinished_thought,
    read_reply,
)


@pytest.mark.parametrize(
    "reply",
    [
        "[0, 2]",
        '{"keep": [0, 2]}',
        '```json\n{"keep": [0, 2]}\n```',
        "<think>[1]</think>\n\n```\n[0, 2]\n```",
        "so [1], </think> or [3]?</think>[0, 2]",
        '[THINK]hm[/THINK]{"keep": [0, 2]}',
        "<unused94>thought\nhm<unused95>[0, 2]",
    ],
)
def test_the_answer_in_a_reply(reply: str) -> None:
    """Bare, in an object, fenced, and behind thoughts."""
    assert json.loads(read_reply(reply)) == [0, 2]


@pytest.mark.parametrize(
    "reply",
    ["keep [0]", '{"keep": [0]} or {"keep": [1]}', '{"keep": [0], "drop": [1]}', "<think>[0]"],
)
def test_what_is_no_answer_stays_as_it_is(reply: str) -> None:
    """For `parse_answer` to refuse."""
    assert read_reply(reply) == reply


def test_thoughts() -> None:
    """Ended, not ended, and spoken of."""
    assert drop_thoughts(" <think>a</think> b ") == "b"
    assert is_unfinished_thought("\n<think>a")
    assert not is_unfinished_thought("<think>a</think>b")
    assert not is_unfinished_thought("a <think>")


@pytest.mark.parametrize("count", [1, 9, 10, 99, 100, 400])
def test_the_longest_answer_fits(count: int) -> None:
    """A number a line, digits and signs apart, with three tokens of white space each."""
    digits = sum(len(str(number)) for number in range(count))
    needed = digits + 4 * count + len('{"keep":[]}')

    assert count_answer_tokens(["a"] * count, "extractive") >= needed
