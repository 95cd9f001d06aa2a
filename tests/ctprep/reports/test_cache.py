"""Answers outlive the run, and only the same question gets them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ctprep.reports.backends.cache import AnswerCache, answer_key
from ctprep.store.errors import PlaceError


class Named:
    """A backend that is never asked."""

    def __init__(self, name: str = "n", model: str = "m", prompt_hash: str = "p") -> None:
        self.name, self.model, self.prompt_hash = name, model, prompt_hash

    def answer(self, reports: Sequence[Sequence[str]]) -> list[str]:
        """Refuse."""
        raise NotImplementedError


def test_answers_outlive_the_run(tmp_path: Path) -> None:
    """Written by one, read by the next."""
    path = tmp_path / "answers.jsonl"
    AnswerCache(path).add([("k", (0, 2))])
    AnswerCache(path).add([("l", ())])

    cache = AnswerCache(path)

    assert (cache.get("k"), cache.get("l"), cache.get("m")) == ((0, 2), (), None)


def test_a_line_cut_short_costs_only_itself(tmp_path: Path) -> None:
    """A kill in the middle of a line, and then going on."""
    path = tmp_path / "answers.jsonl"
    AnswerCache(path).add([("k", (0,)), ("l", (1,))])
    path.write_text(path.read_text()[:-3])

    AnswerCache(path).add([("m", (2,))])
    cache = AnswerCache(path)

    assert (cache.get("k"), cache.get("l"), cache.get("m")) == ((0,), None, (2,))


def test_garbage_is_no_answer(tmp_path: Path) -> None:
    """Lines of another shape are passed over."""
    path = tmp_path / "answers.jsonl"
    path.write_text('5\n[1]\n{"a": 1}\n[[1], [2]]\nnull\n["k", [3]]\n')

    assert AnswerCache(path).get("k") == (3,)


def test_a_damaged_answer_is_none(tmp_path: Path) -> None:
    """What is left of it would be another answer; lines too deep to read are passed over."""
    path = tmp_path / "answers.jsonl"
    path.write_text('["k", [3, "4"]]\n["l", [true]]\n' + "[" * 100_000 + '\n["m", [5]]\n')
    cache = AnswerCache(path)

    assert [cache.get(key) for key in "klm"] == [None, None, (5,)]


def test_a_cache_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A folder in its place."""
    (tmp_path / "answers.jsonl").mkdir()

    with pytest.raises(PlaceError, match="cannot be read: Is a directory") as caught:
        AnswerCache(tmp_path / "answers.jsonl")
    assert caught.value.where == "answers.jsonl"


def test_two_runs_write_into_one_file(tmp_path: Path) -> None:
    """Their answers stand one after the other, and the next run has all."""
    path = tmp_path / "answers.jsonl"
    caches = [AnswerCache(path), AnswerCache(path)]

    def write(run: int) -> None:
        for number in range(100):
            caches[run].add([(f"{run}-{number}", (number,))])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(2)))

    cache = AnswerCache(path)
    assert all(cache.get(f"{run}-{n}") == (n,) for run in range(2) for n in range(100))


def test_the_key_holds_all_that_determines_an_answer() -> None:
    """Another sentence, model, prompt or backend, or another cut of the text, is another key."""
    keys = {
        answer_key(["a", "b"], Named()),
        answer_key(["ab"], Named()),
        answer_key(["b", "a"], Named()),
        answer_key(["a", "b"], Named(name="x")),
        answer_key(["a", "b"], Named(model="x")),
        answer_key(["a", "b"], Named(prompt_hash="x")),
    }

    assert len(keys) == 6
    assert answer_key(("a", "b"), Named()) in keys
