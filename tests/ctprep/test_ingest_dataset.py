"""Data sets with a metadata table: names, rescale, spacing, and what is listed or not."""

import csv
import pickle
from pathlib import Path

import nibabel
import numpy as np
import pytest

from ctprep.dataset import load_dataset
from ctprep.fingerprints import fingerprint_files
from ctprep.ingest import ingest
from ctprep.ingest_volume import Job
from ctprep.roster import Roster
from ctprep.sources.discover import discover
from ctprep.store.errors import TableError
from ctprep.store.labels import CT_LITE_LABELS
from ctprep.store.manifest import load_manifest
from ctprep.store.store import VolumeStore
from ctprep.store.tables import read_labels

KEY = b"0123456789abcdef"
COLUMNS = ("VolumeName", "RescaleSlope", "RescaleIntercept", "XYSpacing", "ZSpacing")
ROW = {
    "RescaleSlope": 1,
    "RescaleIntercept": -1024,
    "XYSpacing": "[4.0, 4.0]",
    "ZSpacing": 4.0,
    "Manufacturer": "Siemens",
    "PatientAge": "050Y",
}


@pytest.fixture
def run(tiny_grid, tmp_path):
    """Ingest `source` into `hifi.zarr`; gives its items by name."""

    def _run(source="source", **options):
        options = {"grid": tiny_grid, "key": KEY, **options}
        items = list(ingest(tmp_path / source, tmp_path / "hifi.zarr", **options))
        assert len({item.name for item in items}) == len(items)
        return {Path(item.name).name: item for item in items}

    return _run


@pytest.fixture
def attributes(tmp_path):
    """Attributes of a stored volume."""
    return lambda scan_id: VolumeStore.open(tmp_path / "hifi.zarr").read_attributes(scan_id)


def write_table(path: Path, *names: str, **cells: object) -> Path:
    """Write a metadata table with equal rows."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["VolumeName", *ROW])
        writer.writeheader()
        writer.writerows({"VolumeName": name, **ROW, **cells} for name in names)
    return path


def write_raw(path: Path, hu: np.ndarray, affine: np.ndarray | None, offset: int = 1024) -> None:
    """Write stored values, axes left, back and up, with or without a geometry."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image((hu + offset).transpose(2, 1, 0), affine), path)


@pytest.mark.parametrize("affine", [None, np.eye(4)])
def test_the_first_release_of_ct_rate_is_read_by_its_table(
    run, attributes, tmp_path, tiny, affine
) -> None:
    """Raw values in empty headers become HU on the table's spacing and the data set's axes."""
    name = "valid_53_a_1.nii.gz"
    write_raw(tmp_path / "source" / "valid" / name, tiny.hu(1), affine)
    table = write_table(tmp_path / "metadata.csv", name)

    items = run(metadata=table)
    stored = attributes("valid_53_a_1")

    assert items[name].status == "stored"
    assert stored.patient_id == "valid_53"
    assert stored.original.axis_codes == "SPL"
    assert stored.original.spacing_mm == (4, 4, 4)
    assert (stored.hu.decision, stored.hu.intercept) == ("rescaled", -1024)
    assert stored.acquisition == {"Manufacturer": "Siemens"}
    assert "declares no geometry" in stored.mends[0]
    assert items[name].mends == stored.mends
    hu = VolumeStore.open(tmp_path / "hifi.zarr").read("valid_53_a_1")
    np.testing.assert_array_equal(hu[2:14, 2:22, 2:22], tiny.hu(1))


def test_the_spacing_of_the_table_goes_to_the_axes_it_means(
    run, attributes, tmp_path, tiny
) -> None:
    """Rows, columns and slices, each by its own number, in an array of unequal sides."""
    write_raw(tmp_path / "source" / "valid_1_a_1.nii", tiny.hu(1, (12, 18, 22)), None)
    table = write_table(
        tmp_path / "metadata.csv", "valid_1_a_1.nii.gz", XYSpacing="[5, 4.5]", ZSpacing=3
    )

    run(metadata=table)

    original = attributes("valid_1_a_1").original
    assert (original.shape, original.spacing_mm) == ((12, 18, 22), (3, 5, 4.5))


