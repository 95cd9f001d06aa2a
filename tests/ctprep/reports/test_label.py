"""The label table: columns of a data set, rows of reports, scans or studies, none lost."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cli import ctprep
from ctprep.reports.filter import filter_reports
from ctprep.reports.label import LabelItem, Level, label_reports
from ctprep.reports.labels.labeller import Judgement
from ctprep.reports.labels.rules_labeller import Doubt, RulesLabeller
from ctprep.store.columns import read_text_table, text_column
from ctprep.store.errors import PlaceError, TableError
from ctprep.store.labels import CT_RATE_LABELS
from ctprep.store.manifest import load_manifest
from ctprep.store.tables import LabelTable, read_labels

REPORTS = """scan_id,findings,impression
sick,The heart is normal. No effusion. A 4.5 mm nodule is seen.,Emphysema?
well,Lungs are clear.,
none,Technique: 120 kV.,
"""
STUDIES = """scan_id,findings,impression
s1_a,A nodule is seen in the lung.,
s2_a,Emphysema is seen.,
s2_b,No emphysema is seen.,
s4,Emphysema is seen.,
other,A nodule.,
"""
SCANS = """scan_id,patient_id,split,study_id
s1_a,p1,train,s1
s1_b,p1,train,s1
s2_a,p2,train,s2
s2_b,p2,train,s2
s2_c,p2,train,s2
s3_a,p3,test,s3
s4_a,p4,test,s4
"""


def _table(folder: Path, text: str, name: str = "raw.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def _value(labels: LabelTable, scan_id: str, name: str) -> float:
    row, column = labels.scan_ids.index(scan_id), labels.names.index(name)
    return float(labels.values[row, column])


def test_a_placeholder_has_no_labels(tmp_path: Path) -> None:
    """A row of zeros would say that the scan is normal."""
    table = _table(tmp_path, "scan_id,report_text\na,Report pending.\nb,Emphysema.\n")

    items = list(label_reports(table, tmp_path / "labels.csv"))

    assert [item.status for item in items] == ["refused", "labelled"]


def test_worked_example(tmp_path: Path) -> None:
    """By hand: a table that `read_labels` takes, and a report without findings refused."""
    out = tmp_path / "labels.csv"

    items = list(label_reports(_table(tmp_path, REPORTS), out))

    assert items[0] == LabelItem("sick", "labelled", ("Emphysema", "Lung nodule"))
    assert items[1] == LabelItem("well", "labelled")
    assert (items[2].status, items[2].what) == (
        "refused",
        "the report has no text of findings or impression",
    )
    labels = read_labels(out)
    assert (labels.scan_ids, labels.names) == (("sick", "well"), CT_RATE_LABELS)
    assert labels.values.sum() == 2
    assert _value(labels, "sick", "Pleural effusion") == 0


@pytest.mark.parametrize(("uncertain", "value"), [("present", 1), ("absent", 0), ("missing", None)])
def test_doubt_counts_as_told(tmp_path: Path, uncertain: Doubt, value: float | None) -> None:
    """A question mark becomes 1, 0 or an empty cell; what is certain stays."""
    out = tmp_path / "labels.csv"
    labeller = RulesLabeller(uncertain=uncertain)

    list(label_reports(_table(tmp_path, REPORTS), out, labeller=labeller))

    found = _value(read_labels(out), "sick", "Emphysema")
    assert np.isnan(found) if value is None else found == value
    assert _value(read_labels(out), "sick", "Lung nodule") == 1


@pytest.mark.parametrize("dataset", ["ct_rate", "rad_chestct", "nidch"])
def test_columns_of_a_data_set(tmp_path: Path, dataset: str) -> None:
    """Its own names, in its own order, by the mapping of its manifest."""
    out = tmp_path / "labels.csv"
    mapped = {label.ct_lite_name: label.name for label in load_manifest(dataset).labels}

    list(label_reports(_table(tmp_path, REPORTS), out, dataset=dataset))

    labels = read_labels(out)
    assert labels.names == tuple(mapped.values())
    assert _value(labels, "sick", mapped["Lung nodule"]) == 1
    assert labels.values.sum() == 2


def test_a_row_a_reconstruction(tmp_path: Path) -> None:
    """By its own report, else by its study's; refused where there is none, or no one."""
    out = tmp_path / "labels.csv"
    scans = _table(tmp_path, SCANS, "scans.csv")

    items = list(label_reports(_table(tmp_path, STUDIES), out, scan_table=scans))

    told = {item.scan_id: (item.status, item.present) for item in items}
    assert told == {
        "s1_a": ("labelled", ("Lung nodule",)),
        "s1_b": ("labelled", ("Lung nodule",)),
        "s2_a": ("labelled", ("Emphysema",)),
        "s2_b": ("labelled", ()),
        "s4_a": ("labelled", ("Emphysema",)),
        "s2_c": ("refused", ()),
        "s3_a": ("refused", ()),
        "other": ("unlisted", ()),
    }
    assert read_labels(out).scan_ids == ("s1_a", "s1_b", "s2_a", "s2_b", "s4_a")


