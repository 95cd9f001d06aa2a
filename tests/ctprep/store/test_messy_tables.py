"""Tables as hospitals and spreadsheets write them are read whole, or refused with the reason."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctprep.store.columns import read_text_table
from ctprep.store.csv_bytes import check_quotes, find_delimiter
from ctprep.store.errors import TableError
from ctprep.store.tables import (
    RawReport,
    read_labels,
    read_raw_reports,
    read_scans,
)


def _file(folder: Path, content: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffAccessionNo,report_text\n007,x\n08,y\n",
        "AccessionNo;report_text\n007;x\n08;y\n",
        "AccessionNo\treport_text\n007\tx\n08\ty\n",
        '"AccessionNo" , "report_text"\n"007","x"\n08,y\n'.replace('" ,', '",').replace(' "', '"'),
        " AccessionNo , report_text \r\n007,x\r\n08,y\r\n",
        "AccessionNo,report_text,age\n007,x,5\n\n08,y,\n,,\n,,\n",
        "AccessionNo,report_text\r007,x\r08,y\r",
    ],
    ids=["mark", "semicolons", "tabs", "quotes", "spaces", "empty rows", "returns"],
)
def test_what_spreadsheets_write_is_read(tmp_path: Path, text: str) -> None:
    """Two reports each time, and no leading zero lost."""
    reports = read_raw_reports(_file(tmp_path, text))

    assert reports == [RawReport("007", report_text="x"), RawReport("08", report_text="y")]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('scan_id,report_text\na,"x\nb,y\nc,z\n', "mark in line 2 does not end"),
        ('scan_id,report_text\na,x\nb,"5" nodule"\n', "mark in line 3 does not end"),
        ('scan_id,report_text\na,"x\ny"\nb,"z" z\n', "mark in line 4 does not end"),
        ('scan_id,report_text\na, "x"\n', "line 2 begins with a blank and a quotation mark"),
        (b"scan_id,report_text\na,x\nb,y\0\n", "NUL byte in line 3"),
        ("scan_id,report_text\na,x\n".encode("utf-16"), "UTF-16"),
        ("scan_id,report_text\na,x\nb,T\xfcr\n".encode("cp1252"), "line 3 holds a letter"),
        ("scan_id,\xc9tude\na,x\n".encode("cp1252"), "line 1 holds a letter"),
        (b"PK\x03\x04" + bytes(40), "Excel workbook"),
        ("scan_id,report_text\na,x\nb,y,z\n", "Row #3: Expected 2 columns, got 3"),
        ("AccessionNo,report_text\n12345.0,x\n12346.0,y\n", "in row 2 one like 12.0: digits"),
        ("AccessionNo,report_text\nA1,x\n1.23457E+12,y\n", "in row 3 one like 1.2E+12: digits"),
        ("AccessionNo,report_text\na,x\n,y\n", "row 3: AccessionNo is empty"),
        (
            "AccessionNo,report_text\nA/1,x\na 1,y\n",
            "rows 2 and 3 spell one scan id in several ways",
        ),
        ("volumename,report_text\na,x\n", "'VolumeName' is missing (is it 'volumename'?)"),
    ],
)
def test_what_would_lose_or_alter_something_is_told(
    tmp_path: Path, content: str | bytes, told: str
) -> None:
    """With the line or the value, the file, and a way to mend it."""
    with pytest.raises(TableError) as caught:
        read_raw_reports(_file(tmp_path, content))

    assert told in caught.value.what
    assert caught.value.where == "table.csv"
    assert len(str(caught.value).splitlines()) == 3


def test_ids_that_pandas_made_floats_are_told_from_parquet(tmp_path: Path) -> None:
    """A column of numbers with a hole once; whole numbers have lost at most their zeros."""
    path = tmp_path / "r.parquet"
    pq.write_table(pa.table({"AccessionNo": [1.0, 2.0], "report_text": ["x", "y"]}), path)

    with pytest.raises(TableError, match=r"in row 2 one like 12\.0: digits"):
        read_raw_reports(path)


def test_one_id_like_a_float_is_a_name(tmp_path: Path) -> None:
    """Files may be called so; only a whole column of it speaks of a spreadsheet."""
    path = _file(tmp_path, "scan_id,report_text\n1.0,x\na,y\n")

    assert [report.scan_id for report in read_raw_reports(path)] == ["1.0", "a"]


def test_a_packed_table_is_checked_the_same(tmp_path: Path) -> None:
    """The quotation mark is seen behind gzip, too."""
    path = _file(tmp_path, gzip.compress(b'scan_id,report_text\na,"x\n'), "t.csv.gz")

    with pytest.raises(TableError, match="line 2"):
        read_raw_reports(path)
    path.write_bytes(b"no gzip")
    with pytest.raises(TableError, match="cannot be read"):
        read_raw_reports(path)


def test_the_whole_text_counts_where_sections_are_empty(tmp_path: Path) -> None:
    """A hospital's table may have both; half a pair of sections is none."""
    both = _file(tmp_path, "scan_id,findings,impression,report_text\na,F,,W\nb,,Not given.,W\n")
    half = _file(tmp_path, "scan_id,impression,report_text\na,I,W\n", "half.csv")

    assert read_raw_reports(both) == [
        RawReport("a", findings="F"),
        RawReport("b", report_text="W"),
    ]
    assert read_raw_reports(half) == [RawReport("a", report_text="W")]