def test_hu_are_not_rescaled_twice(run, attributes, tmp_path, tiny) -> None:
    """The second release holds HU, and the same table."""
    tiny.nifti(tmp_path / "source" / "valid_1_a_1.nii.gz", 1)
    run(metadata=write_table(tmp_path / "metadata.csv", "valid_1_a_1.nii.gz"))

    assert attributes("valid_1_a_1").hu.decision == "already"
    assert attributes("valid_1_a_1").mends == ()


def test_a_spacing_that_disagrees_is_refused_or_the_tables(run, attributes, tmp_path, tiny) -> None:
    """By over one percent; each axis is told, the array's order kept."""
    tiny.nifti(tmp_path / "source" / "valid_1_a_1.nii.gz", 1)
    table = write_table(tmp_path / "metadata.csv", "valid_1_a_1.nii.gz", ZSpacing=4.05)

    refused = run(metadata=table)["valid_1_a_1.nii.gz"]
    assert refused.verdict == "spacing-disagrees"
    assert "slices lie 4 mm apart, not 4.05" in refused.what
    assert "rows" not in refused.what
    taken = run(metadata=table, tolerant=True)["valid_1_a_1.nii.gz"]
    assert (taken.status, taken.scan_id) == ("stored", "valid_1_a_1")
    assert "took the table's" in taken.mends[0]
    assert attributes("valid_1_a_1").original.spacing_mm == pytest.approx((4.05, 4, 4))
    near = write_table(tmp_path / "metadata.csv", "valid_1_a_1.nii.gz", ZSpacing=4.03)
    assert run(metadata=near)["valid_1_a_1.nii.gz"].status == "stored"
    assert attributes("valid_1_a_1").original.spacing_mm == (4, 4, 4)


def test_an_empty_header_and_no_spacing_in_the_table_are_refused(run, tmp_path, tiny) -> None:
    """With the table told as what is to mend."""
    write_raw(tmp_path / "source" / "valid_1_a_1.nii.gz", tiny.hu(1), None)
    table = write_table(tmp_path / "metadata.csv", "valid_1_a_1.nii.gz", ZSpacing="")

    item = run(metadata=table)["valid_1_a_1.nii.gz"]

    assert item.verdict == "no-spacing"
    assert "ZSpacing" in item.mend


def test_half_a_rescale_is_none(run, attributes, tmp_path, tiny) -> None:
    """Without its slope an intercept says nothing; the volume carries a warning."""
    tiny.nifti(tmp_path / "source" / "valid_1_a_1.nii.gz", 1)
    run(metadata=write_table(tmp_path / "m.csv", "valid_1_a_1.nii.gz", RescaleSlope=""))

    stored = attributes("valid_1_a_1")
    assert (stored.hu.slope, stored.hu.intercept) == (1, 0)
    assert "rescale-incomplete" in stored.verdicts


def test_what_table_and_folder_do_not_share_is_told(run, tmp_path, tiny) -> None:
    """A row each; a listed file that is broken is broken, not absent. The table is no scan."""
    source = tmp_path / "source"
    tiny.nifti(source / "valid_1_a_1.nii.gz", 1)
    tiny.nifti(source / "valid_2_a_1.nii.gz", 2)
    (source / "valid_3_a_1.nii.gz").write_bytes(b"")
    names = [f"valid_{number}_a_1.nii.gz" for number in (1, 3, 4)]
    table = write_table(source / "metadata.csv", *names)

    items = run(metadata=table)

    assert {name: item.verdict for name, item in items.items()} == {
        "valid_1_a_1.nii.gz": None,
        "valid_2_a_1.nii.gz": "not-listed",
        "valid_3_a_1.nii.gz": "truncated",
        "valid_4_a_1.nii.gz": "listed-but-absent",
    }
    assert items["valid_4_a_1.nii.gz"].scan_id == "valid_4_a_1"
    tolerant = run(metadata=table, tolerant=True)["valid_2_a_1.nii.gz"]
    assert (tolerant.status, tolerant.scan_id) == ("stored", "valid_2_a_1")
    assert "does not list it" in tolerant.mends[0]


