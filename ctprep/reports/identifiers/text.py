"""A report as the searches for identifiers see it: in small letters, its words, its digits.

The searches begin where a cue word or a digit stands, and look at bounded stretches beside it, so
that they take the time of one pass over a report, however odd.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Span = tuple[int, int]
"""Where something begins and ends in a text."""

_LETTERS = re.compile(r"[^\W\d_]+")
# As word processors and web pages write them.
_BLANKS = str.maketrans(dict.fromkeys("\u00a0\u2002\u2003\u2007\u2009\u200a\u202f\v\f", " "))
_DIGITS = re.compile(r"[0-9]+")


@dataclass(frozen=True, eq=False)
class Text:
    """A report and what is read of it once."""

    text: str
    """With plain blanks and line breaks, each at its place."""
    lower: str
    """In small letters, each at its place."""
    words: frozenset[str]
    """Runs of letters of `lower`."""
    digits: tuple[Span, ...]
    """Runs of digits."""

    def find(self, words: Iterable[str]) -> Iterator[Span]:
        """Find each of some cues, in small letters, that stands between no letters."""
        for word in words:
            place = self.lower.find(word)
            while place >= 0:
                stop = place + len(word)
                before, behind = self.lower[place - 1 : place], self.lower[stop : stop + 1]
                if not (before.isalpha() or (behind.isalpha() and word[-1].isalpha())):
                    yield place, stop
                place = self.lower.find(word, stop)

    def before(self, place: int, length: int = 48) -> str:
        """Give what stands before a place on its line, in small letters, cut at a length."""
        begin = max(0, place - length)
        return self.lower[max(begin, self.lower.rfind("\n", begin, place) + 1) : place]


def read_text(text: str) -> Text:
    """Read a report."""
    text = text.replace("\r\n", " \n").replace("\r", "\n").translate(_BLANKS)
    # The only letter that becomes two in small.
    lower = text.replace("İ", "i").lower()
    return Text(
        text,
        lower,
        frozenset(_LETTERS.findall(lower)),
        tuple(match.span() for match in _DIGITS.finditer(text)),
    )


def gate(cues: Iterable[str]) -> dict[str, list[str]]:
    """Sort cues by their first word, which a text must have for any of them to be searched."""
    by_word: dict[str, list[str]] = {}
    for cue in cues:
        if first := _LETTERS.search(cue):
            by_word.setdefault(first.group(), []).append(cue)
    return by_word


def through(by_word: dict[str, list[str]], text: Text) -> list[str]:
    """Give the cues whose first word a text has, the longest first."""
    found = [cue for word in by_word.keys() & text.words for cue in by_word[word]]
    return sorted(found, key=len, reverse=True)
