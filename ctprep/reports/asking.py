"""Asking a backend: answers from the cache first, a wrong one asked for once more, then none."""

import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from ctprep.reports.backend import Backend, ChatBackend, parse_answer
from ctprep.reports.cache import AnswerCache, RewriteCache, answer_key
from ctprep.reports.rewrite import Rewrite, read_rewrite

T = TypeVar("T")
Question = Sequence[str]
"""Sentences of one report."""


def ask_numbers(
    questions: Sequence[Question], backend: Backend, cache: AnswerCache
) -> list[tuple[int, ...] | None]:
    """Ask which sentences to keep.

    Args:
        questions: of each report.
        backend: who is asked.
        cache: answers already given; gets the new ones.

    Returns:
        The numbers for each report; None where the backend failed twice.
    """
    keys = [answer_key(question, backend) for question in questions]
    # A report without sentences needs no answer.
    known = [
        ()
        if not question
        else None
        if (cached := cache.get(key)) is None
        else parse_answer(json.dumps(cached), len(question))
        for key, question in zip(keys, questions, strict=True)
    ]

    def ask(open_: Sequence[Question], wrong: Sequence[str] | None) -> list[str]:
        if wrong is not None and isinstance(backend, ChatBackend):
            return backend.chat("extractive", open_, wrong)
        return backend.answer(open_)

    def read(reply: str, question: Question) -> tuple[int, ...] | None:
        return parse_answer(reply, len(question))

    def keep(number: int, _: str, answer: tuple[int, ...]) -> None:
        fresh.append((keys[number], answer))

    fresh: list[tuple[str, tuple[int, ...]]] = []
    return _ask_twice(questions, known, ask, read, keep, lambda: cache.add(fresh))


def ask_rewrites(
    questions: Sequence[Question], backend: ChatBackend, cache: RewriteCache
) -> list[Rewrite | None]:
    """Ask for reports without what is normal in them.

    Args:
        questions: of each report.
        backend: who is asked.
        cache: rewrites already given; gets the new ones.

    Returns:
        The rewrite of each report; None where the backend failed twice.
    """
    keys = [answer_key(question, backend) for question in questions]
    known = [
        Rewrite((), ())
        if not question
        else None
        if (cached := cache.get(key)) is None
        else read_rewrite(cached, question)
        for key, question in zip(keys, questions, strict=True)
    ]

    def ask(open_: Sequence[Question], wrong: Sequence[str] | None) -> list[str]:
        return backend.chat("generative", open_, wrong)

    def keep(number: int, reply: str, _: Rewrite) -> None:
        fresh.append((keys[number], reply))

    fresh: list[tuple[str, str]] = []
    return _ask_twice(questions, known, ask, read_rewrite, keep, lambda: cache.add(fresh))


def _ask_twice(
    questions: Sequence[Question],
    known: Sequence[T | None],
    ask: Callable[[Sequence[Question], Sequence[str] | None], list[str]],
    read: Callable[[str, Question], T | None],
    keep: Callable[[int, str, T], None],
    save: Callable[[], None],
) -> list[T | None]:
    answers = list(known)
    wrong: dict[int, str] = {}
    for attempt in range(2):
        open_ = [number for number, answer in enumerate(answers) if answer is None]
        if not open_:
            break
        told = [wrong.get(number, "") for number in open_] if attempt else None
        replies = ask([questions[number] for number in open_], told)
        # Fewer replies than questions: which is whose cannot be known.
        if len(replies) != len(open_):
            continue
        for number, reply in zip(open_, replies, strict=True):
            answer = read(reply, questions[number])
            answers[number] = answer
            if answer is None:
                wrong[number] = reply
            else:
                keep(number, reply, answer)
        save()
    return answers
