"""Word lists of another language keep every sentence and find no label: that is told."""

import logging
from pathlib import Path
from typing import Any

import pytest

from ctprep.reports.filter import filter_reports
from ctprep.reports.label import label_reports
from ctprep.reports.labels.rules_labeller import RulesLabeller
from ctprep.reports.reading.coverage import MOST_REPORTS, Coverage
from ctprep.reports.reading.language import read_rules

GERMAN = Path(__file__).with_name("small_german.toml")
WORDS = Path(__file__).parents[3] / "ctprep" / "reports" / "reading" / "english_labels.toml"
TEXT = "The heart is normal. A nodule is seen."


def _table(folder: Path, count: int, text: str = TEXT) -> Path:
    path = folder / "raw.csv"
    rows = [f"r{number},{text}" for number in range(count)]
    path.write_text("\n".join(["scan_id,report_text", *rows, "empty,"]))
    return path


def test_a_foreign_language_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With the lists, the numbers and the option, by the filter and by the labeller."""
    table = _table(tmp_path, 20)

    list(filter_reports(table, tmp_path / "o.parquet", language=GERMAN))
    list(
        label_reports(
            table, tmp_path / "l.csv", labeller=RulesLabeller(language=GERMAN, words=WORDS)
        )
    )

    told = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 2
    for record in told:
        assert "small_german-1 know 0 of 40 sentences" in record.getMessage()
        assert "--language (docs/reports.md)" in record.getMessage()
        assert "nodule" not in record.getMessage()


def test_nothing_is_told_of_the_right_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nor of fewer reports, in which chance may leave nothing."""
    list(filter_reports(_table(tmp_path, 40), tmp_path / "o.parquet"))
    list(label_reports(tmp_path / "raw.csv", tmp_path / "l.csv"))
    few = _table(tmp_path, 19)
    list(filter_reports(few, tmp_path / "o.parquet", language=GERMAN))

    assert not caplog.records


def test_one_known_sentence_in_a_hundred_is_enough() -> None:
    """By hand: 2 of 200 are no foreign language, 1 of 200 is."""
    for known, is_foreign in ((2, False), (1, True)):
        coverage = Coverage(read_rules())
        for number in range(100):
            coverage.add(["The heart is normal." if number < known else "Xyzzy.", "Plugh."])

        assert (coverage.known, coverage.sentences) == (known, 200)
        assert coverage.is_foreign == is_foreign


def test_only_the_first_reports_are_looked_at() -> None:
    """However many there are."""
    coverage = Coverage(read_rules())
    for _ in range(MOST_REPORTS + 9):
        coverage.add(["Xyzzy."])

    assert coverage.reports == MOST_REPORTS


@pytest.mark.parametrize(
    ("options", "is_warned"),
    [({}, False), ({"language": GERMAN}, True), ({"language": GERMAN, "words": WORDS}, False)],
)
def test_english_words_beside_other_lists(
    caplog: pytest.LogCaptureFixture, options: dict[str, Any], is_warned: bool
) -> None:
    """A language without its words for labels gives rows of 0, and is told of."""
    RulesLabeller(**options)

    assert ("looked for by English words" in caplog.text) is is_warned
