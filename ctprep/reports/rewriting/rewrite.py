"""Paper mode: a rewritten report counts only where each sentence says what one of the source says.

A sentence of the rewrite is taken only if it is its source's, or an unbroken run of its words that
begins and ends with a clause, in which nothing is invented, moved to another place or joined. What
is left out of the source sentence has to be known as harmless, and what it points to has to come
along. Whatever fails falls back to the source's sentences.
"""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise

from ctprep.reports.backends.backend import MAX_ANSWER_CHARACTERS
from ctprep.reports.backends.prompt import NOTHING
from ctprep.reports.reading.language import read_rules
from ctprep.reports.reading.sentences import split_sentences
from ctprep.reports.rewriting.tokens import Token, normalize, to_tokens

_GAPS = frozenset(",;:().")


@dataclass(frozen=True)
class Words:
    """Lists of words, as `rewrite.toml` tells what they are for."""

    free: frozenset[str]
    links: frozenset[str]
    pointers: frozenset[str]
    counted: frozenset[str]
    denials: frozenset[str]
    qualifiers: frozenset[str]
    contrast: frozenset[str]
    modifiers: frozenset[str]
    harmless: frozenset[str]
    """May be left out: anatomy, measures and plain findings."""
    neutral: frozenset[str]
    """Of those, what is no finding."""


@lru_cache
def read_words() -> Words:
    """Read the lists of words."""
    data = files("ctprep.reports.rewriting").joinpath("rewrite.toml").read_text(encoding="utf-8")
    lists = {name: frozenset(words) for name, words in tomllib.loads(data).items()}
    turning = lists["denials"] | lists["qualifiers"] | lists["pointers"]
    neutral = _stems(read_rules().neutral) - turning
    return Words(
        free=lists["free"],
        links=lists["links"],
        pointers=lists["pointers"],
        counted=lists["counted"],
        denials=lists["denials"],
        qualifiers=lists["qualifiers"],
        contrast=lists["contrast"],
        modifiers=lists["modifiers"],
        harmless=neutral | (_stems(lists["plain"]) - turning) | lists["modifiers"],
        neutral=neutral | lists["modifiers"],
    )


