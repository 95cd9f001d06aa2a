"""No error shows what may be a name, a date, a number of a patient or report text."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctprep.audit.judgements import read_judgements
from ctprep.metadata import read_metadata
from ctprep.owners import owners_by_table
from ctprep.store.cells import tell_cell, tell_odd
from ctprep.store.errors import TableError
from ctprep.store.manifest import load_manifest
from ctprep.store.tables import read_labels, read_raw_reports, read_scans

NAME = "M\u00fcller, Hans"


@pytest.mark.parametrize("cell", ["0", "-1", "2.5", "0,68", "1e-3", "inf", "9999", "Yes"])
def test_short_numbers_and_known_words_are_told(cell: str) -> None:
    """They help, and are nobody's."""
    assert tell_cell(cell, ("yes",)) == repr(cell)


@pytest.mark.parametrize("cell", [NAME, "Kim", "12.03.1950", "1950-03-12", "10077345", "yes"])
def test_the_rest_is_counted(cell: str) -> None:
    """Names of three letters, dates of birth and numbers of patients, too."""
    assert tell_cell(cell) == f"a text of {len(cell)} characters"


def test_what_an_id_may_not_hold() -> None:
    """By kinds of characters; a sign alone is nobody's."""
    assert tell_odd("a-1_b.c") == ""
    assert tell_odd("a b") == "a blank"
    assert tell_odd("A\nb/c") == "a line break, a capital letter and the sign '/'"
    assert tell_odd(NAME) == "a blank, a capital letter, a letter beyond a to z and the sign ','"


@given(st.text(st.sampled_from("qxz07\u00e9"), max_size=20))
def test_letters_and_figures_never_come_back(cell: str) -> None:
    """Of them no more is told than their kind."""
    assert tell_odd(cell) == ("a letter beyond a to z" if "\u00e9" in cell else "")


TABLES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "reports": (read_raw_reports, "scan_id,report_text\n{0},x\nb,y\n", "row 2: scan_id of 12"),
    "too long": (read_raw_reports, "AccessionNo,report_text\nb,x\n{0},y\n", "row 3: AccessionNo:"),
    "twice": (
        read_raw_reports,
        "AccessionNo,report_text\n{0},x\nm\u00dcller/hans,y\n",
        "rows 2 and 3 spell one",
    ),
    "labels": (read_labels, "scan_id,E\n{0},1\n", "row 2: scan_id of 12"),
    "label": (read_labels, "scan_id,E\na,{0}\n", "scan 'a' has a text of 12 characters"),
    "scan": (read_scans, "scan_id,patient_id,split\n{0},p,train\n", "line 2: scan_id: it holds"),
    "split": (read_scans, "scan_id,patient_id,split\na,p,{0}\n", "split holds a text of 12"),
    "path": (
        read_scans,
        "scan_id,patient_id,split,path\na,p,test,../M\u00fcller\n",
        "line 2: path:",
    ),
    "no header": (read_scans, "a,{0},train,x\nb,p,test,y\n", "the first row names none"),
    "judge": (
        lambda path: read_judgements([path]),
        "page,only,scan_id,text,sentence,verdict,judge,seconds\n,,,,,,{0},\n",
        "line 2: judge is not as",
    ),
    "owners": (
        lambda path: owners_by_table(path, ["a"]),
        "scan_id,patient_id\n{0},p\n",
        "row 2: scan_id of 12",
    ),
    "numbers": (
        lambda path: owners_by_table(path, ["a"]),
        "scan_id,patient_id\na,10077345.0\n",
        "patient_id holds numbers in place of names, in row 2",
    ),
    "metadata": (
        lambda path: read_metadata(path, load_manifest("ct_rate")),
        "VolumeName,RescaleSlope,RescaleIntercept,XYSpacing,ZSpacing\na.nii.gz,{0},,,\n",
        "RescaleSlope holds a text of 12",
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_in_wrong_columns(tmp_path: Path, name: str) -> None:
    """The row and what is wrong are told, and never the cell."""
    read, text, told = TABLES[name]
    cell = "." + NAME * 11 if name == "too long" else NAME
    (tmp_path / "t.csv").write_text(text.format(f'"{cell}"'))

    with pytest.raises(TableError) as caught:
        read(tmp_path / "t.csv")

    assert told in caught.value.what
    for part in ("ller", "Hans", "hans", "10077345"):
        assert part not in str(caught.value)