def test_another_table_does_it_again_only_where_it_matters(run, tmp_path, tiny) -> None:
    """Rescale, spacing and facts count; age does not, and no table is another than none."""
    name = "valid_1_a_1.nii.gz"
    tiny.nifti(tmp_path / "source" / name, 1)

    def status(**cells: object) -> str:
        return run(metadata=write_table(tmp_path / "m.csv", name, **cells))[name].status

    assert [status(), status(), status(PatientAge="051Y")] == ["stored", "unchanged", "unchanged"]
    for change in (
        {"RescaleIntercept": -8192},
        {"RescaleSlope": 2},
        {"ZSpacing": 4.01},
        {"Manufacturer": "GE"},
    ):
        assert [status(**change), status(**change)] == ["stored", "unchanged"]
    assert run(dataset="ct_rate")[name].status == "stored"


def test_a_data_set_names_patients_without_a_table(run, attributes, tmp_path, tiny) -> None:
    """Two reconstructions have one patient; a name of another form stands for itself."""
    for seed, name in enumerate(("train_7_a_1", "train_7_b_2", "other")):
        tiny.nifti(tmp_path / "source" / f"{name}.nii.gz", seed)

    run(dataset="ct_rate")

    assert attributes("train_7_a_1").patient_id == "train_7"
    assert attributes("train_7_b_2").patient_id == "train_7"
    assert attributes("other").patient_id.startswith("p-")


def test_pseudonyms_stand_for_published_names_too(run, tmp_path, tiny) -> None:
    """Where they are asked for, the scans of a patient still share one."""
    for seed, name in enumerate(("train_7_a_1", "train_7_a_2")):
        tiny.nifti(tmp_path / "source" / f"{name}.nii.gz", seed)
    run(dataset="ct_rate", scan_ids="pseudonym")
    store = VolumeStore.open(tmp_path / "hifi.zarr")

    patients = {store.read_attributes(scan_id).patient_id for scan_id in store.scan_ids()}
    assert all(scan_id.startswith("ct-") for scan_id in store.scan_ids())
    assert len(patients) == 1
    assert patients.pop().startswith("p-")


def test_a_scan_table_says_what_is_wanted_of_a_data_set(run, attributes, tmp_path, tiny) -> None:
    """Its ids rule, the metadata table tells of its scans alone."""
    tiny.nifti(tmp_path / "source" / "valid_1_a_1.nii.gz", 1)
    scans = tmp_path / "scans.csv"
    scans.write_text("scan_id,patient_id,split,path\ns1,p1,test,valid_1_a_1.nii.gz\n")
    table = write_table(tmp_path / "m.csv", "valid_1_a_1.nii.gz", "valid_2_a_1.nii.gz")

    items = run(metadata=table, scans=scans)

    assert {name: item.status for name, item in items.items()} == {"valid_1_a_1.nii.gz": "stored"}
    assert attributes("s1").patient_id == "p1"
    assert attributes("s1").acquisition == {"Manufacturer": "Siemens"}


def test_what_the_table_says_travels_with_the_work(tmp_path, tiny) -> None:
    """To another process, whole."""
    path = tiny.nifti(tmp_path / "source" / "valid_1_a_1.nii.gz", 1)
    table = write_table(tmp_path / "m.csv", path.name)
    roster = Roster(path.parent, None, KEY, dataset=load_dataset(None, table))
    (found,) = discover(path.parent)
    job = Job(found, roster.identify(found), fingerprint_files(found.paths))

    sent = pickle.loads(pickle.dumps(job))

    assert sent == job
    assert sent.facts.intercept == -1024