def test_label_tables_may_hold_the_columns_of_others(tmp_path: Path) -> None:
    """Report, patient and split are no labels; truth and holes are spelled in several ways."""
    path = _file(
        tmp_path,
        "AccessionNo,report_text,patient_id,split,Emphysema,Atelectasis\n"
        "n1,Some text.,p,train,True,nan\nn2,,p,train,0.0,\n",
    )

    labels = read_labels(path)

    assert labels.names == ("Emphysema", "Atelectasis")
    assert labels.values[:, 0].tolist() == [1.0, 0.0]
    assert list(map(str, labels.values[:, 1])) == ["nan", "nan"]


def test_a_label_table_quotes_no_report(tmp_path: Path) -> None:
    """A column of text is named, and counted; a short cell is shown."""
    path = _file(tmp_path, "scan_id,Report,E\na,Mr Secret has,1\nb,Mr Other has,-1\n")

    with pytest.raises(TableError) as caught:
        read_labels(path)

    assert "Secret" not in str(caught.value)
    assert "'Report': scan 'a' has a text of 13 characters, and 1 more" in caught.value.what
    assert "'E': scan 'b' has '-1'" in caught.value.what


def test_an_index_column_is_no_label(tmp_path: Path) -> None:
    """Two rows numbered 0 and 1 look like labels; pandas tells by the name."""
    with pytest.raises(TableError, match="no name"):
        read_labels(_file(tmp_path, "Unnamed: 0,scan_id,E\n0,a,1\n1,b,0\n"))


@pytest.mark.parametrize(("one", "other"), [("AB12", "ab12"), ("0012", "12"), ("12.0", "012")])
def test_a_patient_spelled_twice_is_on_one_side(tmp_path: Path, one: str, other: str) -> None:
    """Case, zeros and a point are what programs change: the patient would be in both splits."""
    path = _file(tmp_path, f"scan_id,patient_id,split\na,{one},train\nb,{other},test\n")

    with pytest.raises(TableError, match="in 'train' and in 'test', spelled in another way"):
        read_scans(path)

    path.write_text(f"scan_id,patient_id,split\na,{one},train\nb,{other},train\n")
    assert [row.patient_id for row in read_scans(path)] == [one, other]


_CELL = st.text(st.sampled_from("ab0 \",;\n\t'\u00e9"), max_size=6)


@given(
    st.lists(st.tuples(_CELL, _CELL), min_size=1, max_size=6),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_correct_writer_quotes_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], sign: str, end: str
) -> None:
    """Any cells, parted by any of the three signs, at any ends of lines."""
    path = tmp_path_factory.mktemp("any") / "t.csv"
    quoted = [[f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row] for row in rows]
    lines = [sign.join(("x", "y", "z")), *(sign.join(("1", *row)) for row in quoted)]
    path.write_bytes((end.join(lines) + end).encode())

    table = read_text_table(path)

    found = list(zip(table["y"].to_pylist(), table["z"].to_pylist(), strict=True))
    assert found == rows


def test_marks_inside_a_cell_are_text() -> None:
    """Inches and quoted words, where the cell does not begin with a mark."""
    check_quotes(b'a,b\nx,5" nodule\ny,a "hazy" part\n', ",")
    assert find_delimiter(b'"a,b";c\n1,2;3\n') == ";"
    assert find_delimiter(b"alone\n1,2\n") == ","


def test_rad_chestct_labels_as_published(tmp_path: Path) -> None:
    """A column an abnormality and place: present in any place is present, a hole is one."""
    path = _file(
        tmp_path,
        "NoteAcc_DEID,nodule*left_upper,nodule*thyroid,emphysema*lung,nodule*other_location\n"
        "trn00001,0,1,0,0\nTRN00002,0,0,1,0\nval00003,,0,,0\nval00004,,1,0.0,0\n",
    )

    labels = read_labels(path)

    assert labels.scan_ids == ("trn00001", "trn00002", "val00003", "val00004")
    assert labels.names == ("nodule", "emphysema")
    assert [[str(value) for value in row] for row in labels.values] == [
        ["1.0", "0.0"], ["0.0", "1.0"], ["nan", "nan"], ["1.0", "0.0"],
    ]  # fmt: skip
