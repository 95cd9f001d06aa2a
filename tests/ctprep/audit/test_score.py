"""Precision and recall by what a judge said, counted by hand."""

from pathlib import Path

import pytest

from ctprep.audit.agreement import Fourfold
from ctprep.audit.score import score_tables
from ctprep.reports.filter import NORMAL_SENTENCE
from ctprep.store.errors import TableError
from ctprep.store.tables import write_reports
from tests.ctprep.audit.tables import FIRST, SECOND, TEXTS, make_row, write_table
from tests.ctprep.audit.verdicts_files import write_judgements

SAID = {
    "a": ["keep", "keep", "unsure", "drop"],
    "b": ["keep", "drop", "keep"],
    "c": ["drop", "keep"],
}
"""Sentence 0 of a stands in the technique: no filter can keep it."""


def test_by_hand(tmp_path: Path) -> None:
    """The first keeps a1, b0, b2 rightly and c0 wrongly, and misses a0 and c1.

    The second keeps a1 and b2 rightly and a3 wrongly, and misses a0, b0 and c1.
    """
    one = write_table(tmp_path / "1.parquet", FIRST)
    two = write_table(tmp_path / "2.parquet", SECOND)

    found = score_tables([one, two], [write_judgements(tmp_path / "j.csv", SAID)])

    first, second = found.scores
    assert (first.table, first.judge, first.reports) == ("1.parquet", "AB", 3)
    # Ought to be and is kept, ought to be, is, neither.
    assert first.sentences == Fourfold(3, 2, 1, 2)
    assert second.sentences == Fourfold(2, 3, 1, 2)
    assert (first.precision.value, first.recall.value) == (3 / 4, 3 / 5)
    assert (second.precision.value, second.recall.value) == (2 / 3, 2 / 5)
    assert (first.right_reports, second.right_reports) == (1, 0)
    assert first.missed_unread == 1
    assert [(j.name, j.reports, j.seconds_a_report, j.unsure) for j in found.judges] == [
        ("AB", 3, 6.0, 1)
    ]
    assert (found.raters, found.drawn_from) == ((), ("all",))


def test_a_later_table_is_scored_by_an_earlier_judgement(tmp_path: Path) -> None:
    """A filter that keeps just what ought to be kept has nothing wrong."""
    better = write_table(tmp_path / "3.parquet", {"b": [0, 2], "c": [1]})
    path = write_judgements(tmp_path / "j.csv", {"b": SAID["b"], "c": SAID["c"]})

    (score,) = score_tables([better], [path]).scores

    assert (score.precision.value, score.recall.value, score.right_reports) == (1, 1, 2)


def test_two_judges(tmp_path: Path) -> None:
    """Each is scored by himself; their agreement leaves out what either is unsure of.

    Of a: both keep 0 and 1, both drop 3; of c: the first drops what the second keeps, both keep 1.
    """
    one = write_judgements(tmp_path / "1.csv", SAID)
    said = {"a": ["keep", "keep", "drop", "drop"], "c": ["keep", "keep"]}
    two = write_judgements(tmp_path / "2.csv", said, judge="CD", only="flagged")

    found = score_tables([write_table(tmp_path / "t.parquet", FIRST)], [one, two])

    (pair,) = found.raters
    assert (pair.first, pair.second, pair.reports) == ("AB", "CD", 2)
    assert pair.sentences == Fourfold(3, 0, 1, 1)
    assert [score.judge for score in found.scores] == ["AB", "CD"]
    assert found.scores[1].reports == 2
    assert found.drawn_from == ("all", "flagged")


def test_reports_that_the_table_lacks_are_counted(tmp_path: Path) -> None:
    """They do not enter the score."""
    table = write_table(tmp_path / "t.parquet", {"a": [1], "b": [2]})

    found = score_tables([table], [write_judgements(tmp_path / "j.csv", SAID)])

    assert (found.judges[0].unlisted, found.scores[0].reports) == (1, 2)


def test_judgements_of_other_reports(tmp_path: Path) -> None:
    """Are refused where none is in the table."""
    table = write_table(tmp_path / "t.parquet", {"a": [1]})

    with pytest.raises(TableError, match="none of the judged reports"):
        score_tables([table], [write_judgements(tmp_path / "j.csv", {"c": SAID["c"]})])


def test_judgements_of_another_text(tmp_path: Path) -> None:
    """Are refused, and told with the report and the option that could be the reason."""
    path = tmp_path / "t.parquet"
    write_reports(path, [make_row("a", TEXTS["a"].replace("6 mm", "7 mm"), [1])])

    with pytest.raises(TableError, match=r"1 of 1 judged reports have another text.*'a'") as caught:
        score_tables([path], [write_judgements(tmp_path / "j.csv", {"a": SAID["a"]})])
    assert "--language" in caught.value.mend
    assert caught.value.where == "t.parquet"


def test_a_file_without_its_last_sentence(tmp_path: Path) -> None:
    """Is refused, too: the report has one more."""
    table = write_table(tmp_path / "t.parquet", FIRST)

    with pytest.raises(TableError, match="another text"):
        score_tables([table], [write_judgements(tmp_path / "j.csv", {"c": ["keep"]})])


def test_a_table_that_keeps_nothing(tmp_path: Path) -> None:
    """Has no precision, and a recall of 0."""
    table = write_table(tmp_path / "t.parquet", {"c": []}, text_positive=NORMAL_SENTENCE)

    (score,) = score_tables(
        [table], [write_judgements(tmp_path / "j.csv", {"c": SAID["c"]})]
    ).scores

    assert (score.precision.value, score.recall.value) == (None, 0)
