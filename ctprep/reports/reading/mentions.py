"""What a sentence asserts, denies or doubts: its text by scope, and the mentions in it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ctprep.reports.reading.language import Rules
from ctprep.reports.reading.rules import find_clauses, find_negation

Status = Literal["present", "uncertain", "absent", "history"]


@dataclass(frozen=True)
class Scope:
    """A stretch of a sentence under one status."""

    status: Status
    text: str


@dataclass(frozen=True, eq=False)
class Cues:
    """Words besides negation that say how a mention is meant."""

    history: re.Pattern[str]
    uncertain: re.Pattern[str]
    resolved: re.Pattern[str]
    resolved_before: re.Pattern[str]
    none: re.Pattern[str]


def find_scopes(sentence: str, rules: Rules, cues: Cues) -> Iterator[Scope]:
    """Part a sentence by what is said of its words.

    Args:
        sentence: one sentence of a report.
        rules: word lists of its language.
        cues: of history, doubt and of what is gone.

    Yields:
        The stretches, in lower case; commas stand between blanks.
    """
    text = re.sub(r"\s+", " ", sentence.lower()).strip(" .;!")
    # A decimal point ends no statement.
    text = re.sub(r"(?<=\d)[.,](?=\d)", "_", text)
    if cues.none.search(text):
        yield Scope("absent", text)
        return
    for statement in rules.clause_break.split(text.replace("?", "\x00")):
        for pieces in _joined(find_clauses(statement.replace("\x00", "?"), rules), rules):
            yield from _clause_scopes(pieces, rules, cues)


def _joined(clauses: list[list[str]], rules: Rules) -> list[list[str]]:
    """Give a clause without a verb to the one before it, unless that one denies something."""
    joined: list[list[str]] = []
    for clause in clauses:
        is_bare = rules.verb.isdisjoint(" ".join(clause).split())
        if joined and is_bare and not any(map(rules.denies, (*joined[-1], *clause))):
            joined[-1] = [*joined[-1], *clause]
        else:
            joined.append(clause)
    return joined


def _clause_scopes(pieces: list[str], rules: Rules, cues: Cues) -> Iterator[Scope]:
    clause = " , ".join(pieces)
    if gone := cues.resolved_before.search(clause):
        yield Scope("absent", clause[gone.end() :])
        pieces = [clause[: gone.start()]]
    elif gone := cues.resolved.search(clause):
        # "No longer" would deny what stands behind it.
        yield Scope("absent", clause[: gone.start()])
        pieces = [clause[gone.end() :]]
    denied, rest = find_negation(pieces, rules)
    if denied.strip():
        yield Scope("absent", denied)
    past = cues.history.search(rest)
    if past is not None:
        yield Scope("history", rest[past.end() :])
        rest = rest[: past.start()]
    if rest.strip():
        yield Scope("uncertain" if cues.uncertain.search(rest) else "present", rest)
