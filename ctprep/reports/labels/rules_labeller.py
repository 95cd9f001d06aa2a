"""The rules as a labeller: what the words of a report assert, clause by clause."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from ctprep.reports.filter import read_sentences
from ctprep.reports.labels.label_rules import label_sentences, read_label_rules
from ctprep.reports.labels.labeller import Judgement
from ctprep.reports.reading.coverage import Coverage
from ctprep.reports.reading.mentions import Status

logger = logging.getLogger(__name__)

_LANGUAGE, _WORDS = "english", "english_labels"
Doubt = Literal["present", "absent", "missing"]
_DOUBTFUL: Mapping[str, float] = {"present": 1.0, "absent": 0.0, "missing": float("nan")}


class RulesLabeller:
    """Labels reports by rules; a label that a report does not mention is 0.

    Args:
        uncertain: what a label is whose only mention is in doubt.
        language: word lists by name, or a TOML file of them.
        words: how the language speaks of the labels, likewise.

    Raises:
        TableError: a word list is unknown or wrong.
    """

    name = "rules"

    def __init__(
        self,
        *,
        uncertain: Doubt = "present",
        language: str | Path = _LANGUAGE,
        words: str | Path = _WORDS,
    ) -> None:
        self._rules = read_label_rules(words, language)
        if words == _WORDS and language != _LANGUAGE:
            # Nothing else would tell: reports that name no label have a row of 0 each.
            logger.warning(
                "the labels are looked for by English words: where the reports are in another "
                "language, give its own by --words (docs/reports.md), and run it again"
            )
        self._doubtful = _DOUBTFUL[uncertain]
        self.model = self._rules.version
        self.labels = tuple(self._rules.labels)

    def judge(self, texts: Sequence[str]) -> Iterator[tuple[int, Judgement | None]]:
        """Judge reports, in their order; see `Labeller.judge`."""
        coverage = Coverage(self._rules.rules)
        for place, text in enumerate(texts):
            numbered = read_sentences(text, self._rules.rules)
            sentences = [sentence for sentence, is_read in numbered if is_read]
            coverage.add(sentences)
            yield place, self._judge(sentences) if sentences else None
        coverage.warn()

    def _judge(self, sentences: Sequence[str]) -> Judgement:
        told = label_sentences(sentences, self._rules)
        return Judgement({name: self._to_value(told.get(name)) for name in self.labels})

    def _to_value(self, status: Status | None) -> float:
        return self._doubtful if status == "uncertain" else float(status == "present")