def test_rad_chestct_is_named_by_accession(run, attributes, tmp_path, tiny) -> None:
    """HU as published, accession for scan and patient, and its log says what is to be there."""
    tiny.npz(tmp_path / "source" / "TRN1.npz", 1)
    tiny.npz(tmp_path / "source" / "TRN2.npz", 2)
    log = tmp_path / "log.csv"
    log.write_text(
        "Accession,MRN,Set_Assigned,Subset_Assigned,status,full_filename_pkl,full_filename_npz\n"
        "TRN1,m1,a,b,success,TRN1.pkl,TRN1.npz\n"
        "TRN2,m2,a,b,no slices,TRN2.pkl,TRN2.npz\n"
        "TRN3,m3,a,b,success,TRN3.pkl,TRN3.npz\n"
        "TRN4,m4,a,b,no slices,,\n"
    )

    items = run(dataset="rad_chestct", metadata=log)

    assert {name: item.verdict for name, item in items.items()} == {
        "TRN1.npz": None,
        "TRN2.npz": "listed-as-failed",
        "TRN3.npz": "listed-but-absent",
    }
    stored = attributes("trn1")
    assert (stored.patient_id, stored.hu.policy) == ("trn1", "already")
    assert (stored.original.axis_codes, stored.original.spacing_mm) == ("IPL", (0.8, 0.8, 0.8))
    taken = run(dataset="rad_chestct", metadata=log, tolerant=True)["TRN2.npz"]
    assert "'no success'" in taken.mends[0]


def test_a_bad_table_stops_the_run_before_a_store_is_made(run, tmp_path, tiny) -> None:
    """With the line."""
    tiny.nifti(tmp_path / "source" / "valid_1_a_1.nii.gz", 1)

    with pytest.raises(
        TableError, match="line 2: ZSpacing holds a text of 4 characters: no number"
    ):
        run(metadata=write_table(tmp_path / "m.csv", "valid_1_a_1.nii.gz", ZSpacing="thin"))
    assert not (tmp_path / "hifi.zarr").exists()


def test_the_sample_of_rad_chestct_goes_in_with_its_log_and_labels(
    run, attributes, tmp_path, shared_data
) -> None:
    """Two volumes are there, six listed ones are not; labels are by the same ids."""
    folder = next(shared_data.glob("npz/01*"))
    (tmp_path / "source").symlink_to(folder)

    items = run(dataset="rad_chestct", metadata=next(folder.glob("CT_Scan_Pre*.csv")))

    verdicts = [item.verdict for name, item in items.items() if name.endswith(".npz")]
    assert sorted(filter(None, verdicts)) == ["listed-but-absent"] * 6
    assert verdicts.count(None) == 2
    labels = read_labels(next(folder.glob("*/imgtrain_BinaryLabels.csv")))
    assert {"fake000", "fake111"} <= set(labels.scan_ids)
    manifest = load_manifest("rad_chestct")
    assert {label.name for label in manifest.labels} <= set(labels.names)
    assert set(manifest.evaluated) <= set(CT_LITE_LABELS)


def test_real_scans_agree_with_a_table_that_tells_their_spacing(
    run, attributes, tmp_path, shared_data
) -> None:
    """A chest of 1.5 mm, and sagittal storage with 3 mm from side to side; HU stay as they are."""
    (tmp_path / "source").mkdir()
    for place, name in (("01*", "valid_1_a_1"), ("06*", "valid_2_a_1")):
        real = next(shared_data.glob(f"nifti/{place}/*.nii.gz"))
        (tmp_path / "source" / f"{name}.nii.gz").write_bytes(real.read_bytes())
    table = tmp_path / "metadata.csv"
    table.write_text(
        f"{','.join(COLUMNS)}\n"
        'valid_1_a_1.nii.gz,1,-1024,"[1.5, 1.5]",1.5\n'
        'valid_2_a_1.nii.gz,1,-1024,"[0.703125, 3.0]",0.703125\n'
    )

    items = run(metadata=table)

    assert {item.status for item in items.values()} == {"stored"}, items
    assert attributes("valid_1_a_1").hu.decision == "already"
    assert attributes("valid_2_a_1").original.axis_codes == "RSP"
