"""A MONAI datalist says of each exported file whose it is, and nothing that nobody stated."""

import gzip
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from ctprep.exchange.datalist import deal_folds, encode_datalist, plan_datalist
from ctprep.exchange.monai import export_monai
from ctprep.look.nifti_file import encode_nifti
from ctprep.store.errors import TableError
from ctprep.store.store import VolumeStore
from ctprep.store.tables import write_reports
from tests.corpora import report


def planned(corpus: Path, **options):
    """The plan of the whole corpus."""
    tables = {"labels": corpus / "labels.csv", "reports": corpus / "reports.parquet"}
    return plan_datalist(corpus / "hifi.zarr", corpus / "scans.csv", **{**tables, **options})


def exported(corpus: Path, out: Path, plan=None, **options):
    """The statuses of an export, by what they are of."""
    items = export_monai(corpus / "hifi.zarr", out, plan or planned(corpus), **options)
    return {item.name: item.status for item in items}


def test_entries_say_what_the_tables_say(corpus: Path) -> None:
    """A missing label, a scan without a row and one without a report are null, never 0 or ''."""
    plan = planned(corpus)

    told = json.loads(encode_datalist(plan))

    assert told["labels"] == {"0": "Lung nodule", "1": "Emphysema"}
    assert (told["numTraining"], told["numValidation"], told["numTest"]) == (2, 1, 1)
    assert told["training"] == [
        {
            "image": "a1.nii.gz",
            "label": [1, 0],
            "report": "Nodule of 8 mm.",
            "scan_id": "a1",
            "patient_id": "pa",
            "study_id": "s1",
        },
        {
            "image": "a2.nii.gz",
            "label": [0, None],
            "report": "Émphysème.",
            "scan_id": "a2",
            "patient_id": "pa",
            "study_id": "s1",
        },
    ]
    assert told["validation"][0]["label"] == [None, 1]
    assert told["test"][0] | {"label": [None, None], "report": None} == told["test"][0]
    assert (plan.absent, plan.unlisted) == (("gone",), ())
    assert (plan.unlabeled, plan.unreported) == (1, 1)
    assert planned(corpus, text="full").entries["validation"]["b1"]["report"].endswith("normal.")


def test_an_empty_report_is_none(corpus: Path) -> None:
    """MONAI would take the empty text for a path, that of the folder."""
    empty = report("a1", "Nodule.").model_copy(update={"text_full": " "})
    write_reports(corpus / "reports.parquet", [empty])

    plan = planned(corpus, text="full")

    assert plan.entries["training"]["a1"]["report"] is None
    assert plan.unreported == 4


def test_the_list_is_ascii(corpus: Path) -> None:
    """MONAI opens it in the encoding of the machine."""
    assert encode_datalist(planned(corpus)).isascii()


def test_scans_that_no_table_names_are_told(corpus: Path) -> None:
    """They have no side, so they are not exported."""
    (corpus / "scans.csv").write_text("scan_id,patient_id,split\na1,pa,train\n")

    plan = planned(corpus)

    assert plan.unlisted == ("a2", "b1", "c1")
    assert plan.scan_ids == ("a1",)
    assert list(json.loads(encode_datalist(plan)))[-1] == "training"
    (corpus / "scans.csv").write_text("scan_id,patient_id,split\nother,pa,train\n")
    with pytest.raises(TableError, match="no scan of the table"):
        planned(corpus)


def test_files_hold_the_store_where_it_says(corpus: Path, tmp_path: Path) -> None:
    """Voxels, and the affine in RAS+ of the file's own axes: column, row, slice."""
    statuses = exported(corpus, tmp_path / "out")

    assert set(statuses.values()) == {"stored"}
    assert list(statuses)[-1] == "datalist.json"
    store = VolumeStore.open(corpus / "hifi.zarr")
    for scan_id in ("a1", "a2", "b1", "c1"):
        image = nibabel.load(tmp_path / "out" / f"{scan_id}.nii.gz")
        voxels = np.asarray(image.dataobj).transpose(2, 1, 0)
        np.testing.assert_array_equal(voxels, store.read(scan_id))
        affine = np.array(store.read_attributes(scan_id).affine_ras)
        np.testing.assert_allclose(image.affine, affine[:, [2, 1, 0, 3]])


def test_a_second_run_writes_nothing(corpus: Path, tmp_path: Path) -> None:
    """What is there and the same is left alone, however it was compressed; lost files come back."""
    out = tmp_path / "out"
    exported(corpus, out)
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "b1.nii.gz").unlink()
    nibabel.load(out / "c1.nii.gz").to_filename(tmp_path / "other.nii")
    packed = nibabel.load(out / "a1.nii.gz").to_bytes()
    (out / "a1.nii.gz").write_bytes(gzip.compress(packed, 9))

    statuses = exported(corpus, out)

    assert {name for name, status in statuses.items() if status == "stored"} == {"b1"}
    assert statuses["datalist.json"] == statuses["a1"] == "unchanged"
    again = {path.name: path.read_bytes() for path in out.iterdir()}
    assert again | {"a1.nii.gz": b""} == first | {"a1.nii.gz": b""}


