"""A scan takes its own row of another table, else its study's, and never that of another study."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctprep.store.columns import study_key
from ctprep.store.errors import TableError
from ctprep.store.find_rows import find_rows

# Few and alike, so that ids of scans and studies, and spellings of studies, often meet.
NAMES = st.sampled_from(["a", "b", "c", "a_1", "a_2"])
STUDIES = st.none() | st.sampled_from(["a", "A", "b", "B/1", "b-1", "a_1"])
STUDY_OF = st.dictionaries(NAMES, STUDIES)
ROWS = st.frozensets(st.sampled_from(["a", "b", "c", "a_1", "a_2", "b-1"]))


def _found(study_of: dict[str, str | None], names: frozenset[str]) -> dict[str, str] | None:
    try:
        return find_rows(study_of, names)
    except TableError:
        return None


@given(STUDY_OF, ROWS)
def test_the_own_row_wins(study_of: dict[str, str | None], names: frozenset[str]) -> None:
    """Whatever its study is called; a table with a row for every scan is never refused."""
    found = _found(study_of, names)

    if names >= study_of.keys():
        assert found is not None
    for scan_id in (found or {}).keys() & names:
        assert found[scan_id] == scan_id


@given(STUDY_OF, ROWS)
def test_no_row_of_another_study(study_of: dict[str, str | None], names: frozenset[str]) -> None:
    """What is not the scan's own is named by its study, alone."""
    for scan_id, name in (_found(study_of, names) or {}).items():
        assert name in names
        if name != scan_id:
            study = study_of[scan_id]
            assert study is not None
            assert name == study_key(study)
            assert study_of.get(name, study) == study
            assert {own for own in study_of.values() if own and study_key(own) == name} == {study}


@given(st.dictionaries(st.sampled_from(["x1", "x2", "x3"]), STUDIES), ROWS)
def test_a_study_row_reaches_all_its_scans(
    study_of: dict[str, str | None], names: frozenset[str]
) -> None:
    """Where studies are told apart from each other, and from scans, all that have a row get it."""
    keys = {study: study_key(study) for study in study_of.values() if study is not None}
    found = _found(study_of, names)

    if len(set(keys.values())) == len(keys):
        told = {scan: keys[study] for scan, study in study_of.items() if study in keys}
        assert found == {scan: key for scan, key in told.items() if key in names}


@pytest.mark.parametrize("of_other", ["t", None])
def test_a_study_spelled_like_another_scan_is_refused(of_other: str | None) -> None:
    """The row may be meant for the scan or the study; which, only the owner knows."""
    with pytest.raises(TableError, match=r"'x' .* row 'a' .* the id of scan 'a'") as caught:
        find_rows({"x": "A", "a": of_other}, {"a"})

    assert "a row of its own" in caught.value.mend
    assert find_rows({"x": "A", "a": of_other}, {"a", "x"}) == {"a": "a", "x": "x"}
    assert find_rows({"x": "A", "a": "A"}, {"a"}) == {"x": "a", "a": "a"}


def test_two_studies_of_one_spelling_are_refused() -> None:
    """As a row's name, both are `a-1`."""
    with pytest.raises(TableError, match=r"2 studies are 'a-1'"):
        find_rows({"x": "A/1", "y": "a-1"}, {"a-1"})

    assert find_rows({"x": "A/1", "y": "a-1"}, {"x"}) == {"x": "x"}
