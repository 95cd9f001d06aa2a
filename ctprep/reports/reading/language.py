"""The word lists of a language: read from TOML, checked and compiled."""

import hashlib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal, get_args

from ctprep.store.errors import TableError, located

SectionName = Literal["findings", "impression", "technique", "comparison", "clinical_information"]
SECTIONS: tuple[SectionName, ...] = get_args(SectionName)

DENIED = "\x01"
"""Stands before what is denied by an answer behind it; no report holds such a character."""


@dataclass(frozen=True, eq=False)
class Rules:
    """The word lists of one language, compiled."""

    version: str
    """Language and version."""
    data_hash: str
    """SHA-256 of the file."""
    headings: Mapping[str, SectionName]
    """Section of each heading."""
    heading: re.Pattern[str]
    """A heading: at the start of a line, or in capitals in the run."""
    abbreviations: frozenset[str]
    """Words whose full stop does not end a sentence, without it."""
    keep: re.Pattern[str]
    scaffold: re.Pattern[str]
    neutral_phrase: re.Pattern[str]
    normal_phrase: re.Pattern[str]
    verdict: re.Pattern[str]
    no_verdict: re.Pattern[str]
    """What a verdict may not be said of."""
    routine: re.Pattern[str]
    placeholder: re.Pattern[str]
    """A sentence that stands where no report is."""
    negation_before: re.Pattern[str]
    """A cue, or `DENIED`."""
    told_none: re.Pattern[str]
    """A statement that is denied behind a colon; its group is what is denied."""
    negation_after: re.Pattern[str]
    negation_end: re.Pattern[str]
    list_and: re.Pattern[str]
    """A denied list that ends with "and"."""
    list_or: str
    """What stands for it, to end with "or"."""
    clause_break: re.Pattern[str]
    separator: re.Pattern[str]
    list_end: re.Pattern[str]
    """Words before the last of a list that a negation covers."""
    verb: frozenset[str]
    presence: frozenset[str]
    place: frozenset[str]
    """Words that say where a finding is."""
    normal: frozenset[str]
    required: frozenset[str]
    ambiguous: frozenset[str]
    neutral: frozenset[str]
    steady: frozenset[str]
    steady_phrase: re.Pattern[str]
    steady_subject: frozenset[str]
    negated_in_a_row: frozenset[str]

    @cached_property
    def normal_mark(self) -> str:
        """Any word of normality; stands for a phrase of it."""
        return min(self.normal)

    @cached_property
    def neutral_mark(self) -> str:
        """Any word that says nothing else; stands for a phrase of it, which may be a place."""
        return min(
            self.neutral
            - self.normal
            - self.presence
            - self.ambiguous
            - self.place
            - self.verb
            - self.steady
            - self.required
            - self.negated_in_a_row,
            default=" ",
        )

    @cached_property
    def steady_mark(self) -> str:
        """Any steady word; stands for a phrase of it."""
        return min(self.steady, default="")

    def denies(self, text: str) -> bool:
        """Tell whether a cue of negation stands in a text of lower case."""
        return bool(self.negation_before.search(text) or self.negation_after.search(text))


@lru_cache
def read_rules(language: str | Path = "english") -> Rules:
    """Read the word lists of a language.

    Args:
        language: stem of a TOML file beside this one, or the path of one elsewhere.

    Raises:
        TableError: there is no such file, it is no TOML, a list is missing, or a pattern is wrong.
    """
    with read_lists(language) as (name, data, lists):
        return _compile(name, data, lists)


_MEND = "write it after the model of the English one in ctprep/reports/reading/ (docs/reports.md)"


