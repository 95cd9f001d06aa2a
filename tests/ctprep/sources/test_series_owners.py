"""Whose images are of one volume, and that its name depends on its own images alone."""

from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import generate_uid

from ctprep.ingest import ingest
from ctprep.sources.discover import discover
from ctprep.sources.source import Found, Refused

SLICES = 12


@pytest.fixture
def series(tiny, tmp_path: Path) -> Path:
    """Folder of one sound series."""
    return tiny.dicom(tmp_path / "series")


def _add(path: Path, name: str, **elements: object) -> None:
    dataset = pydicom.dcmread(path)
    dataset.SOPInstanceUID = generate_uid()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path.with_name(name))


def _edit(folder: Path, change: Callable[[pydicom.Dataset, int], None]) -> None:
    for index, path in enumerate(sorted(folder.iterdir())):
        dataset = pydicom.dcmread(path)
        change(dataset, index)
        dataset.save_as(path)


def _found(folder: Path, *, tolerant: bool = False) -> list[Found]:
    return [o for o in discover(folder, tolerant=tolerant) if isinstance(o, Found)]


STRAYS = {
    "plane": {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]},
    "matrix": {"Rows": 10, "PixelData": b"\0" * 400},
    "spacing": {"PixelSpacing": [4.5, 4.5]},
    "patient": {"PatientID": "another"},
    "study": {"StudyInstanceUID": "1.2.3"},
    "frame of reference": {"FrameOfReferenceUID": "1.2.3"},
    "localizer": {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
    "other series": {"SeriesInstanceUID": "1.2.3", "Modality": "CT"},
}


@pytest.mark.parametrize("name", ["000-before.dcm", "zzz.dcm"])
@pytest.mark.parametrize("stray", STRAYS.values(), ids=STRAYS)
def test_a_stray_image_gives_no_volume_another_name(series: Path, stray, name: str) -> None:
    """Whatever joins the folder later, before or behind the series in it."""
    (before,) = _found(series)
    _add(series / "005.dcm", name, **stray)

    (after,) = _found(series)

    assert (after.key, after.patient_key) == (before.key, before.patient_key)
    assert after.paths == before.paths


def test_another_kernel_gives_a_volume_no_other_name(series: Path) -> None:
    """Where it is parted on request."""
    _edit(series, lambda dataset, _: setattr(dataset, "ConvolutionKernel", "B40f"))
    (before,) = _found(series, tolerant=True)
    for path in sorted(series.iterdir()):
        _add(path, f"b-{path.name}", ConvolutionKernel="B70f")

    after = _found(series, tolerant=True)

    assert len(after) == 2
    assert before.key in {found.key for found in after}


def test_files_under_other_names_give_a_volume_no_other_name(series: Path) -> None:
    """Nor do slices whose cosines are rounded differently, in another order."""
    _edit(
        series,
        lambda dataset, index: setattr(
            dataset, "ImageOrientationPatient", [1, 0.0004 + 0.0002 * (index % 2), 0, 0, 1, 0]
        ),
    )
    (before,) = _found(series)
    for path in sorted(series.iterdir()):
        path.rename(series / f"{99 - int(path.stem)}.dcm")

    (after,) = _found(series)

    assert after.key == before.key


def test_a_later_run_with_more_images_stores_nothing_twice(
    series: Path, tmp_path: Path, tiny_grid
) -> None:
    """The volume is unchanged, the stray image has its row."""

    def run() -> list[tuple[str, str | None]]:
        items = ingest(series, tmp_path / "hifi.zarr", grid=tiny_grid, key=b"k" * 16)
        return sorted((item.status, item.scan_id) for item in items)

    ((status, scan_id),) = run()
    assert status == "stored"
    _add(series / "005.dcm", "stray.dcm", **STRAYS["plane"])

    assert run() == [("refused", None), ("unchanged", scan_id)]


def test_two_patients_and_images_of_neither_are_refused(series: Path) -> None:
    """Those of neither could be of either."""
    patients = ["A", "B", ""]
    _edit(series, lambda dataset, index: setattr(dataset, "PatientID", patients[index % 3]))

    for tolerant in (False, True):
        (refused,) = discover(series, tolerant=tolerant)

        assert isinstance(refused, Refused)
        assert (refused.verdict, refused.files) == ("unknown-owner", SLICES)


def test_halves_of_two_patients_are_never_one_volume(series: Path) -> None:
    """Even where each lies evenly behind the other."""
    _edit(series, lambda dataset, index: setattr(dataset, "PatientID", "AB"[index // 6]))

    found = _found(series)

    assert sorted(one.patient_key for one in found) == ["A", "B"]
    assert len({one.key for one in found}) == 2


def test_one_patient_in_some_images_is_the_patient_of_all(series: Path) -> None:
    """An export may lose the element in some of its images."""
    _edit(series, lambda dataset, index: setattr(dataset, "PatientID", "A" * (index > 3)))

    (found,) = _found(series)

    assert found.patient_key == "A"
    assert len(found.paths) == SLICES