@pytest.mark.parametrize("damage", ["other", "last", "cut", "bent", "empty"])
def test_another_file_in_the_way_is_refused(
    corpus: Path, tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a damaged one; the list then lacks the scan, and the next run completes it."""
    monkeypatch.setattr("ctprep.look.nifti_file.PIECE_BYTES", 100)
    out = tmp_path / "out"
    exported(corpus, out)
    whole = (out / "b1.nii.gz").read_bytes()
    (out / "datalist.json").unlink()
    other = encode_nifti(np.zeros((8, 16, 24), np.int16), np.eye(4), description="")
    plain = gzip.decompress(whole)
    damaged = {
        "other": other,
        "last": gzip.compress(plain[:-1] + bytes([plain[-1] ^ 1])),
        "cut": whole[:-20],
        "bent": whole[:11] + bytes([whole[11] ^ 255]) * 40 + whole[51:],
        "empty": b"",
    }[damage]
    (out / "b1.nii.gz").write_bytes(damaged)

    assert exported(corpus, out)["b1"] == "refused"
    assert (out / "b1.nii.gz").read_bytes() == damaged
    told = json.loads((out / "datalist.json").read_bytes())
    assert "validation" not in told
    assert told["numValidation"] == 0
    (out / "b1.nii.gz").unlink()
    assert exported(corpus, out)["datalist.json"] == "stored"
    assert len(json.loads((out / "datalist.json").read_bytes())["validation"]) == 1


def test_a_store_in_a_bucket_is_exported_as_one_on_disk(corpus: Path, tmp_path: Path) -> None:
    """The files and the list are on disk, and the same."""
    local, url = VolumeStore.open(corpus / "hifi.zarr"), "memory://exchange/hifi.zarr"
    remote = VolumeStore.create(url, local.attributes)
    for scan_id in local.scan_ids():
        remote.write(scan_id, local.read(scan_id), local.read_attributes(scan_id))
    exported(corpus, tmp_path / "from-disk")

    plan = plan_datalist(
        url, corpus / "scans.csv", labels=corpus / "labels.csv", reports=corpus / "reports.parquet"
    )
    items = list(export_monai(url, tmp_path / "from-bucket", plan))

    assert {item.status for item in items} == {"stored"}
    for path in (tmp_path / "from-disk").iterdir():
        assert (tmp_path / "from-bucket" / path.name).read_bytes() == path.read_bytes()


def test_another_list_is_not_replaced(corpus: Path, tmp_path: Path) -> None:
    """Models may have been trained on it; no file is written either, unless it is asked for."""
    out = tmp_path / "out"
    exported(corpus, out)
    (out / "b1.nii.gz").unlink()
    changed = (corpus / "labels.csv").read_text().replace("a1,1,0", "a1,1,1")
    (corpus / "labels.csv").write_text(changed)

    with pytest.raises(TableError, match="another datalist"):
        exported(corpus, out)
    assert not (out / "b1.nii.gz").exists()
    assert exported(corpus, out, overwrite=True)["datalist.json"] == "stored"
    for content in (b"[]", b"no JSON", b'{"training": [1]}'):
        (out / "datalist.json").write_bytes(content)
        with pytest.raises(TableError, match="another datalist"):
            exported(corpus, out)


def test_a_dry_run_writes_nothing(corpus: Path, tmp_path: Path) -> None:
    """Not even the folder."""
    statuses = exported(corpus, tmp_path / "out", dry_run=True)

    assert set(statuses.values()) == {"planned"}
    assert not (tmp_path / "out").exists()


def test_a_damaged_volume_is_refused_and_not_listed(corpus: Path, tmp_path: Path) -> None:
    """The others are exported; with none at all there is no list."""
    shard = corpus / "hifi.zarr" / "b1" / "0" / "c" / "0" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:-40])

    statuses = exported(corpus, tmp_path / "out")

    assert statuses == {
        "a1": "stored",
        "a2": "stored",
        "b1": "refused",
        "c1": "stored",
        "datalist.json": "stored",
    }
    listed = json.loads((tmp_path / "out" / "datalist.json").read_bytes())
    assert "validation" not in listed
    for scan_id in ("a1", "a2", "c1"):
        shutil.copy(shard, corpus / "hifi.zarr" / scan_id / "0" / "c" / "0" / "0" / "0")
    statuses = exported(corpus, tmp_path / "none")
    assert set(statuses.values()) == {"refused"}
    assert not (tmp_path / "none" / "datalist.json").exists()


def test_an_id_that_names_a_file_is_refused(corpus: Path, tmp_path: Path) -> None:
    """MONAI would hand the path of that file in place of the patient."""
    plan = planned(corpus)
    (tmp_path / "out" / "pa").mkdir(parents=True)

    with pytest.raises(TableError, match="patient_id is the name of a file") as caught:
        exported(corpus, tmp_path / "out", plan)
    assert caught.value.where == "a1"
    for name in ("./a1.nii.gz", "datalist.json"):
        entry = {**plan.entries["test"]["c1"], "patient_id": name}
        other = replace(plan, entries={**plan.entries, "test": {"c1": entry}})
        with pytest.raises(TableError, match="is the name of a file"):
            exported(corpus, tmp_path / "elsewhere", other)


def test_folds_are_of_whole_patients() -> None:
    """Nearly equal in scans, the same every time, and every fold has a patient."""
    scans_of = {f"p{number}": 1 + number % 3 for number in range(20)}

    fold_of = deal_folds(scans_of, 3)

    sizes = Counter()
    for patient, fold in fold_of.items():
        sizes[fold] += scans_of[patient]
    assert sorted(sizes) == [0, 1, 2]
    assert max(sizes.values()) - min(sizes.values()) <= 1
    assert deal_folds(dict(reversed(scans_of.items())), 3) == fold_of
    with pytest.raises(TableError, match="too few for 30 folds"):
        deal_folds(scans_of, 30)


def test_only_the_training_side_has_folds(corpus: Path) -> None:
    """The others stay what they are; reconstructions of one patient are in one fold."""
    (corpus / "scans.csv").write_text(
        "scan_id,patient_id,split\na1,pa,train\na2,pa,train\nb1,pb,train\nc1,pc,test\n"
    )

    told = planned(corpus, folds=2).entries

    assert [told["training"][scan_id]["fold"] for scan_id in ("a1", "a2", "b1")] == [0, 0, 1]
    assert "fold" not in told["test"]["c1"]


@pytest.mark.slow  # importing MONAI takes seconds
@pytest.mark.filterwarnings("ignore")
def test_monai_loads_what_was_exported(corpus: Path, tmp_path: Path) -> None:
    """The list, then the image with its place in the world, labels as numbers with NaN."""
    pytest.importorskip("monai", reason="MONAI is not installed")
    from monai.data import load_decathlon_datalist
    from monai.transforms import Compose, Lambdad, LoadImaged

    exported(corpus, tmp_path / "out")
    load = Compose(
        [LoadImaged("image"), Lambdad("label", lambda label: np.asarray(label, np.float32))]
    )

    listed = load_decathlon_datalist(tmp_path / "out" / "datalist.json", data_list_key="training")
    loaded = [load(item) for item in listed]

    store = VolumeStore.open(corpus / "hifi.zarr")
    for item, scan_id in zip(loaded, ("a1", "a2"), strict=True):
        assert (item["scan_id"], item["patient_id"], item["study_id"]) == (scan_id, "pa", "s1")
        image = item["image"]
        np.testing.assert_array_equal(image.numpy().transpose(2, 1, 0), store.read(scan_id))
        affine = np.array(store.read_attributes(scan_id).affine_ras)
        np.testing.assert_allclose(image.affine.numpy(), affine[:, [2, 1, 0, 3]])
    assert loaded[0]["report"] == "Nodule of 8 mm."
    np.testing.assert_array_equal(loaded[1]["label"], [0, np.nan])


def test_rows_of_studies_reach_their_scans(corpus: Path) -> None:
    """Both scans of s1 have its labels and report, but for a scan's own; none is counted lost."""
    (corpus / "labels.csv").write_text("scan_id,Emphysema\ns1,1\na2,0\ns2,0\nc1,\n")
    rows = [report("s1", "Nodule."), report("b1", "Emphysema."), report("s3", "Cyst.")]
    write_reports(corpus / "reports.parquet", rows)

    plan = planned(corpus)

    entries = {scan_id: own for part in plan.entries.values() for scan_id, own in part.items()}
    assert {scan_id: own["label"] for scan_id, own in entries.items()} == {
        "a1": [1], "a2": [0], "b1": [0], "c1": [None],
    }  # fmt: skip
    assert {scan_id: own["report"] for scan_id, own in entries.items()} == {
        "a1": "Nodule.", "a2": "Nodule.", "b1": "Emphysema.", "c1": "Cyst.",
    }  # fmt: skip
    assert (plan.unlabeled, plan.unreported) == (0, 0)


@pytest.mark.parametrize("table", ["labels", "reports"])
def test_the_row_of_another_scan_is_no_study_s(corpus: Path, table: str) -> None:
    """Study GONE is spelled like a scan that the store lacks, whose row would be taken."""
    scans = (corpus / "scans.csv").read_text()
    (corpus / "scans.csv").write_text(scans.replace("s3", "GONE"))
    write_reports(corpus / "reports.parquet", [report("gone", "Nodule.")])
    file = {"labels": "labels.csv", "reports": "reports.parquet"}[table]

    with pytest.raises(TableError, match="'c1' has no row of its own, and its study is") as got:
        planned(corpus, **{"labels": None, "reports": None, table: corpus / file})

    assert got.value.where == file
