"""Labels by rules: which abnormalities the sentences of a report assert."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ctprep.reports.reading.language import Rules, either, read_lists, read_rules
from ctprep.reports.reading.mentions import Cues, Status, find_scopes

_ORDER: tuple[Status, ...] = ("history", "absent", "uncertain", "present")
"""What a report says of a label is the last of these that any of its sentences says."""

_WINDOW = 2000


@dataclass(frozen=True, eq=False)
class LabelPatterns:
    """How a language speaks of one label."""

    terms: re.Pattern[str]
    unless: re.Pattern[str]
    """In the same clause, these make a term mean something else."""


@dataclass(frozen=True, eq=False)
class LabelRules:
    """How a language speaks of the labels."""

    version: str
    cues: Cues
    labels: Mapping[str, LabelPatterns]
    rules: Rules
    """Word lists of the language, for clauses and negation."""


@lru_cache
def read_label_rules(
    labels: str | Path = "english_labels", language: str | Path = "english"
) -> LabelRules:
    """Read how a language speaks of the labels.

    Args:
        labels: stem of a TOML file beside the word lists, or the path of one elsewhere.
        language: word lists of the language, likewise.

    Raises:
        TableError: there is no such file, it is no TOML, a list is missing, or a pattern is wrong.
    """
    rules = read_rules(language)
    with read_lists(labels) as (name, _, lists):
        return LabelRules(
            version=f"{name}-{lists['version']}, {rules.version}",
            cues=Cues(
                history=either(lists["history"]),
                uncertain=either(lists["uncertain"]),
                resolved=either(lists["resolved"]),
                resolved_before=either(lists["resolved_before"]),
                none=either(lists["none"]),
            ),
            labels={
                label["name"]: LabelPatterns(
                    either(label["terms"]), either(label.get("unless", ()))
                )
                for label in lists["label"]
            },
            rules=rules,
        )


def label_sentences(sentences: Iterable[str], rules: LabelRules) -> dict[str, Status]:
    """Tell what sentences say of each label that they mention.

    Args:
        sentences: of one report.
        rules: how its language speaks of the labels.

    Returns:
        Status by label; labels that nothing mentions are left out.
    """
    found: dict[str, Status] = {}
    for sentence in sentences:
        for label, status in _label_sentence(sentence, rules):
            if _ORDER.index(status) >= _ORDER.index(found.get(label, "history")):
                found[label] = status
    return found


@lru_cache(maxsize=2**16)
def _label_sentence(sentence: str, rules: LabelRules) -> tuple[tuple[str, Status], ...]:
    return tuple(
        (name, scope.status)
        for scope in find_scopes(sentence, rules.rules, rules.cues)
        for text in _windows(scope.text)
        for name, label in rules.labels.items()
        if label.terms.search(text) and not label.unless.search(text)
    )


def _windows(text: str) -> Iterator[str]:
    """Cut what is longer than any dictated clause into overlapping parts.

    Patterns of two words take the square of the length.
    """
    for start in range(0, max(1, len(text) - _WINDOW // 2), _WINDOW // 2):
        yield text[start : start + _WINDOW]
