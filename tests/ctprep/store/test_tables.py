"""Tables are read strictly: what is wrong is named, and what was written comes back."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctprep.store import columns
from ctprep.store.columns import to_scan_id
from ctprep.store.errors import TableError
from ctprep.store.labels import CT_LITE_LABELS, CT_RATE_LABELS
from ctprep.store.tables import (
    REPORT_SCHEMA,
    LabelTable,
    RawReport,
    ReportRow,
    ScanRow,
    read_labels,
    read_raw_reports,
    read_reports,
    read_scans,
    write_labels,
    write_reports,
    write_scans,
)

SCANS = "scan_id,patient_id,split,path\n"


def _write(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def _row(scan_id: str = "a") -> ReportRow:
    return ReportRow(
        scan_id=scan_id,
        text_full="A nodule. No effusion.",
        text_positive="A nodule.",
        text_negative="No effusion.",
        kept_sentences=(0,),
        backend="rules",
        model="english-1",
        prompt_hash="0",
    )


def test_twelve_labels_are_those_seen_in_a_lung_window() -> None:
    """The paper leaves out these six of the 18."""
    assert len(CT_RATE_LABELS) == 18
    assert set(CT_RATE_LABELS) - set(CT_LITE_LABELS) == {
        "Medical material",
        "Arterial wall calcification",
        "Pericardial effusion",
        "Coronary artery wall calcification",
        "Hiatal hernia",
        "Lymphadenopathy",
    }
    assert [name for name in CT_RATE_LABELS if name in CT_LITE_LABELS] == list(CT_LITE_LABELS)


def test_scans_come_back(tmp_path: Path) -> None:
    """What was written is what is read, optional columns included."""
    rows = [
        ScanRow(scan_id="a_1", patient_id="p1", split="train", path="x/a.nii.gz", study_id="s"),
        ScanRow(scan_id="b", patient_id="p2", split="test", path="series", format="dicom"),
    ]
    write_scans(tmp_path / "scans.csv", rows)

    assert read_scans(tmp_path / "scans.csv") == rows
    assert [path.name for path in tmp_path.iterdir()] == ["scans.csv"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("scan_id,patient,split,path\n", "'patient_id' is missing (is it 'patient'?)"),
        ("scan_id,patient_id,split,path,formt\n", "nearest expected name 'format'"),
        ("scan_id,patient_id,split,path,path\n", "'path' appears twice"),
        (SCANS + "a,p,valid,x\n", "'valid'"),
        (SCANS + "A b,p,train,x\n", "line 2: scan_id: it holds a blank and a capital letter"),
        (SCANS + "..,p,train,x\n", "line 2: scan_id: it begins with a dot"),
        (SCANS + "a,,train,x\n", "patient_id"),
        (SCANS + "a,p,train,../x\n", "leaves the source folder"),
        (SCANS + "a,p,train,/x\n", "leaves the source folder"),
        (SCANS + "a,p,train,x/../../y\n", "leaves the source folder"),
        (SCANS + "a,p,train,C:\\x\n", "leaves the source folder"),
        (SCANS + "a,p,train,x\na,p,train,y\n", "'a' has more than one row"),
        (SCANS + "a,p,train,x\nb,p,test,y\n", "in 'train' and in 'test'"),
        (SCANS + "a,p,train,x\nb,p,train,x\n", "the same path"),
        (SCANS + "a,p,train\n", "not a CSV table"),
    ],
)
def test_wrong_scan_tables_are_refused(tmp_path: Path, text: str, named: str) -> None:
    """Each fault is named, with the file and what to do."""
    with pytest.raises(TableError) as caught:
        read_scans(_write(tmp_path, text))

    assert named in caught.value.what
    assert caught.value.where == "table.csv"
    assert caught.value.mend


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    """Three bad rows give one error that names their lines."""
    with pytest.raises(TableError, match=r"(?s)line 2.*line 3.*line 4"):
        read_scans(_write(tmp_path, SCANS + "A,p,train,x\nB,p,train,y\nc,p,val,z\n"))


def test_missing_file_is_an_error_of_ours(tmp_path: Path) -> None:
    """No traceback for a wrong path."""
    with pytest.raises(TableError, match="no such table"):
        read_scans(tmp_path / "absent.csv")


def test_a_folder_is_told_from_a_wrong_path(tmp_path: Path) -> None:
    """The folder of a data set, where one of its tables was meant."""
    with pytest.raises(TableError, match="it is a folder, not a table"):
        read_scans(tmp_path)


@pytest.mark.parametrize("columns", ["report", "findings", "impression"])
def test_reports_without_their_columns_are_told_both_ways(tmp_path: Path, columns: str) -> None:
    """A hospital's one column is a whole report as a rule, and needs no impression beside it."""
    path = _write(tmp_path, f"scan_id,{columns}\na,Emphysema.\n")

    with pytest.raises(TableError, match="is missing") as caught:
        read_raw_reports(path)

    assert "the only one there is, report_text" in caught.value.mend
    assert "findings and impression" in caught.value.mend