@contextmanager
def read_lists(language: str | Path) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    """Read a file of word lists; faults within the block are told as faults of the file.

    Args:
        language: stem of a TOML file beside this one, or the path of one elsewhere.

    Yields:
        The stem, the bytes and the lists.

    Raises:
        TableError: there is no such file, it is no TOML, a list is missing, or a pattern is wrong.
    """
    path, data = _read(language)
    with located(path.name):
        try:
            name = path.name.removesuffix(".toml")
            yield name, data, tomllib.loads(data.decode("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise TableError(f"it is no TOML: {error}", mend=_MEND) from None
        except (KeyError, TypeError, AttributeError) as error:
            raise TableError(f"a list is missing or is no list: {error}", mend=_MEND) from None
        except re.error as error:
            raise TableError(
                f"{error.pattern!r} is no regular expression: {error}", mend=_MEND
            ) from None


def _read(language: str | Path) -> tuple[Traversable, bytes]:
    is_path = isinstance(language, Path) or language.endswith(".toml")
    packaged = files("ctprep.reports.reading").joinpath(f"{language}.toml")
    path = Path(language) if is_path else packaged
    try:
        return path, path.read_bytes()
    except OSError:
        raise TableError(
            f"there are no word lists {str(language)!r}",
            mend="leave the option out for English, or give the path of a TOML file "
            "(docs/reports.md)",
        ) from None


def _compile(name: str, data: bytes, lists: dict[str, Any]) -> Rules:
    headings = {
        heading: section for section in SECTIONS for heading in lists["headings"].get(section, ())
    }
    return Rules(
        version=f"{name}-{lists['version']}",
        headings=headings,
        heading=_heading(headings),
        abbreviations=frozenset(lists["abbreviations"]),
        data_hash=hashlib.sha256(data).hexdigest(),
        keep=either(lists["keep"]),
        scaffold=either(lists["scaffold"]),
        neutral_phrase=either(lists["neutral_phrase"]),
        normal_phrase=either(lists["normal_phrase"]),
        verdict=either(lists["verdict"]),
        no_verdict=either(lists["no_verdict"]),
        routine=either(lists["routine"]),
        placeholder=either([rf"^(?:{words})[.!]?$" for words in lists["placeholder"]]),
        negation_before=re.compile(
            f"{DENIED}|{either(lists['negation_before'], whole_words=True).pattern}"
        ),
        told_none=told_none(lists["told_none"]),
        negation_after=either(lists["negation_after"], whole_words=True),
        negation_end=either(lists["negation_end"], whole_words=True),
        list_and=_list_and(lists),
        list_or=rf"\g<denied> {next(iter(lists['list_end']), '')} \g<last>",
        clause_break=re.compile(rf"[;.!?]|\b(?:{'|'.join(lists['clause_break'])})\b"),
        # "Effusion/pneumothorax" is one piece; a dash between blanks parts as a comma does.
        separator=re.compile(
            rf"[,():]| [/\u2013\u2014-]+ |\b(?:{'|'.join(lists['conjunction'])})\b"
        ),
        list_end=either(lists["list_end"], whole_words=True),
        verb=frozenset(lists["verb"]),
        presence=frozenset(lists["presence"]),
        place=frozenset(lists["place"]),
        normal=frozenset(lists["normal"]),
        required=frozenset(lists["required"]),
        ambiguous=frozenset(lists["ambiguous"]),
        neutral=frozenset(lists["neutral"]) | frozenset(lists["normal"]),
        steady=frozenset(lists["steady"]),
        steady_phrase=either(lists["steady_phrase"]),
        steady_subject=frozenset(lists["steady_subject"]),
        negated_in_a_row=frozenset(lists["negated_in_a_row"]),
    )


def told_none(answers: Sequence[str]) -> re.Pattern[str]:
    """Compile answers that deny, behind a colon or dash, what stands before it, the group."""
    said = either(answers, whole_words=True).pattern
    # A dash parts as a comma does: "mass - effusion - none" denies no mass.
    before = r"(?:^|(?<=[,;.])|(?<= - ))"
    asked = r"((?:(?! - )[^,;:.])+?)"
    return re.compile(rf"{before}{asked}(?:: ?| - )(?:{said})(?= ?(?:$|[,;.]| - ))")


def _list_and(lists: dict[str, Any]) -> re.Pattern[str]:
    cue = either(lists["list_cue"], whole_words=True).pattern
    joined = "|".join(lists["conjunction"])
    strange = either([*lists["list_stranger"], *lists["verb"], *lists["presence"]]).pattern
    return re.compile(
        rf"(?P<denied>{cue}[\w ,-]{{3,120}}?),? (?:{joined}) "
        rf"(?P<last>(?:(?!(?:{strange})\b)[^\W\d_][\w-]* ?){{1,3}})(?=$|[.,;])"
    )


def _heading(headings: Iterable[str]) -> re.Pattern[str]:
    # A heading opens a line, or stands in capitals after a full stop, and ends in a colon.
    names = "|".join(sorted((re.escape(name) for name in headings), key=len, reverse=True))
    return re.compile(
        rf"(?:^|(?<=\n))[ \t]*(?P<line>(?i:{names}))[ \t]*(?::|(?=\r?\n))"
        rf"|(?:(?<=[.!?\"])\s*)(?P<capital>{names.upper()})[ \t]*:"
    )


def either(patterns: Sequence[str], *, whole_words: bool = False) -> re.Pattern[str]:
    """Compile a list of patterns to one that any of them matches; of no patterns, nothing does."""
    if not patterns:
        return re.compile(r"(?!)")
    patterns = [_uncaptured(pattern) for pattern in patterns]
    if whole_words:
        body = "|".join(f"(?:{pattern})" for pattern in patterns)
        return re.compile(rf"\b(?:(?:{body})(?<!\w)|(?:{body})\b)")
    # One boundary for all that begin with it: nothing else is tried within a word.
    bounded = [pattern for pattern in patterns if _is_bounded(pattern)]
    others = [f"(?:{pattern})" for pattern in patterns if not _is_bounded(pattern)]
    begun = "|".join(f"(?:{pattern[2:]})" for pattern in bounded)
    return re.compile("|".join([*([rf"\b(?:{begun})"] if bounded else []), *others]))


def _is_bounded(pattern: str) -> bool:
    """Tell whether all of a pattern stands behind a word boundary."""
    within = re.sub(r"\\.|\[[^]]*]", "", pattern)
    while within != (outer := re.sub(r"\([^()]*\)", "", within)):
        within = outer
    return pattern.startswith(r"\b") and "|" not in within


def _uncaptured(pattern: str) -> str:
    """Give a pattern whose groups remember nothing, which is twice as fast."""
    return re.sub(
        r"\\.|\[[^]]*]|\((?!\?)",
        lambda match: "(?:" if match.group() == "(" else match.group(),
        pattern,
    )
