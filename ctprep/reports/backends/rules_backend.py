"""The rules backend: keep every sentence that is not provably normal."""

import json
from collections.abc import Sequence
from pathlib import Path

from ctprep.reports.reading.language import read_rules
from ctprep.reports.reading.rules import judge


class RulesBackend:
    """Answers which sentences to keep by the rules of one language."""

    name = "rules"

    def __init__(self, language: str | Path = "english") -> None:
        self.rules = read_rules(language)
        self.model = self.rules.version
        self.prompt_hash = self.rules.data_hash

    def answer(self, reports: Sequence[Sequence[str]]) -> list[str]:
        """Answer with the numbers of the sentences that are not provably normal."""
        return [
            json.dumps(
                [
                    number
                    for number, sentence in enumerate(sentences)
                    if not judge(sentence, self.rules).is_normal
                ]
            )
            for sentences in reports
        ]
