"""The corpus is a pure function of its seed, and real readers agree on what it holds."""

import hashlib
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from ctprep.phantom.corpus import DEFAULT_PATIENTS, plan_corpus, write_corpus, write_scan
from ctprep.phantom.dicom import write_series
from ctprep.phantom.patient import draw_patient
from ctprep.store.labels import CT_LITE_LABELS
from ctprep.store.manifest import read_manifest
from ctprep.store.tables import read_labels, read_raw_reports, read_scans, write_scans

MANIFESTS = Path(__file__).parents[3] / "data_manifests"
PATIENTS, SEED = 3, 0


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of three patients, written in this process."""
    folder = tmp_path_factory.mktemp("corpus")
    ids = list(write_corpus(folder, patients=PATIENTS, seed=SEED, workers=1))
    assert ids == [row.scan_id for row in read_scans(folder / "scans.csv")]
    return folder


def digests(folder: Path) -> dict[str, str]:
    """Hash every file of a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def find(corpus: Path, form: str) -> Path:
    """Give the first scan of a format."""
    rows = read_scans(corpus / "scans.csv")
    return corpus / "scans" / next(row.path for row in rows if row.format == form)


def test_same_seed_same_bytes_whatever_the_workers(corpus: Path, tmp_path: Path) -> None:
    """Processes change nothing: not a pixel, not a UID, not a time stamp."""
    list(write_corpus(tmp_path, patients=PATIENTS, seed=SEED, workers=2))

    assert digests(tmp_path) == digests(corpus)


def test_another_seed_gives_other_pixels(corpus: Path, tmp_path: Path) -> None:
    """The seed matters."""
    scan = next(scan for scan in plan_corpus(PATIENTS, SEED) if scan.row.format == "nifti")
    (tmp_path / "nifti").mkdir()
    write_scan(tmp_path, scan, seed=SEED + 1, size="demo")

    assert (tmp_path / scan.row.path).read_bytes() != (
        corpus / "scans" / scan.row.path
    ).read_bytes()


def test_all_formats_and_every_path(corpus: Path) -> None:
    """Even a tiny corpus has each format, and each row its file."""
    rows = read_scans(corpus / "scans.csv")

    assert {row.format for row in rows} == {"dicom", "nifti", "npz"}
    assert all((corpus / "scans" / row.path).exists() for row in rows)


def test_dicom_is_a_ct_series_with_the_heart_on_its_left(corpus: Path) -> None:
    """A reader finds even positions, padding outside the circle, HU, and the heart on the left."""
    slices = [pydicom.dcmread(path) for path in find(corpus, "dicom").iterdir()]
    slices.sort(key=lambda one: float(one.ImagePositionPatient[2]))
    steps = np.diff([float(one.ImagePositionPatient[2]) for one in slices])
    stored = np.stack([one.pixel_array for one in slices])
    hu = np.where(stored == slices[0].PixelPaddingValue, -1024, stored - 1024)

    np.testing.assert_allclose(steps, float(slices[0].SliceThickness), atol=1e-3)
    assert len({one.SOPInstanceUID for one in slices}) == len(slices)
    assert {one.file_meta.TransferSyntaxUID.name for one in slices} == {"Explicit VR Little Endian"}
    assert stored[:, 0, 0].tolist() == [slices[0].PixelPaddingValue] * len(slices)
    assert -1024 <= hu.min() < -950
    assert 300 < hu.max() <= 3071
    check_heart_is_left(hu, rows_run="P", columns_run="L")


def test_feet_first_series_differ_in_position_and_numbering_alone(tmp_path: Path) -> None:
    """Half of the patients go in feet first; coordinates are the patient's either way."""
    hu = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)
    numbers = {}
    for position in ("HFS", "FFS"):
        write_series(
            tmp_path / position,
            hu,
            (5.0, 2.0, 1.0),
            patient_id="p",
            study="s",
            scan_id="i",
            kernel="soft",
            feet_first=position == "FFS",
        )
        read = [pydicom.dcmread(path) for path in (tmp_path / position).iterdir()]
        read.sort(key=lambda one: float(one.ImagePositionPatient[2]))
        assert {one.PatientPosition for one in read} == {position}
        assert [list(map(float, one.ImagePositionPatient)) for one in read] == [
            [-2.0, -3.0, up] for up in (-5.0, 0.0, 5.0)
        ]
        assert [float(one.SliceLocation) for one in read] == [-5.0, 0.0, 5.0]
        assert all(one.SOPInstanceUID == one.file_meta.MediaStorageSOPInstanceUID for one in read)
        np.testing.assert_array_equal(read[1].pixel_array[1], hu[1, 1] + 1024)
        numbers[position] = [int(one.InstanceNumber) for one in read]

    assert numbers == {"HFS": [3, 2, 1], "FFS": [1, 2, 3]}


