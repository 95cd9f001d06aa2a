"""Answers already given, so that a filter that was stopped goes on where it was."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from ctprep.reports.backends.backend import Backend
from ctprep.store.disk import writing
from ctprep.store.errors import PlaceError


def answer_key(sentences: Sequence[str], backend: Backend) -> str:
    """Hash of everything that determines an answer.

    Args:
        sentences: of one report, in order.
        backend: who is asked.

    Returns:
        SHA-256 in hexadecimal.
    """
    question = [list(sentences), backend.name, backend.model, backend.prompt_hash]
    return hashlib.sha256(json.dumps(question).encode("utf-8")).hexdigest()


class JsonCache:
    """A file of JSON values by key, a line each.

    Lines are only ever added, so a killed run costs its last line at most.

    Args:
        path: file to read, and to append to.

    Raises:
        PlaceError: it is there, and cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._values: dict[str, object] = {}
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            text = ""
        except OSError as error:
            raise PlaceError(
                f"the answers of an earlier run cannot be read: {error.strerror}",
                mend="make it a file that can be read and written, or move it away to ask again",
                where=path.name,
            ) from error
        for line in text.splitlines():
            self._read_line(line)

    def _read_line(self, line: str) -> None:
        try:
            key, value = json.loads(line)
        except (ValueError, TypeError, RecursionError):
            return
        if isinstance(key, str):
            self._values[key] = value

    def get(self, key: str) -> object:
        """Give the value of a key, or None."""
        return self._values.get(key)

    def add(self, values: Iterable[tuple[str, object]]) -> None:
        """Keep values, on disk before this returns.

        Raises:
            PlaceError: the disk does not take them.
        """
        fresh = dict(values)
        if not fresh:
            return
        self._values.update(fresh)
        # A line cut short by a kill must not swallow the next.
        lines = "".join(f"\n{json.dumps([key, value])}" for key, value in fresh.items())
        with writing(self.path.name):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(lines)


class AnswerCache:
    """Sentence numbers by key; the file holds no report text.

    Args:
        path: file to read, and to append to.
    """

    def __init__(self, path: Path) -> None:
        self._cache = JsonCache(path)

    def get(self, key: str) -> tuple[int, ...] | None:
        """Give the answer of a key, or None."""
        numbers = self._cache.get(key)
        # A damaged answer is none: what is left of it would be another one.
        if not isinstance(numbers, list | tuple) or any(type(n) is not int for n in numbers):
            return None
        return tuple(numbers)

    def add(self, answers: Iterable[tuple[str, tuple[int, ...]]]) -> None:
        """Keep answers, on disk before this returns.

        Raises:
            PlaceError: the disk does not take them.
        """
        self._cache.add(answers)


class RewriteCache:
    """Rewritten reports by key; unlike the answers, they are report text.

    Args:
        path: file to read, and to append to.
    """

    def __init__(self, path: Path) -> None:
        self._cache = JsonCache(path)

    def get(self, key: str) -> str | None:
        """Give the rewritten report of a key, or None."""
        text = self._cache.get(key)
        return text if isinstance(text, str) else None

    def add(self, rewrites: Iterable[tuple[str, str]]) -> None:
        """Keep rewritten reports, on disk before this returns.

        Raises:
            PlaceError: the disk does not take them.
        """
        self._cache.add(rewrites)