def test_a_filtered_table_in_place_of_the_reports(tmp_path: Path) -> None:
    """It holds report text, but not as it was delivered."""
    path = _write(tmp_path, ",".join(REPORT_SCHEMA.names) + "\n")

    with pytest.raises(TableError) as caught:
        read_raw_reports(path)

    assert "made by `ctprep filter-reports`" in caught.value.mend


def test_a_report_table_in_place_of_labels(tmp_path: Path) -> None:
    """None of its columns is a label, and none is without a name."""
    with pytest.raises(TableError, match="no column is a label"):
        read_labels(_write(tmp_path, "scan_id,findings,impression\na,b,c\n"))


def test_labels_come_back_with_their_holes(tmp_path: Path) -> None:
    """An empty cell is NaN, and only NaN is an empty cell."""
    values = np.array([[1.0, np.nan], [0.0, 1.0]])
    write_labels(tmp_path / "l.csv", LabelTable(("a", "b"), ("Emphysema", "Lung nodule"), values))

    labels = read_labels(tmp_path / "l.csv")

    assert labels.names == ("Emphysema", "Lung nodule")
    np.testing.assert_array_equal(labels.values, values)


def test_labels_as_published_are_read(tmp_path: Path) -> None:
    """CT-RATE names volumes, RAD-ChestCT leaves the first column nameless and writes 1.0."""
    ct_rate = _write(tmp_path, "VolumeName,Emphysema\nValid_1_a_1.nii.gz,1\n", "a.csv")
    rad = _write(tmp_path, ",emphysema\nTRN001,1.0\n", "b.csv")

    assert read_labels(ct_rate).scan_ids == ("valid_1_a_1",)
    assert read_labels(rad).scan_ids == ("trn001",)
    assert read_labels(rad).values.tolist() == [[1.0]]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("scan_id,Emphysema\na,yes\n", "'yes'"),
        ("scan_id,Emphysema\na,2\n", "'2'"),
        ("scan_id,,Emphysema\na,0,1\n", "no name"),
        ("scan_id\na\n", "no column is a label"),
        ("scanid,Emphysema\na,1\n", "'scan_id' is missing (is it 'scanid'?)"),
        ("scan_id,Emphysema\na,1\na,1\n", "more than one row"),
        ("scan_id,Emphysema\nA,1\n", "row 2: scan_id of 1 characters is not [a-z0-9._-]"),
    ],
)
def test_wrong_label_tables_are_refused(tmp_path: Path, text: str, named: str) -> None:
    """Each fault is named."""
    with pytest.raises(TableError) as caught:
        read_labels(_write(tmp_path, text))

    assert named in caught.value.what


def test_raw_reports_in_three_dialects(tmp_path: Path) -> None:
    """Ours, CT-RATE's with its 'Not given.', and a single text; other columns do not matter."""
    ours = _write(tmp_path, 'scan_id,findings,impression\na,"A, b\nc",D\n', "a.csv")
    ct_rate = _write(
        tmp_path,
        "VolumeName,Technique_EN,Findings_EN,Impressions_EN\nx_1.nii.gz,t,F,Not given.\n",
        "b.csv",
    )
    single = _write(tmp_path, 'AccessionNo,report_text,Emphysema\nn1,"He said ""x""",1\n', "c.csv")

    assert read_raw_reports(ours) == [RawReport("a", findings="A, b\nc", impression="D")]
    assert read_raw_reports(ct_rate) == [RawReport("x_1", findings="F")]
    assert read_raw_reports(single) == [RawReport("n1", report_text='He said "x"')]