def test_a_row_a_study(tmp_path: Path) -> None:
    """Named by the study; one whose reports differ in their labels is refused."""
    out = tmp_path / "labels.csv"
    scans = _table(tmp_path, SCANS, "scans.csv")

    items = list(label_reports(_table(tmp_path, STUDIES), out, scan_table=scans, level="scan"))

    assert read_labels(out).scan_ids == ("s1", "s4")
    assert {item.scan_id: item.what for item in items if item.status == "refused"} == {
        "s2": "the reports of its study differ in their labels",
        "s3": "the scan has no report",
    }


CT_RATE = """VolumeName,Findings_EN,Impressions_EN
train_1_a_1.nii.gz,A nodule is seen in the lung.,Not given.
train_1_a_2.nii.gz,A nodule is seen in the lung.,Not given.
train_1_b_1.nii.gz,Not given.,Not given.
train_1_b_2.nii.gz,Emphysema is seen.,Not given.
valid_2_a_1.nii.gz,Emphysema is seen.,Not given.
valid_2_a_2.nii.gz,No emphysema is seen.,Not given.
valid_3_a,Emphysema is seen.,Not given.
"""


def test_ct_rate_tables_tell_their_studies(tmp_path: Path) -> None:
    """By names alone: one row a study; an empty report of two is no contradiction."""
    raw, out = _table(tmp_path, CT_RATE), tmp_path / "labels.csv"

    items = list(label_reports(raw, out, dataset="ct_rate", level="scan"))

    labels = read_labels(out)
    assert labels.scan_ids == ("train_1_a", "train_1_b", "valid_3_a")
    assert labels.names == CT_RATE_LABELS
    assert _value(labels, "train_1_b", "Emphysema") == 1
    assert [(item.scan_id, item.what) for item in items if item.status != "labelled"] == [
        ("valid_2_a", "the reports of its study differ in their labels")
    ]


def test_names_tell_studies_that_the_scan_table_does_not(tmp_path: Path) -> None:
    """A report a scan serves its reconstructions; one with an empty report takes the other's."""
    raw, out = _table(tmp_path, CT_RATE), tmp_path / "labels.csv"
    scans = _table(
        tmp_path,
        "scan_id,patient_id,split\nvalid_3_a_1,valid_3,test\nvalid_3_a_2,valid_3,test\n"
        "train_1_b_1,train_1,train\n",
        "scans.csv",
    )

    list(label_reports(raw, out, dataset="ct_rate", scan_table=scans))

    labels = read_labels(out)
    assert labels.scan_ids == ("valid_3_a_1", "valid_3_a_2")
    assert _value(labels, "valid_3_a_2", "Emphysema") == 1


