"""The words by which names are told from medicine: lists of names, eponyms and known words."""

import re
import tomllib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from importlib.resources import files
from typing import Any

MARK_WORD = r"[^\W\d_][\u0300-\u036f]*"
"""A letter, with accents written behind it."""
NAME_WORD = rf"(?:{MARK_WORD}){{1,40}}(?:['\u2019`-](?:{MARK_WORD}){{1,40}}){{0,4}}"
"""O'Neil, Smith-Jones, Öztürk."""

# "d'Arcy", "al-Rashid".
_ARTICLE = re.compile(
    r"^(?:d|l|al|el|dell|dall|ul|ad|as|ar|ash|an|at|az|o)['\u2019-](?=[^\W\d_a-z])"
)
_FOLD = str.maketrans(
    {"\u0131": "i", "ß": "ss", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "æ": "ae", "þ": "th"}
)


class Trust(IntEnum):
    """How much what stands beside a word says that it is a name."""

    BARE = 0
    """Nothing: the word must be none that reports use, nor an eponym."""
    UNKNOWN = 1
    """A name: the word must be none that reports use."""
    CUE = 2
    """A verb, a label or a given name: surnames that are words, too, are taken."""
    TITLE = 3
    """A title: all but roles and grammar is taken."""


@dataclass(frozen=True, eq=False)
class Words:
    """Lists of words, folded: lower case and without accents."""

    never: frozenset[str]
    known: frozenset[str]
    endings: re.Pattern[str]
    given: frozenset[str]
    surname_words: frozenset[str]
    eponyms: frozenset[str]
    eponym_pairs: frozenset[str]
    eponym_nouns: frozenset[str]
    particles: frozenset[str]


@lru_cache
def read_lists(name: str) -> dict[str, Any]:
    """Read a TOML file of this package; what is given is not to be changed."""
    data = files("ctprep.reports.identifiers").joinpath(f"{name}.toml").read_bytes()
    return tomllib.loads(data.decode("utf-8"))


def one_of(patterns: Iterable[str]) -> str:
    """Give the pattern of any of some, the longest tried first."""
    return "|".join(sorted(patterns, key=len, reverse=True))


@lru_cache
def read_words() -> Words:
    """Read the lists; what the rules and labels of English know is known here, too."""
    names, vocabulary = read_lists("names"), read_lists("vocabulary")
    rules = "\n".join(
        files("ctprep.reports.reading").joinpath(f"{name}.toml").read_text(encoding="utf-8").lower()
        for name in ("english", "english_labels")
    )
    known = {*vocabulary["never"], *vocabulary["general"], *vocabulary["medicine"]}
    return Words(
        never=frozenset(vocabulary["never"]),
        known=frozenset(known | set(re.findall(r"[a-z]{2,}", rules))),
        endings=re.compile("|".join(rf"(?:{ending})$" for ending in vocabulary["endings"])),
        given=frozenset(names["given"]),
        surname_words=frozenset(names["surname_words"]),
        eponyms=frozenset(names["eponyms"]),
        eponym_pairs=frozenset(names["eponym_pairs"]),
        eponym_nouns=frozenset(names["eponym_nouns"]),
        particles=frozenset(names["particles"]),
    )


def fold(word: str) -> str:
    """Give a word in lower case and without accents: "Öztürk" becomes "ozturk"."""
    if word.isascii():
        return word.lower()
    letters = unicodedata.normalize("NFKD", word.replace("İ", "i").lower()).translate(_FOLD)
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


@lru_cache(maxsize=2**14)
def is_known(folded: str) -> bool:
    """Tell whether a folded word is one that reports use; "cone-beam" is, as both parts are."""
    words = read_words()
    body = re.sub(r"['\u2019`]s$", "", folded)
    parts = re.split(r"['\u2019`-]", body)
    return all(
        part in words.known
        or (len(part) == 1 and len(parts) > 1)
        or part.removesuffix("s") in words.known
        or words.endings.search(part) is not None
        for part in parts
    )


@lru_cache(maxsize=2**14)
def is_given(word: str) -> bool:
    """Tell whether a word is a common given name, alone or before a hyphen."""
    folded = fold(word)
    given = read_words().given
    return folded in given or (len(folded) > 4 and folded.split("-")[0] in given)


@lru_cache(maxsize=2**14)
def is_name(word: str, trust: Trust) -> bool:
    """Tell whether a word can be a name, or an initial of one.

    Args:
        word: as it stands.
        trust: what stands beside it.
    """
    word = _ARTICLE.sub("", word)
    if not word[0].isupper():
        return False
    if len(word) == 1:
        return True
    words, folded = read_words(), fold(word)
    if folded in words.never:
        return False
    if trust == Trust.TITLE or is_given(word):
        return True
    if trust == Trust.CUE:
        return folded in words.surname_words or not is_known(folded)
    return not is_known(folded) and (trust == Trust.UNKNOWN or not is_eponym(word))


@lru_cache(maxsize=2**14)
def is_eponym(word: str) -> bool:
    """Tell whether medicine names things after a word, or after a part of it."""
    eponyms = read_words().eponyms
    return any(part in eponyms for part in re.split(r"['\u2019`-]", fold(word)))


@lru_cache
def _read_credential() -> re.Pattern[str]:
    return re.compile(rf"(?:{one_of(read_lists('identifiers')['credentials'])})(?!\w)")


def is_credential(text: str, place: int) -> bool:
    """Tell whether "MD" or the like stands at a place."""
    return _read_credential().match(text, place) is not None