def test_raw_reports_longer_than_a_block(tmp_path: Path) -> None:
    """A quoted cell of two megabytes with line breaks is one cell."""
    text = "word\n" * 400_000
    path = _write(tmp_path, f'scan_id,report_text\na,"{text}"\n')

    assert read_raw_reports(path)[0].report_text == text.strip()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("scan_id,findings\na,x\n", "'impression' is missing"),
        ("scan_id,Findings_EN,Impression_EN\na,x,y\n", "(is it 'Impression_EN'?)"),
        ("scan_id,finding,impresion\na,x,y\n", "(is it 'finding'?)"),
        (
            "VolumeName,report_text\na.nii.gz,x\nA.nii,y\n",
            "rows 2 and 3 spell one scan id in several ways",
        ),
        ("VolumeName,report_text\na.nii,x\na.nii,y\n", "'a' has more than one row"),
    ],
)
def test_wrong_raw_reports_are_refused(tmp_path: Path, text: str, named: str) -> None:
    """A missing column is named together with what was probably meant."""
    with pytest.raises(TableError) as caught:
        read_raw_reports(_write(tmp_path, text))

    assert named in caught.value.what


def test_errors_do_not_quote_reports(tmp_path: Path) -> None:
    """A broken line of a report table is not printed: it may hold text about a person."""
    with pytest.raises(TableError) as caught:
        read_raw_reports(_write(tmp_path, "scan_id,report_text\na,secret,secret\n"))

    assert "secret" not in str(caught.value)


def test_reports_come_back(tmp_path: Path) -> None:
    """Parquet keeps every column, its type and an empty list."""
    path = tmp_path / "reports.parquet"
    write_reports(path, [_row("a"), _row("b")])

    table = read_reports(path)

    assert table.schema.equals(REPORT_SCHEMA)
    assert ReportRow.model_validate(table.to_pylist()[1]) == _row("b")


def test_wrong_report_tables_are_refused(tmp_path: Path) -> None:
    """A lost column, another type, a hole and a repeated scan are told apart."""
    path = tmp_path / "reports.parquet"
    write_reports(path, [_row()])
    good = pq.read_table(path)
    kept = good.schema.get_field_index("kept_sentences")
    hole = pa.array([None], pa.string())
    wrong = {
        "'flags' is missing": good.drop_columns(["flags"]),
        "is unknown": good.append_column("note", pa.array(["x"])),
        "is string, not list": good.set_column(kept, "kept_sentences", pa.array(["0"])),
        "has empty cells": good.set_column(1, "text_full", hole),
        "more than one row": pa.concat_tables([good, good]),
    }
    for named, table in wrong.items():
        pq.write_table(table, path)
        with pytest.raises(TableError, match=named):
            read_reports(path)
    path.write_bytes(b"PAR1 not a table")
    with pytest.raises(TableError, match="not a Parquet file"):
        read_reports(path)
    with pytest.raises(TableError, match="more than one row"):
        write_reports(path, [_row(), _row()])


@given(st.text(max_size=200))
def test_scan_ids_are_slugs_or_refused(name: str) -> None:
    """Whatever a volume is called, its id cannot leave a folder, and making it again is stable."""
    try:
        scan_id = to_scan_id(name)
    except TableError:
        return

    assert "/" not in scan_id
    assert not scan_id.startswith(".")
    assert to_scan_id(scan_id) == scan_id or scan_id.endswith((".nii", ".npz", ".nrrd", ".mha"))


def test_scan_id_of_a_ct_rate_volume() -> None:
    """By hand."""
    assert to_scan_id("valid_53_a_1.nii.gz") == "valid_53_a_1"
    assert to_scan_id("Case 7 (b).NPZ") == "case-7-b-"


def test_no_thread_of_arrow_keeps_a_python_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that let go of it while the program ended would abort the process, now and then."""
    buffers = []

    def spy(buffer: object) -> pa.BufferReader:
        buffers.append(buffer)
        return reader(buffer)

    reader = pa.BufferReader
    monkeypatch.setattr(columns.pa, "BufferReader", spy)
    path = tmp_path / "a.csv"
    path.write_bytes(b"scan_id,report_text\na,Emphysema.\n")

    columns.read_text_table(path)

    assert buffers
    # A buffer around an object of Python's holds on to it, as those of Arrow's own memory do not.
    assert all(isinstance(buffer, pa.Buffer) and buffer.is_mutable for buffer in buffers)
    assert not pa.py_buffer(path.read_bytes()).is_mutable
