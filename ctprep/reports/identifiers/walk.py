"""Walking over the words of a name, to where it ends or begins."""

import re

from ctprep.reports.identifiers.text import Span
from ctprep.reports.identifiers.words import (
    NAME_WORD,
    Trust,
    fold,
    is_credential,
    is_eponym,
    is_given,
    is_name,
    read_words,
)

WORD = re.compile(NAME_WORD)
_MAX_WORDS = 5
_GAP = re.compile(r"(?P<comma>,)?[ \t]{1,9}")
_INITIAL_GAP = re.compile(r"\.?[ \t-]{0,2}")
_JUNIOR = re.compile(r",?[ \t]+(?:Jr|Sr|JR|SR|II|III)\b\.?")
_AND = re.compile(r"[ \t]{0,3}(?:,?[ \t](?:and|AND|or|OR)|&|/|\+|;|,)[ \t]{1,3}")
_NOUN_BEHIND = re.compile(rf"(?:['\u2019]s?)?[ \t-]{{1,3}}({NAME_WORD})")


def walk(text: str, start: int, trust: Trust) -> int:
    """Walk over capitalized words, initials and particles from where a name may begin.

    Args:
        text: a report.
        start: of its first word.
        trust: in that word; those behind it are trusted as behind a cue at most.

    Returns:
        Where the name ends; `start` where there is none.
    """
    particles = read_words().particles
    asked = trust
    stop = place = start
    first = ""
    has_word = has_comma = False
    for _ in range(_MAX_WORDS):
        word = WORD.match(text, place)
        if word is None or is_credential(text, place):
            break
        body = word.group()
        if first:
            # In capitals each next word has one.
            later = Trust.UNKNOWN if len(first) > 1 and first.isupper() else Trust.CUE
            trust = later if is_given(first) and not has_comma else min(trust, later)
        if is_name(body, trust):
            stop, first = word.end(), first or body
            has_word = has_word or len(body) > 1
        elif body.lower() not in particles:
            break
        is_initial = len(body) == 1
        if is_initial and stop == word.end() and text[stop : stop + 1] == ".":
            stop += 1
        # "A. B. Smith", "SMITH, JOHN" and "Smith John", but no next sentence or line.
        gap = (_INITIAL_GAP if is_initial else _GAP).match(text, word.end())
        if gap is None:
            break
        if not is_initial and gap["comma"]:
            trust, has_comma = min(trust, Trust.UNKNOWN), True
        place = gap.end()
    # "J. S." is a name behind a cue alone.
    if not has_word and (asked < Trust.CUE or stop - start < 3):
        return start
    junior = _JUNIOR.match(text, stop)
    return junior.end() if junior else stop


def walk_back(text: str, stop: int, trust: Trust, limit: int = _MAX_WORDS) -> int:
    """Walk back over capitalized words, initials and particles.

    Args:
        text: a report.
        stop: of the last word.
        trust: in the words.
        limit: how many at most.

    Returns:
        Where the name begins; `stop` where there is none.
    """
    begin = max(text.rfind("\n", 0, stop) + 1, stop - 80)
    particles = read_words().particles
    start = place = stop
    for number, word in enumerate(reversed(list(WORD.finditer(text, begin, stop)))):
        body = word.group()
        gap = text[word.end() : place].strip(" \t")
        is_beside = gap in ("", ",") or (len(body) == 1 and gap == ".")
        # What is cut in its middle is no word.
        is_cut = word.start() == begin and text[begin - 1 : begin].isalnum()
        if number >= limit or not is_beside or is_cut:
            break
        place = word.start()
        if is_name(body, trust):
            start = place
        elif body not in particles:
            break
        if gap == ",":
            trust = min(trust, Trust.UNKNOWN)
    # "Vitamin D": an initial needs its name.
    return start if any(len(word) > 1 for word in WORD.findall(text, start, stop)) else stop


def find_companions(text: str, stop: int) -> list[Span]:
    """Find the names that follow a name: "Dr. Smith, Jones and Doe"."""
    found: list[Span] = []
    for _ in range(_MAX_WORDS):
        joint = _AND.match(text, stop)
        if joint is None:
            break
        trust = Trust.CUE if "n" in joint.group().lower() else Trust.UNKNOWN
        start = joint.end()
        _, stop = unless_eponym(text, start, walk(text, start, trust))
        if start >= stop:
            break
        found.append((start, stop))
    return found


def behind_cue(text: str, start: int) -> Span:
    """Give the name behind a label, a verb or a signature."""
    return unless_eponym(text, start, walk(text, start, Trust.CUE))


def is_sure(name: str) -> bool:
    """Tell whether a name has two words, or is a common given name."""
    words = WORD.findall(name)
    return len(words) > 1 or any(map(is_given, words))


def if_sure(text: str, start: int, stop: int) -> Span:
    """Give a name that is sure, and no eponym; else nothing."""
    return unless_eponym(text, start, stop) if is_sure(text[start:stop]) else (start, start)


def unless_eponym(text: str, start: int, stop: int) -> Span:
    """Give a name unless a noun follows that is called after people: "Ivor Lewis esophagectomy"."""
    behind = _NOUN_BEHIND.match(text, stop)
    if behind is None:
        return start, stop
    is_eponymous = fold(behind[1]) in read_words().eponym_nouns or is_eponym(behind[1])
    return (start, start) if is_eponymous else (start, stop)