def _stems(words: Iterable[str]) -> frozenset[str]:
    return frozenset(token.word for word in words for token in to_tokens(word))


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
        Its sentences with the source of each, or None where one of them has no source or lost what
        it points to, or where there are more of them than the source has.
    """
    # Twice the report leaves room for blanks; more is no shorter report.
    if len(answer) > min(MAX_ANSWER_CHARACTERS, 2 * sum(map(len, sentences)) + 100):
        return None
    if answer.strip().rstrip(".") == NOTHING:
        return Rewrite((), ())
    written = [sentence.text for sentence in split_sentences(answer)]
    if not written or len(written) > len(sentences):
        return None
    found: list[int] = []
    for number, text in enumerate(written):
        before = found[-1] if number else -1
        # What is said twice has to be said twice.
        repeats = sum(normalize(text) == normalize(other) for other in written[:number])
        source = _find_next(text, sentences, before, repeats)
        if source is None:
            return None
        found.append(source)
    return Rewrite(tuple(written), tuple(found))


def _find_next(text: str, sentences: Sequence[str], before: int, repeats: int) -> int | None:
    """Find the source of a sentence that stands behind one taken from another."""
    sources = [number for number, source in enumerate(sentences) if says_no_more(text, source)]
    for number in sources[repeats:]:
        points_back = number > 0 and _points_back(sentences[number])
        if not points_back or before in (number - 1, number):
            return number
    return None


def _points_back(sentence: str) -> bool:
    """Tell whether the subject of a sentence is in the one before."""
    words = read_words()
    tokens = to_tokens(sentence)
    for token, following in pairwise(tokens):
        if token.word in words.pointers:
            return True
        if token.word in words.counted and following.word in words.free:
            return True
        # What a later word points to stands mostly in the sentence.
        if _is_content(token, words) and token.word not in words.counted | words.modifiers:
            return False
    return False


def says_no_more(written: str, source: str) -> bool:
    """Tell whether a sentence says a part of its source, and nothing else.

    Args:
        written: one sentence of a model.
        source: one sentence of the report.

    Returns:
        Whether it is the source, or an unbroken run of its words, numbers with their units and
        what joins the words among them, and nothing left out of that run turns what is said.
    """
    words = read_words()
    is_same = normalize(written) == normalize(source)
    tokens, parts = to_tokens(source), to_tokens(written)
    if is_same:
        return any(_is_content(token, words) for token in parts)
    # Letters of other scripts look like Latin ones.
    if tokens[:1] == [Token.foreign()] or parts[:1] == [Token.foreign()]:
        return False
    run = [place for place, token in enumerate(parts) if _is_content(token, words)]
    if not _is_finding([parts[place] for place in run], words):
        return False
    # "Nodule in the" ends too early.
    outside = [*parts[: run[0]], *parts[run[-1] + 1 :]]
    if any(token.word not in words.free | _GAPS for token in outside):
        return False
    places = [place for place, token in enumerate(tokens) if _is_content(token, words)]
    return any(
        _is_run(parts, run, tokens, places[start : start + len(run)], words)
        and _keeps_its_sense(tokens, places[start], places[start + len(run) - 1] + 1, words)
        for start in range(len(places) - len(run) + 1)
    )


def _is_finding(run: Sequence[Token], words: Words) -> bool:
    """Tell whether there is more than anatomy, numbers and doubt."""
    nothing = words.neutral | words.denials | words.qualifiers | words.pointers
    return any(token.word.isalpha() and token.word not in nothing for token in run) or (
        any(token.word in words.denials | words.qualifiers for token in run)
        and any(token.word.isalpha() and token.word in words.neutral for token in run)
    )


def _is_run(
    parts: Sequence[Token],
    run: Sequence[int],
    tokens: Sequence[Token],
    places: Sequence[int],
    words: Words,
) -> bool:
    """Tell whether words are those at some places, joined as there."""
    return all(
        parts[mine].is_part_of(tokens[theirs]) for mine, theirs in zip(run, places, strict=True)
    ) and _joints(parts, run, words) == _joints(tokens, places, words)


def _joints(tokens: Sequence[Token], places: Sequence[int], words: Words) -> list[tuple[str, ...]]:
    """Give what stands between each two of some words: gaps and links."""
    joints = []
    for first, second in pairwise(places):
        between = [t.word for t in tokens[first + 1 : second] if t.word not in words.free]
        # "A nodule of 5 mm", "a nodule measuring 5 mm"; but not "of of 5 mm".
        if tokens[second].is_number and "of" in between:
            between.remove("of")
        joints.append(tuple(between))
    return joints


def _keeps_its_sense(tokens: Sequence[Token], first: int, stop: int, words: Words) -> bool:
    """Tell whether what stands before and behind a run can be left out."""
    before = [token.word for token in tokens[:first]]
    run = [token.word for token in tokens[first:stop]]
    behind = [token.word for token in tokens[stop:]]
    if not words.qualifiers.isdisjoint([*before, *behind]):
        return False
    if not (_is_left_out(before[::-1], words) and _is_left_out(behind, words)):
        return False
    if not (_begins_a_clause(tokens[:first], words) and _ends_a_phrase(tokens, stop, words)):
        return False
    if not words.denials.isdisjoint(run):
        # "No mass in the left lung" is not "no mass": a denial keeps its whole clause.
        return not _has_content(_first_clause(behind, words), words) and not _has_content(
            _first_clause(before[::-1], words), words
        )
    return _is_free_of(before, words) and _is_bounded(behind, words)


def _is_left_out(dropped: Sequence[str], words: Words) -> bool:
    """Tell whether all that is left out, up to a contrast, is known as harmless."""
    for word in dropped:
        if _is_end(word, words):
            return True
        is_harmless = word in words.harmless or word in words.denials or not word.isalpha()
        if word not in words.free | words.links | _GAPS and not is_harmless:
            return False
    return True


def _begins_a_clause(before: Sequence[Token], words: Words) -> bool:
    """Tell whether a run begins at a gap, at "and" or with the sentence, less words of extent."""
    for token in reversed(before):
        if token.word in _GAPS or token.word == "and" or _is_end(token.word, words):
            return True
        if token.word not in words.free | words.modifiers:
            return False
    return True


def _ends_a_phrase(tokens: Sequence[Token], stop: int, words: Words) -> bool:
    """Tell whether a run ends before a gap, a link or grammar, and cuts through no measure."""
    behind = tokens[stop:]
    # A "mass effect" is no mass, and an "aneurysm repair" no aneurysm.
    if behind and _is_content(behind[0], words) and not _is_end(behind[0].word, words):
        return False
    following = [token for token in behind if _is_content(token, words)]
    # "12 to 5 mm" is not 12 mm.
    return not (tokens[stop - 1].is_number and following and following[0].is_number)


def _is_free_of(before: Sequence[str], words: Words) -> bool:
    """Tell whether no denial before a run covers it: only a contrast ends what it covers."""
    denials = [place for place, word in enumerate(before) if word in words.denials]
    return not denials or any(_is_end(word, words) for word in before[denials[-1] :])


def _is_bounded(behind: Sequence[str], words: Words) -> bool:
    """Tell whether no denial behind a run covers it.

    "A nodule, no effusion" ends before "no"; "a nodule, mass was not seen" and "nodule: no" do not.
    """
    ends = [place for place, word in enumerate(behind) if _is_end(word, words)]
    covering = behind[: ends[0]] if ends else behind
    return all(
        word == "without"
        or (
            word == "no"
            and place > 0
            and covering[place - 1] in {",", "and", "with"}
            and _has_content(_first_clause(covering[place + 1 :], words), words)
        )
        for place, word in enumerate(covering)
        if word in words.denials
    )


def _first_clause(tokens: Sequence[str], words: Words) -> list[str]:
    clause: list[str] = []
    for word in tokens:
        if word in _GAPS or _is_end(word, words):
            break
        clause.append(word)
    return clause


def _has_content(tokens: Sequence[str], words: Words) -> bool:
    return any(word not in words.free | words.links | _GAPS for word in tokens)


def _is_content(token: Token, words: Words) -> bool:
    return token.word not in words.free and token.word not in words.links | _GAPS


def _is_end(word: str, words: Words) -> bool:
    return word == ";" or word in words.contrast
