"""Cutting a sentence into the tokens by which a rewrite is compared with its source."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

_TOKEN = re.compile(
    r"(?P<number>(?:(?<![\w.)])-)?(?:\d+(?:[.,]\d+)*|[.,]\d+))"
    r"(?:[\s-]*(?P<unit>mm|cm|ml|cc|hu|%)(?!\w))?"
    # "Nodule (-)", "nodule: -", "nodule: 0" and "nodule -" deny.
    r"|(?P<minus>\(\s*[-0]\s*\)|:\s*-(?=\s|$)|(?<=\s)-(?=\s*\.?\s*$))"
    r"|(?P<word>[^\W\d_]+\d*)"
    r"|(?P<sign>[?<>\u2264\u2265~\u2248\u00b1+=])|(?P<dash>(?<=\s)-(?=\s))|(?P<slash>/)"
    r"|(?P<gap>[,;:()]|\.(?=\s|$))"
)
_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u00ad", "-"))
_FOREIGN = "\ufffd"
_NO_PLURAL = ("ss", "us", "is")
_NO_NOUNS = frozenset(
    ("shows", "reveals", "measures", "findings", "denies", "lacks", "appears", "seems", "others")
)


@dataclass(frozen=True)
class Token:
    """A word without plural, a number with its unit, or a sign."""

    word: str
    is_plural: bool = False
    is_number: bool = False

    @staticmethod
    def foreign() -> "Token":
        """Stand for a sentence in letters that are not Latin."""
        return Token(_FOREIGN)

    def is_part_of(self, source: "Token") -> bool:
        """Tell whether this says no more than a token of the source; one nodule is some of many."""
        return self.word == source.word and (source.is_plural or not self.is_plural)


@lru_cache(maxsize=2**12)
def normalize(text: str) -> str:
    """Give a text in one form of Unicode, in lower case, with single blanks and without an end."""
    text = unicodedata.normalize("NFKC", text).translate(_DASHES).casefold()
    text = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    return " ".join(text.split()).rstrip(" .")


@lru_cache(maxsize=2**12)
def to_tokens(text: str) -> list[Token]:
    """Cut a sentence into words without plural, numbers with their units, and gaps.

    Args:
        text: one sentence.

    Returns:
        Its tokens; a single `Token.foreign()` where a letter is not Latin.
    """
    text = normalize(text)
    if not text.isascii() and any(map(_is_foreign, text)):
        return [Token.foreign()]
    text = text.replace("n't", " not").replace("n\u2019t", " not")
    # A range keeps its two ends: "5-8 mm".
    text = re.sub(r"(?<=\d)\s*-\s*(?=\d)", " to ", text)
    text = re.sub(r"(?<=\d)\s*[x\u00d7*]\s*(?=\d)", " x ", text)
    # Dictation puts a space into decimals.
    text = re.sub(r"(?<=\d)\.\s+(?=\d)", ".", text)
    text = re.sub(r":\s*0(?![\w.,])", ": no", text)
    return [_to_token(match) for match in _TOKEN.finditer(text)]


def _is_foreign(letter: str) -> bool:
    return letter.isalpha() and not unicodedata.name(letter, "").startswith("LATIN")


def _to_token(match: re.Match[str]) -> Token:
    if match["number"]:
        number = match["number"]
        # One comma is a decimal point; with more signs it may be thousands, and stays.
        number = number.replace(",", ".") if len(re.findall("[.,]", number)) == 1 else number
        return Token(number + (match["unit"] or ""), is_number=True)
    if match["minus"]:
        return Token("not")
    if match["dash"]:
        return Token(",")
    if match["slash"]:
        return Token("or")
    word = match["word"]
    if not word:
        return Token(match.group())
    # "nodules" and "nodule" are one word; "pus", "thymus" and "mass" have no plural s.
    is_plural = len(word) > 4 and word.endswith("s") and not word.endswith(_NO_PLURAL)
    if word in _NO_NOUNS or not is_plural:
        return Token(word)
    return Token(word[:-1], is_plural=True)