def check_heart_is_left(hu: np.ndarray, *, rows_run: str, columns_run: str) -> None:
    """In the lower middle, in front of the spine, more soft tissue lies left than right."""
    hu = hu if rows_run == "P" else hu[:, ::-1]
    hu = hu if columns_run == "L" else hu[:, :, ::-1]
    slices, rows, columns = hu.shape
    level = hu[int(0.38 * slices) : int(0.45 * slices), int(0.3 * rows) : int(0.5 * rows)] > 0
    band = columns // 5
    right = level[:, :, columns // 2 - band : columns // 2].mean()
    left = level[:, :, columns // 2 : columns // 2 + band].mean()
    assert left > right


def test_nifti_is_read_by_nibabel_in_its_own_orientation(corpus: Path) -> None:
    """Brought to canonical axes, the back is down: bone lies behind the middle."""
    image = nibabel.as_closest_canonical(nibabel.load(find(corpus, "nifti")))
    hu = np.asarray(image.dataobj)

    assert hu.dtype == np.int16
    assert image.header.get_xyzt_units()[0] == "mm"
    assert 2.5 < image.header.get_zooms()[0] < 3
    spl = hu.transpose(2, 1, 0)[:, ::-1, ::-1]
    middle = np.s_[:, :, spl.shape[2] // 2 - 8 : spl.shape[2] // 2 + 8]
    bone = (spl[middle] > 350).mean((0, 2))
    assert np.argmax(bone) > spl.shape[1] / 2
    np.testing.assert_allclose(
        image.affine @ [*(np.asarray(hu.shape) - 1) / 2, 1], [0, 0, 0, 1], atol=1e-3
    )


def test_npz_is_laid_out_like_rad_chestct(corpus: Path) -> None:
    """One array `ct`, first slice at the neck, no pickles."""
    with np.load(find(corpus, "npz"), allow_pickle=False) as archive:
        assert archive.files == ["ct"]
        assert archive.zip.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)
        ct = archive["ct"]

    assert ct.dtype == np.int16
    slices, rows, columns = ct.shape
    near = ct[:, rows // 2 - 35 : rows // 2 + 35, columns // 2 - 15 : columns // 2 + 15]
    windpipe = (near < -930).sum((1, 2))
    # The windpipe ends in the middle of the chest.
    assert windpipe[: slices // 3].sum() > 2 * windpipe[-slices // 3 :].sum()


def test_tables_fit_each_other(corpus: Path) -> None:
    """Scan ids agree; labels are the findings of the patient."""
    rows = read_scans(corpus / "scans.csv")
    labels = read_labels(corpus / "labels.csv")
    reports = read_raw_reports(corpus / "reports.csv")

    assert labels.names == CT_LITE_LABELS
    assert labels.scan_ids == tuple(row.scan_id for row in rows)
    assert [report.scan_id for report in reports] == list(labels.scan_ids)
    for row, values in zip(rows, labels.values, strict=True):
        patient = draw_patient(SEED, int(row.patient_id[-4:]))
        found = {finding.label for finding in patient.findings}
        present = {name for name, value in zip(labels.names, values, strict=True) if value}
        assert present == found


def test_plan_splits_by_patient_and_gives_some_two_scans() -> None:
    """70, 10 and 20 percent of the patients; about 40 percent come twice."""
    rows = [scan.row for scan in plan_corpus(DEFAULT_PATIENTS, 0)]
    split_of = {row.patient_id: row.split for row in rows}
    scans_of = Counter(row.patient_id for row in rows)
    formats = Counter(row.format for row in rows)

    assert all(split_of[row.patient_id] == row.split for row in rows)
    assert Counter(split_of.values()) == {"train": 750, "tune": 100, "test": 150}
    assert 0.11 < sum(count == 2 for count in scans_of.values()) / DEFAULT_PATIENTS < 0.19
    assert formats["npz"] >= 2
    assert 0.04 < formats["dicom"] / len(rows) < 0.08


def test_the_committed_table_is_that_of_the_default_corpus(tmp_path: Path) -> None:
    """The manifest describes what the command writes."""
    manifest = read_manifest(MANIFESTS / "phantom.toml")
    rows = [scan.row for scan in plan_corpus(DEFAULT_PATIENTS, 0)]
    write_scans(tmp_path / "scans.csv", rows)

    assert manifest.scans is not None
    assert (MANIFESTS / manifest.scans).read_bytes() == (tmp_path / "scans.csv").read_bytes()
    for split in manifest.splits:
        mine = [row for row in rows if row.split == split.name]
        assert (len({row.patient_id for row in mine}), len(mine)) == (split.patients, split.volumes)
