"""Paper mode: a rewritten report counts only where each sentence says what one of the source says.

A sentence of the rewrite is taken only if its content words are an unbroken run of those of one
source sentence, so that nothing is invented, moved to another place or joined; negations, doubts
and changes of that sentence must come along. Whatever fails falls back to the source's sentences.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import takewhile

from ctprep.reports.backend import MAX_ANSWER_CHARACTERS
from ctprep.reports.prompt import NOTHING
from ctprep.reports.sentences import split_sentences

_TOKEN = re.compile(
    r"(?P<number>(?:(?<![\w.)])-)?(?:\d+(?:[.,]\d+)?|[.,]\d+))"
    r"(?:[\s-]*(?P<unit>mm|cm|ml|cc|hu|%)(?!\w))?"
    # "Nodule (-)" and "nodule: -" deny.
    r"|(?P<minus>\(\s*-\s*\)|:\s*-(?=\s|$))|(?P<word>[^\W\d_]+\d*)"
    r"|(?P<sign>[?<>\u2264\u2265])|(?P<gap>[,;:()]|\.(?=\s|$))"
)
_GAPS = frozenset(",;:().")


def _read_words(name: str) -> frozenset[str]:
    data = files("ctprep.reports").joinpath("rewrite.toml").read_text(encoding="utf-8")
    return frozenset(tomllib.loads(data)[name])


_GRAMMAR = _read_words("grammar")
_DENIALS = _read_words("denials")
_QUALIFIERS = _read_words("qualifiers")
_CONTRAST = _read_words("contrast")


@dataclass(frozen=True)
class Rewrite:
    """A rewritten report that says nothing new."""

    sentences: tuple[str, ...]
    """As the model wrote them; none where nothing is abnormal."""
    sources: tuple[int, ...]
    """Source sentence of each, from 0."""


def read_rewrite(answer: str, sentences: Sequence[str]) -> Rewrite | None:
    """Align a rewritten report to its source.

    Args:
        answer: what the model wrote.
        sentences: of the source.

    Returns:
        Its sentences with the source of each, or None where one of them has no source, or where
        there are more of them than the source has.
    """
    # Twice the report leaves room for blanks; more is no shorter report.
    if len(answer) > min(MAX_ANSWER_CHARACTERS, 2 * sum(map(len, sentences)) + 100):
        return None
    if answer.strip().rstrip(".") == NOTHING:
        return Rewrite((), ())
    written = [sentence.text for sentence in split_sentences(answer)]
    if not written or len(written) > len(sentences):
        return None
    sources = [find_source(text, sentences) for text in written]
    found = tuple(source for source in sources if source is not None)
    return Rewrite(tuple(written), found) if len(found) == len(written) else None


def find_source(written: str, sentences: Sequence[str]) -> int | None:
    """Find the source sentence that says all that a written sentence says.

    Args:
        written: one sentence of a model.
        sentences: of the source.

    Returns:
        The number of the first such sentence, or None.
    """
    return next(
        (number for number, source in enumerate(sentences) if says_no_more(written, source)), None
    )


def says_no_more(written: str, source: str) -> bool:
    """Tell whether a sentence says a part of its source, and nothing else.

    Args:
        written: one sentence of a model.
        source: one sentence of the report.

    Returns:
        Whether the content words, numbers with their units among them, are an unbroken run of
        the source's, and nothing left out of that run turns what is said.
    """
    tokens = _to_tokens(source)
    run = [token for token in _to_tokens(written) if _is_content(token)]
    if not any(token.isalpha() and token not in _DENIALS | _QUALIFIERS for token in run):
        return False
    places = [place for place, token in enumerate(tokens) if _is_content(token)]
    content = [tokens[place] for place in places]
    return any(
        _keeps_its_sense(tokens, places[start], places[start + len(run) - 1] + 1)
        for start in range(len(content) - len(run) + 1)
        if content[start : start + len(run)] == run
    )


def _keeps_its_sense(tokens: Sequence[str], first: int, stop: int) -> bool:
    """Tell whether what stands before and behind a run can be left out."""
    before, run, behind = tokens[:first], tokens[first:stop], tokens[stop:]
    if not _QUALIFIERS.isdisjoint([*before, *behind]):
        return False
    # A "mass effect" is no mass, and an "aneurysm repair" no aneurysm.
    if behind and _is_content(behind[0]) and not _is_end(behind[0]) and behind[0][0].isalpha():
        return False
    if not _DENIALS.isdisjoint(run):
        # "No mass in the left lung" is not "no mass": a denial keeps its whole clause.
        return not _has_content(_first_clause(behind)) and not _has_content(
            _first_clause(before[::-1])
        )
    return _is_free_of(before) and _is_bounded(behind)


def _is_free_of(before: Sequence[str]) -> bool:
    """Tell whether no denial before a run covers it: only a contrast ends what it covers."""
    denials = [place for place, token in enumerate(before) if token in _DENIALS]
    return not denials or any(_is_end(token) for token in before[denials[-1] :])


def _is_bounded(behind: Sequence[str]) -> bool:
    """Tell whether no denial behind a run covers it.

    "A nodule, no effusion" ends before "no"; "a nodule, mass was not seen" and "nodule: no" do not.
    """
    ends = [place for place, token in enumerate(behind) if _is_end(token)]
    covering = behind[: ends[0]] if ends else behind
    return all(
        token == "without"
        or (
            token == "no"
            and place > 0
            and covering[place - 1] in {",", "and", "with"}
            and _has_content(_first_clause(covering[place + 1 :]))
        )
        for place, token in enumerate(covering)
        if token in _DENIALS
    )


def _first_clause(tokens: Sequence[str]) -> list[str]:
    return list(takewhile(lambda token: token not in _GAPS and not _is_end(token), tokens))


def _has_content(tokens: Sequence[str]) -> bool:
    return any(_is_content(token) for token in tokens)


def _is_content(token: str) -> bool:
    return token not in _GRAMMAR and token not in _GAPS


def _is_end(token: str) -> bool:
    return token == ";" or token in _CONTRAST


def _to_tokens(text: str) -> list[str]:
    """Cut a sentence into words without plural, numbers with their units, and gaps."""
    text = text.lower().replace("n't", " not")
    text = re.sub(r"(?<=\d)\s*[x\u00d7*]\s*(?=\d)", " x ", text)
    # Dictation puts a space into decimals.
    text = re.sub(r"(?<=\d)\.\s+(?=\d)", ".", text)
    return [_to_token(match) for match in _TOKEN.finditer(text)]


def _to_token(match: re.Match[str]) -> str:
    if match["number"]:
        return match["number"].replace(",", ".") + (match["unit"] or "")
    if match["minus"]:
        return "not"
    word = match["word"]
    if not word:
        return match.group()
    # "nodules" and "nodule" are one word; "pus", "thymus" and "mass" have no plural s.
    is_plural = len(word) > 4 and word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return word[:-1] if is_plural and word not in _DENIALS | _QUALIFIERS | _GRAMMAR else word
