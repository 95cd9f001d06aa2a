"""Agreement, counted by hand on eight sentences."""

from pathlib import Path

import pytest
import sklearn.metrics as oracle
from hypothesis import given
from hypothesis import strategies as st

from ctprep.audit.agreement import (
    Agreement,
    Fourfold,
    Phrase,
    count_fourfold,
    measure_agreement,
    normalize,
)
from ctprep.audit.sides import read_side_by_side, read_sides
from ctprep.reports.filter import filter_reports
from ctprep.reports.reading.language import read_rules
from ctprep.reports.reading.sections import IMPRESSION_MARK
from ctprep.store.tables import ReportRow, read_reports, write_reports
from tests.ctprep.audit.tables import FIRST, SECOND, write_table


def _measure(*paths: Path) -> list[Agreement]:
    sides = read_sides(paths)
    return measure_agreement(sides, list(read_side_by_side(sides, read_rules())))


def test_by_hand(tmp_path: Path) -> None:
    """Findings of a: 1 both, 2 neither, 3 second; of b and of c: 0 first, 1 neither.

    Impression of b: both. So 2 both, 2 first, 1 second, 3 neither: agreement 5/8; the first keeps
    4/8, the second 3/8, so by chance 4/8 * 3/8 + 4/8 * 5/8 = 1/2; kappa (5/8 - 1/2) / (1/2) = 1/4.
    """
    one = write_table(tmp_path / "1.parquet", FIRST, flags=("rewritten",))
    two = write_table(tmp_path / "2.parquet", SECOND)

    (found,) = _measure(one, two)

    assert found.sentences == Fourfold(2, 2, 1, 3)
    assert (found.sentences.agreement, found.sentences.kappa) == (5 / 8, pytest.approx(1 / 4))
    assert found.sections == {"findings": Fourfold(1, 2, 1, 3), "impression": Fourfold(1, 0, 0, 0)}
    assert (found.first, found.second, found.reports, found.identical_reports) == ("A", "B", 3, 0)
    assert found.flags == {"nothing-abnormal": (0, 1), "rewritten": (3, 0)}


def test_an_impression_in_a_column_of_its_own_is_one(tmp_path: Path) -> None:
    """Tables have no heading for it; a table of an earlier version had no mark of it either."""
    raw = tmp_path / "raw.csv"
    raw.write_text("scan_id,findings,impression\na,A cyst. No effusion.,A nodule.\n")
    paths = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    for path in paths:
        list(filter_reports(raw, path))
    table = read_reports(paths[1]).to_pylist()
    text = table[0]["text_full"].replace(IMPRESSION_MARK + "\n", "")
    write_reports(paths[1], [ReportRow.model_validate({**table[0], "text_full": text})])

    (found,) = _measure(*paths)

    assert found.sections == {"findings": Fourfold(1, 0, 0, 1), "impression": Fourfold(1, 0, 0, 0)}


def test_phrases_meet_across_numbers(tmp_path: Path) -> None:
    """A 6 mm and an 8 mm nodule are one phrase: once agreed on, once kept by the first alone."""
    (found,) = _measure(
        write_table(tmp_path / "1.parquet", FIRST), write_table(tmp_path / "2.parquet", SECOND)
    )

    assert found.phrases == (
        Phrase("<script>alert(#)</script> & 'scar' <b>", 1, 0, 0),
        Phrase("a # mm nodule", 1, 0, 1),
        Phrase("the heart is normal", 0, 1, 0),
    )


def test_reports_of_one_table_alone_are_counted(tmp_path: Path) -> None:
    """They take no part in anything else."""
    one = write_table(tmp_path / "1.parquet", {"a": [1], "b": [2]})
    two = write_table(tmp_path / "2.parquet", {"b": [2]})

    (found,) = _measure(one, two)

    assert (found.missing, found.reports, found.identical_reports) == ((1, 0), 1, 1)


def test_three_tables_make_three_pairs(tmp_path: Path) -> None:
    """And one table makes none."""
    path = write_table(tmp_path / "1.parquet", FIRST)

    assert [(f.first, f.second) for f in _measure(path, path, path)] == [
        ("A", "B"), ("A", "C"), ("B", "C"),
    ]  # fmt: skip
    assert _measure(path) == []


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40))
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[bool, bool]]) -> None:
    """Wherever it is defined."""
    found = count_fourfold(pairs).kappa

    if found is None:
        assert len({cell for pair in pairs for cell in pair}) == 1
    else:
        assert found == pytest.approx(oracle.cohen_kappa_score(*zip(*pairs, strict=True)))


def test_nothing_to_agree_on() -> None:
    """Has neither agreement nor kappa."""
    assert (Fourfold().agreement, Fourfold().kappa) == (None, None)


def test_normal_form() -> None:
    """Numbers, case, blanks and the end of a sentence do not part phrases."""
    assert (
        normalize("A  3.5 x 4,2 MM nodule.")
        == normalize("a 6 x 7 mm nodule")
        == "a # x # mm nodule"
    )
