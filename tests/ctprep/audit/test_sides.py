"""Tables are held against each other only where they speak of the same sentences."""

from pathlib import Path

import pytest

from ctprep.audit.sides import common_ids, read_side_by_side, read_sides
from ctprep.reports.filter import IDENTIFIERS_REMOVED, REWRITTEN, filter_reports, read_sentences
from ctprep.reports.reading.language import read_rules
from ctprep.store.errors import TableError
from ctprep.store.tables import write_reports
from tests.ctprep.audit.tables import FIRST, SECOND, TEXTS, make_row, write_table


def test_sentences_are_those_that_kept_sentences_counts(tmp_path: Path) -> None:
    """One numbering: that of the filter, sections that are not read among it."""
    sides = read_sides([write_table(tmp_path / "one.parquet", FIRST)])

    (report, *_) = read_side_by_side(sides, read_rules())

    assert [(s.text, s.is_read) for s in report.sentences] == read_sentences(TEXTS["a"])
    assert [s.section for s in report.sentences] == ["technique", *["findings"] * 3]
    assert report.kept == (frozenset({1}),)


def test_where_tables_disagree(tmp_path: Path) -> None:
    """A sentence is a disagreement where one side alone keeps it."""
    paths = [
        write_table(tmp_path / f"{name}.parquet", kept)
        for name, kept in (("1", FIRST), ("2", SECOND))
    ]

    reports = {r.scan_id: r for r in read_side_by_side(read_sides(paths), read_rules())}

    assert {s: r.disagreements for s, r in reports.items()} == {"a": (3,), "b": (0,), "c": (0,)}
    assert reports["c"].flags == {"nothing-abnormal"}


def test_only_common_reports_are_compared(tmp_path: Path) -> None:
    """What is in one table alone takes no part."""
    one = write_table(tmp_path / "1.parquet", {"a": [1], "b": [2]})
    two = write_table(tmp_path / "2.parquet", {"b": [2], "c": [0]})

    assert common_ids(read_sides([one, two])) == ["b"]


def test_no_common_report(tmp_path: Path) -> None:
    """Is told with both tables."""
    one = write_table(tmp_path / "1.parquet", {"a": [1]})
    two = write_table(tmp_path / "2.parquet", {"b": [2]})

    with pytest.raises(TableError, match="no report is in all tables") as caught:
        read_sides([one, two])
    assert caught.value.where == "1.parquet and 2.parquet"


@pytest.mark.parametrize(
    ("flags", "mend"), [((IDENTIFIERS_REMOVED,), "--keep-identifiers"), ((), "same reports")]
)
def test_other_texts(tmp_path: Path, flags: tuple[str, ...], mend: str) -> None:
    """Texts that differ are refused; that names went from one of them is told as the reason."""
    one = write_table(tmp_path / "1.parquet", FIRST)
    two = tmp_path / "2.parquet"
    write_reports(two, [make_row("a", TEXTS["a"].replace("kV", "XXXX"), [1], flags=flags)])

    with pytest.raises(TableError, match=r"1 of 1 reports have another text.*'a'") as caught:
        read_sides([one, two])
    assert mend in caught.value.mend


@pytest.mark.parametrize("kept", [[7], [0]])
def test_numbers_of_other_rules(tmp_path: Path, kept: list[int]) -> None:
    """A number beyond the text or in a section that is not read was counted by other rules."""
    path = write_table(tmp_path / "1.parquet", {"a": [1]})
    write_reports(path, [make_row("a", TEXTS["a"], [1], kept_sentences=tuple(kept))])

    with pytest.raises(TableError, match="'a' are not those of its text") as caught:
        list(read_side_by_side(read_sides([path]), read_rules()))
    assert "--language" in caught.value.mend
    assert caught.value.where == "1.parquet"


def test_another_text_behind_the_same_numbers(tmp_path: Path) -> None:
    """Also refused: the mark would stand on a sentence that was not kept."""
    path = tmp_path / "1.parquet"
    write_reports(path, [make_row("a", TEXTS["a"], [1], kept_sentences=(2,))])

    with pytest.raises(TableError, match="not those of its text"):
        list(read_side_by_side(read_sides([path]), read_rules()))


def test_rewrites_stand_beside_their_sources(tmp_path: Path) -> None:
    """Each sentence of a model with the number of what it was made from."""
    path = tmp_path / "1.parquet"
    text = "Technique: 120 kV.\nFindings: There is a 6 mm nodule. A scar is seen on the left."
    written = {"text_positive": "Scar is seen on the left. 6 mm nodule.", "flags": (REWRITTEN,)}
    write_reports(path, [make_row("a", text, [1, 2], **written)])

    (report,) = read_side_by_side(read_sides([path]), read_rules())

    assert report.rewritten(0) == [("Scar is seen on the left.", 2), ("6 mm nodule.", 1)]


def test_too_many_tables(tmp_path: Path) -> None:
    """There are four letters."""
    with pytest.raises(TableError, match="5 tables are too many"):
        read_sides([tmp_path / "x.parquet"] * 5)


def test_the_hash_is_of_the_sentences_alone(tmp_path: Path) -> None:
    """The same for any table of the report, another for another text."""
    one = write_table(tmp_path / "1.parquet", FIRST)
    two = write_table(tmp_path / "2.parquet", SECOND)
    hashes = [
        {r.scan_id: r.text_hash for r in read_side_by_side(read_sides([path]), read_rules())}
        for path in (one, two)
    ]

    assert hashes[0] == hashes[1]
    assert len(set(hashes[0].values())) == 3


def test_a_table_of_the_rules(tmp_path: Path) -> None:
    """What filter-reports writes is taken as it is."""
    raw, out = tmp_path / "raw.csv", tmp_path / "out.parquet"
    raw.write_text('scan_id,report_text\nx,"A nodule. Lungs are clear;Dr. Jones called"\n')
    list(filter_reports(raw, out))

    (report,) = read_side_by_side(read_sides([out]), read_rules())

    assert report.kept[0] >= {0}
    assert IDENTIFIERS_REMOVED in report.flags
