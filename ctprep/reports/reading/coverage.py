"""Whether word lists know the language of some reports at all."""

import logging
from collections.abc import Sequence

from ctprep.reports.reading.language import Rules
from ctprep.reports.reading.rules import judge

FEWEST_REPORTS = 20
"""Below them chance may leave nothing that is known."""
MOST_REPORTS = 500
"""That are looked at; they tell, and a labeller does not ask these rules anyway."""
LEAST_SHARE = 0.01
"""Of 20 English reports the English lists know 39 to 63 % of the sentences, German ones none."""

logger = logging.getLogger(__name__)


class Coverage:
    """How many sentences of the first reports the word lists explain.

    Args:
        rules: word lists.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.reports = 0
        self.sentences = 0
        self.known = 0

    def add(self, sentences: Sequence[str]) -> None:
        """Count those of one report that are read; a report without any does not count."""
        if self.reports == MOST_REPORTS:
            return
        self.reports += bool(sentences)
        self.sentences += len(sentences)
        self.known += sum(judge(sentence, self._rules).is_normal for sentence in sentences)

    @property
    def is_foreign(self) -> bool:
        """Whether nearly no sentence of enough reports is explained."""
        enough = self.reports >= FEWEST_REPORTS
        return enough and self.known < LEAST_SHARE * self.sentences

    def warn(self) -> None:
        """Log that the reports seem to be in another language, where they do."""
        if self.is_foreign:
            logger.warning(
                "the word lists %s know %d of %d sentences, as if the reports were in another "
                "language: give its lists by --language (docs/reports.md), and run it again",
                self._rules.version,
                self.known,
                self.sentences,
            )
