"""Only whole files of a page are taken, and a judge who contradicts himself is not."""

from pathlib import Path

import pytest

from ctprep.audit.judgements import read_judgements
from ctprep.store.errors import TableError
from tests.ctprep.audit.verdicts_files import PAGE, hash_text, write_judgements

ALL_RIGHT = {"b": ["keep", "drop", "keep"], "c": ["keep", "drop"]}


def test_read_back(tmp_path: Path) -> None:
    """Every verdict, with who gave it, on which page and in how many seconds."""
    path = write_judgements(tmp_path / "j.csv", ALL_RIGHT)

    first, second = read_judgements([path])

    assert (first.judge, first.page, first.only) == ("AB", PAGE, "all")
    assert (first.scan_id, first.text_hash, first.seconds) == ("b", hash_text("b"), 6.0)
    assert first.verdicts == {0: "keep", 1: "drop", 2: "keep"}
    assert second.scan_id == "c"


def test_a_file_that_was_saved_twice_counts_once(tmp_path: Path) -> None:
    """The later one may hold more reports."""
    early = write_judgements(tmp_path / "1.csv", {"c": ALL_RIGHT["c"]})
    late = write_judgements(tmp_path / "2.csv", ALL_RIGHT, seconds="9.5")

    assert [report.scan_id for report in read_judgements([early, late])] == ["b", "c"]


def test_a_judge_who_changed_his_mind(tmp_path: Path) -> None:
    """Two files that say two things are refused; two judges may."""
    one = write_judgements(tmp_path / "1.csv", {"c": ["keep", "drop"]})
    two = write_judgements(tmp_path / "2.csv", {"c": ["drop", "drop"]})

    with pytest.raises(TableError, match="'AB' says two things of 'c'") as caught:
        read_judgements([one, two])
    assert "later file" in caught.value.mend
    other = write_judgements(tmp_path / "2.csv", {"c": ["drop", "drop"]}, judge="CD")
    assert len(read_judgements([one, other])) == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",keep,AB,", ",maybe,AB,", "line 3: verdict is not as"),
        (",0,keep", ",x,keep", "line 3: sentence is not as"),
        (",AB,6.0", ",AB,long", "line 2: seconds is not as"),
        ("corrected", "keep", "line 2: verdict is not as a page writes it, one of right and"),
        (",all,", ",disagreeing ones,", "line 2: only is not as a page writes it, one of all, dis"),
        (f"{PAGE},all,c", f"{PAGE},all,../c", "line 2: scan_id is not as"),
        ("AB", "A B;", "judge is not as"),
        ("page,", "side,", "column 'page' is missing"),
    ],
)
def test_what_no_page_writes(tmp_path: Path, old: str, new: str, message: str) -> None:
    """Is told with its line."""
    path = write_judgements(tmp_path / "j.csv", {"c": ["keep", "drop"]})
    path.write_text(path.read_text().replace(old, new))

    with pytest.raises(TableError, match=message) as caught:
        read_judgements([path])
    assert (caught.value.where, caught.value.mend) == (
        "j.csv",
        "give a file as the page saved it, not as a spreadsheet saved it again",
    )


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_report_with_a_row_missing(tmp_path: Path, lost: int) -> None:
    """A file that someone cut is no judgement; the last row alone is found by the text's hash."""
    path = write_judgements(tmp_path / "j.csv", {"b": ["keep", "drop", "keep"]})
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:lost] + lines[lost + 1 :]))

    with pytest.raises(TableError, match="'b' are no whole report"):
        read_judgements([path])


def test_rows_of_two_texts(tmp_path: Path) -> None:
    """Are no report, though their numbers fit together."""
    path = write_judgements(tmp_path / "j.csv", {"c": ["keep", "drop"]})
    lines = path.read_text().splitlines(keepends=True)
    lines[-1] = lines[-1].replace(hash_text("c"), hash_text("b"))
    path.write_text("".join(lines))

    with pytest.raises(TableError, match="'c' are no whole report"):
        read_judgements([path])


def test_nothing_judged(tmp_path: Path) -> None:
    """A file with its head alone says nothing."""
    with pytest.raises(TableError, match="no report was judged"):
        read_judgements([write_judgements(tmp_path / "j.csv", {})])