@pytest.mark.parametrize("level", ["reconstruction", "scan"])
def test_accessions_of_a_hospital_are_met(tmp_path: Path, level: str) -> None:
    """Reports name 2024/A 01 in their way, the scan table in its own; rows can be read again."""
    raw = _table(tmp_path, "AccessionNo,report_text\n2024/A 01,Emphysema is seen.\n")
    scans = _table(
        tmp_path, "scan_id,patient_id,split,study_id\nx1,p,test,2024/A 01\nx2,p,test,2024/A 01\n",
        "scans.csv",
    )  # fmt: skip
    out = tmp_path / "labels.csv"

    list(label_reports(raw, out, scan_table=scans, level=level))  # type: ignore[arg-type]

    expected = {"reconstruction": ("x1", "x2"), "scan": ("2024-a-01",)}
    assert read_labels(out).scan_ids == expected[level]


ALIKE = """scan_id,patient_id,split,study_id
x1,p1,train,A
x2,p1,train,A
a,p2,train,B
"""


@pytest.mark.parametrize("level", ["reconstruction", "scan"])
def test_a_scan_s_report_is_not_that_of_a_study_spelled_alike(tmp_path: Path, level: Level) -> None:
    """Refused before the work where a scan would take it."""
    raw = _table(tmp_path, "scan_id,report_text\nx1,A nodule.\na,Emphysema is seen.\n")
    scans, out = _table(tmp_path, ALIKE, "scans.csv"), tmp_path / "labels.csv"

    with pytest.raises(TableError, match="'x2' has no row of its own"):
        next(label_reports(raw, out, scan_table=scans, level=level))


def test_scans_with_reports_of_their_own_need_no_study(tmp_path: Path) -> None:
    """By scan, each takes its own, and an empty one nobody's; by study, rows would be misread."""
    raw = _table(tmp_path, "scan_id,report_text\nx1,A nodule.\nx2,\na,Emphysema is seen.\n")
    scans, out = _table(tmp_path, ALIKE, "scans.csv"), tmp_path / "labels.csv"

    items = {item.scan_id: item for item in label_reports(raw, out, scan_table=scans)}

    assert items["x1"].present == items["x2"].present == ("Lung nodule",)
    assert items["a"].present == ("Emphysema",)
    with pytest.raises(TableError, match="the study 'a' would be read as another's"):
        next(label_reports(raw, out, scan_table=scans, level="scan"))


def test_errors(tmp_path: Path) -> None:
    """Studies without a scan table, an unknown data set or word list, a table of nothing."""
    reports, out = _table(tmp_path, REPORTS), tmp_path / "labels.csv"
    empty = _table(tmp_path, "scan_id,report_text\na,\n", "empty.csv")
    lists = ("history", "uncertain", "resolved", "resolved_before", "none", "label")
    few = _table(tmp_path, "\n".join(["version='1'", *(f"{name}=[]" for name in lists)]), "w.toml")

    with pytest.raises(TableError, match="which reconstructions"):
        list(label_reports(reports, out, level="scan"))
    with pytest.raises(TableError, match="which reconstructions"):
        list(label_reports(reports, out, level="scan", dataset="nidch"))
    with pytest.raises(TableError, match="not of the form of the names of CT-RATE"):
        list(label_reports(reports, out, level="scan", dataset="ct_rate"))
    with pytest.raises(TableError, match="no data set"):
        list(label_reports(reports, out, dataset="mars"))
    with pytest.raises(TableError, match="do not know the label"):
        list(label_reports(reports, out, labeller=RulesLabeller(words=few)))
    with pytest.raises(TableError, match="no report was left"):
        list(label_reports(empty, out))
    assert not out.exists()


class Idle(RulesLabeller):
    """Must not be asked."""

    def judge(self, texts: Sequence[str]) -> Iterator[tuple[int, Judgement | None]]:
        """Fail."""
        raise AssertionError


