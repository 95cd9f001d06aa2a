"""Asking a backend: answers from the cache first, a wrong one asked for once more, then none."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from ctprep.reports.backends.backend import Backend, ChatBackend, parse_answer
from ctprep.reports.backends.cache import AnswerCache, RewriteCache, answer_key
from ctprep.reports.rewriting.rewrite import Rewrite, read_rewrite

T = TypeVar("T")
Question = Sequence[str]
"""Sentences of one report."""
Replies = Iterable[Mapping[int, str]]
"""Some at a time, by the position of their question."""


def ask_numbers(
    questions: Sequence[Question], backend: Backend, cache: AnswerCache
) -> list[tuple[int, ...] | None]:
    """Ask which sentences to keep.

    Args:
        questions: of each report.
        backend: who is asked.
        cache: answers already given; gets the new ones as they come.

    Returns:
        The numbers for each report; None where the backend failed twice.
    """

    def find(key: str, question: Question) -> tuple[int, ...] | None:
        # A report without sentences needs no answer.
        if not question:
            return ()
        cached = cache.get(key)
        return None if cached is None else parse_answer(json.dumps(cached), len(question))

    def ask(open_: Sequence[Question], wrong: Sequence[str] | None) -> Replies:
        if isinstance(backend, ChatBackend):
            return backend.chat("extractive", open_, wrong)
        replies = backend.answer(open_)
        # Fewer replies than questions: which is whose cannot be known.
        return [dict(enumerate(replies))] if len(replies) == len(open_) else []

    def read(reply: str, question: Question) -> tuple[int, ...] | None:
        return parse_answer(reply, len(question))

    def save(fresh: Sequence[tuple[str, str, tuple[int, ...]]]) -> None:
        cache.add((key, answer) for key, _, answer in fresh)

    return _ask_twice(questions, backend, find, ask, read, save)


def ask_rewrites(
    questions: Sequence[Question], backend: ChatBackend, cache: RewriteCache
) -> list[Rewrite | None]:
    """Ask for reports without what is normal in them.

    Args:
        questions: of each report.
        backend: who is asked.
        cache: rewrites already given; gets the new ones as they come.

    Returns:
        The rewrite of each report; None where the backend failed twice.
    """

    def find(key: str, question: Question) -> Rewrite | None:
        if not question:
            return Rewrite((), ())
        cached = cache.get(key)
        return None if cached is None else read_rewrite(cached, question)

    def ask(open_: Sequence[Question], wrong: Sequence[str] | None) -> Replies:
        return backend.chat("generative", open_, wrong)

    def save(fresh: Sequence[tuple[str, str, Rewrite]]) -> None:
        cache.add((key, reply) for key, reply, _ in fresh)

    return _ask_twice(questions, backend, find, ask, read_rewrite, save)


def _ask_twice(
    questions: Sequence[Question],
    backend: Backend,
    find: Callable[[str, Question], T | None],
    ask: Callable[[Sequence[Question], Sequence[str] | None], Replies],
    read: Callable[[str, Question], T | None],
    save: Callable[[Sequence[tuple[str, str, T]]], None],
) -> list[T | None]:
    keys = [answer_key(question, backend) for question in questions]
    # Reconstructions of one scan share their report, which is asked about once.
    distinct = dict(zip(keys, questions, strict=True))
    answers = {key: find(key, question) for key, question in distinct.items()}
    wrong: dict[str, str] = {}
    for attempt in range(2):
        open_ = [key for key, answer in answers.items() if answer is None]
        if not open_:
            break
        told = [wrong.get(key, "") for key in open_] if attempt else None
        for replies in ask([distinct[key] for key in open_], told):
            fresh = []
            for place, reply in replies.items():
                key = open_[place]
                answers[key] = answer = read(reply, distinct[key])
                if answer is None:
                    wrong[key] = reply
                else:
                    fresh.append((key, reply, answer))
            save(fresh)
    return [answers[key] for key in keys]
