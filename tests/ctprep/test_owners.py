"""Whose a scan is: by the store, by names, by a hospital's table; a contradiction is refused."""

from pathlib import Path

import pyarrow as pa
import pytest

from ctprep.owners import (
    Owner,
    owners_by_catalog,
    owners_by_names,
    owners_by_table,
    rows_of,
)
from ctprep.store.errors import TableError
from ctprep.store.manifest import load_manifest

HOSPITAL = """AccessionNo;patient_id;study_id;ward
0815_1;007;2024/0815;A
0815_2;007;2024/0815;A
0816;07b;;B
elsewhere;x;y;B
"""
SCANS = ("0815_1", "0815_2", "0816")


def _catalog(patient_of: dict[str, str]) -> pa.Table:
    return pa.table({"scan_id": list(patient_of), "patient_id": list(patient_of.values())})


def _table(folder: Path, text: str) -> Path:
    path = folder / "hospital.csv"
    path.write_text(text)
    return path


def test_ct_rate_names_tell_patient_and_study() -> None:
    """Split, patient, scan, reconstruction; two scans of a patient are two studies."""
    ids = ("train_1_a_1", "train_1_a_2", "train_1_b_1", "valid_53_a_1")

    owners = owners_by_names(load_manifest("ct_rate"), ids)

    assert owners == {
        "train_1_a_1": Owner("train_1", "train_1_a"),
        "train_1_a_2": Owner("train_1", "train_1_a"),
        "train_1_b_1": Owner("train_1", "train_1_b"),
        "valid_53_a_1": Owner("valid_53", "valid_53_a"),
    }
    assert load_manifest("ct_rate").study_of("train_17051_a") == "train_17051_a"


def test_rad_chestct_accessions_are_patient_and_study() -> None:
    """One scan a patient, by the data set's definition."""
    owners = owners_by_names(load_manifest("rad_chestct"), ["trn00001"])

    assert owners == {"trn00001": Owner("trn00001", "trn00001")}


@pytest.mark.parametrize(
    ("dataset", "scan_id", "told"),
    [
        (
            "ct_rate",
            "case_7",
            "1 scan ids are not of .* CT-RATE, such as case_7",
        ),
        ("ct_rate", "case_7_a_1", "not of the form"),
        ("ct_rate", "train_7_a_1_copy", "not of the form"),
        ("nidch", "case_7", "names of NIDCH Chest CT tell no patient"),
    ],
)
def test_other_names_are_refused(dataset: str, scan_id: str, told: str) -> None:
    """A patient guessed from a foreign name may be two, or half of one."""
    with pytest.raises(TableError, match=told):
        owners_by_names(load_manifest(dataset), ["train_1_a_1", scan_id])


def test_a_store_that_parts_patients_of_ct_rate_is_refused() -> None:
    """Ingested without --dataset, each file has a patient of its own."""
    parted = {"train_1_a_1": "p-1", "train_1_a_2": "p-2", "train_2_a_1": "p-3"}

    with pytest.raises(TableError, match="takes 1 of its patients for several") as caught:
        owners_by_catalog(_catalog(parted))

    assert "--dataset ct_rate" in caught.value.mend
    whole = owners_by_catalog(_catalog({**parted, "train_1_a_2": "p-1"}))
    assert whole["train_1_a_2"] == Owner("p-1")


def test_a_hospital_table(tmp_path: Path) -> None:
    """Leading zeros stay, other columns and scans of elsewhere are left out."""
    owners = owners_by_table(_table(tmp_path, HOSPITAL), SCANS)

    assert owners == {
        "0815_1": Owner("007", "2024/0815"),
        "0815_2": Owner("007", "2024/0815"),
        "0816": Owner("07b"),
    }


def test_rad_chestct_metadata_tells_patients(tmp_path: Path) -> None:
    """Its own column names, and many scans that are not in the store."""
    text = "VolumeAcc_DEID,NoteAcc_DEID,MRN_DEID\nv1,trn00001,pt1\nv2,trn00002,pt1\nv3,val9,pt2\n"

    owners = owners_by_table(_table(tmp_path, text), ("trn00001", "trn00002"))

    assert owners == {"trn00001": Owner("pt1"), "trn00002": Owner("pt1")}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("0816;", "816;", "1 scans of the store have no row, such as 0816; the table has 0815_1"),
        ("07b", "", "'0816' has no patient_id"),
        ("0815_2;007", "0815_2;7", "'0815_1' and '0815_2' spell one patient in two ways"),
        ("0815_2;007", "0815_2;8", "'0815_1' and '0815_2' are of one study and two patients"),
        ("patient_id", "patientid", "'patient_id' is missing"),
        ("\n0816", "\n0815_2", "more than one row"),
    ],
)
def test_a_hospital_table_that_contradicts_itself(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    """Each fault would put one patient on two sides, or lose a scan."""
    with pytest.raises(TableError) as caught:
        owners_by_table(_table(tmp_path, HOSPITAL.replace(old, new, 1)), SCANS)

    assert told in caught.value.what
    assert caught.value.where == "hospital.csv"


def test_patients_that_excel_made_numbers_are_refused(tmp_path: Path) -> None:
    """Their zeros are lost: two patients may have become one, or none is told apart."""
    text = "scan_id,patient_id\na,\nb,8.0\n"

    with pytest.raises(TableError, match=r"patient_id holds numbers.*in row 3 one"):
        owners_by_table(_table(tmp_path, text), ("a", "b"))


def test_rows_of_studies_stand_for_their_scans() -> None:
    """A report of accession 2024/0815 is read as 2024-0815; a scan's own row comes first."""
    owners = {
        "0815_1": Owner("p", "2024/0815"),
        "0815_2": Owner("p", "2024/0815"),
        "0816": Owner("q"),
    }

    found = rows_of(owners, {"2024-0815", "0815_2", "elsewhere"})

    assert found == {"0815_1": "2024-0815", "0815_2": "0815_2"}