def test_faults_are_told_before_the_work(tmp_path: Path) -> None:
    """A classifier may take hours: tables are checked before it begins."""
    reports = _table(tmp_path, REPORTS)
    broken = _table(tmp_path, "scan_id,patient_id,split\na,p,nowhere\n", "scans.csv")

    with pytest.raises(TableError, match="line 2: split"):
        list(label_reports(reports, tmp_path / "l.csv", labeller=Idle(), scan_table=broken))


class Numbered(RulesLabeller):
    """Says the same of all reports, with a probability of their place in the table."""

    def __init__(self, in_the_way: Path | None = None) -> None:
        super().__init__()
        self._in_the_way = in_the_way

    def judge(self, texts: Sequence[str]) -> Iterator[tuple[int, Judgement | None]]:
        """Give them, and write a file meanwhile."""
        if self._in_the_way is not None:
            self._in_the_way.write_text("mine")
        for place in range(len(texts)):
            values = dict.fromkeys(CT_RATE_LABELS, 1.0)
            yield place, Judgement(values, dict.fromkeys(CT_RATE_LABELS, place / 100))


def test_of_two_reports_of_a_study_the_scans_own_is_told(tmp_path: Path) -> None:
    """Equal labels, other probabilities: always the scan's, in each of 30 studies.

    Names in the order of a set would be those of the study half of the time, and others in the
    next run.
    """
    studies = [f"s{number}" for number in range(30)]
    lines = [f"{name},Text." for study in studies for name in (study, f"{study}_a")]
    rows = [f"{study}_a,p{study},train,{study}" for study in studies]
    reports = _table(tmp_path, "\n".join(["scan_id,report_text", *lines]))
    scans = _table(tmp_path, "\n".join(["scan_id,patient_id,split,study_id", *rows]), "s.csv")
    told = tmp_path / "p.csv"

    items = label_reports(
        reports,
        tmp_path / "l.csv",
        labeller=Numbered(),
        scan_table=scans,
        level="scan",
        probabilities=told,
    )

    assert [item.scan_id for item in items] == studies
    table = read_text_table(told)
    assert text_column(table, "scan_id") == studies
    own = [f"{(2 * number + 1) / 100:.6f}" for number in range(30)]
    assert text_column(table, "Emphysema") == own


def test_labels_come_with_their_probabilities_or_not_at_all(tmp_path: Path) -> None:
    """What comes in the way while a classifier works leaves the earlier labels as they were."""
    reports, out = _table(tmp_path, REPORTS), tmp_path / "l.csv"
    out.write_text("earlier")
    labeller = Numbered(in_the_way=tmp_path / "p")

    with pytest.raises(PlaceError, match="a file is in the way"):
        list(
            label_reports(
                reports, out, labeller=labeller, probabilities=tmp_path / "p" / "p.parquet"
            )
        )

    assert out.read_text() == "earlier"


def test_the_command(tmp_path: Path) -> None:
    """Writes the table, tells the counts, and exits with 3 for the refusal."""
    out = tmp_path / "labels.csv"

    result = CliRunner().invoke(
        ctprep.app, ["label-reports", str(_table(tmp_path, REPORTS)), str(out), "--json"]
    )

    assert result.exit_code == 3, result.output
    assert '"labelled": 2' in result.output
    assert '"Lung nodule": 1' in result.output
    assert out.exists()


def test_no_table_replaces_its_own_input(tmp_path: Path) -> None:
    """Neither the reports nor the scans, nor through a link."""
    reports = _table(tmp_path, REPORTS)
    link = tmp_path / "link.csv"
    link.symlink_to(reports)
    before = reports.read_bytes()

    for out in (reports, link):
        with pytest.raises(TableError, match="replace its own input"):
            list(label_reports(reports, out))
        with pytest.raises(TableError, match="replace its own input"):
            list(filter_reports(reports, out))
    with pytest.raises(TableError, match="replace its own input"):
        list(label_reports(reports, tmp_path / "out.csv", probabilities=link))
    assert reports.read_bytes() == before
