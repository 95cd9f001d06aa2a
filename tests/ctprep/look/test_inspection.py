"""What is told of a source is what an ingest of it does, and names nobody."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ctprep.ingest import ingest
from ctprep.look import inspection
from ctprep.look.inspection import Inspector, filled_voxels, read_details
from ctprep.sources.discover import discover
from ctprep.sources.read import read
from ctprep.sources.source import Found
from ctprep.store.attributes import Grid, OriginalGeometry
from ctprep.store.errors import SourceError
from ctprep.store.store import VolumeStore


@pytest.fixture(scope="module")
def source(tmp_path_factory, tiny):
    """A NIfTI twice, an NPZ, a DICOM series, a text, and three lone DICOM slices."""
    folder = tmp_path_factory.mktemp("made") / "source"
    tiny.nifti(folder / "a.nii.gz", 1)
    tiny.nifti(folder / "b.nii.gz", 2)
    tiny.npz(folder / "c.npz", 3)
    tiny.dicom(folder / "series", 4, patient="Doe^Jane")
    (folder / "notes.txt").write_text("nothing")
    for number in range(3):
        lone = tiny.dicom(folder / f"lone-{number}", 5 + number, patient=f"Roe^{number}")
        for path in sorted(lone.iterdir())[1:]:
            path.unlink()
    return folder


def inspect(source, grid):
    """The summary of a source."""
    inspector = Inspector(grid)
    for outcome in discover(source):
        inspector.add(outcome)
    return inspector.summary()


def test_every_file_is_counted_once(source, tiny_grid) -> None:
    """Candidates by format and sampling; refusals by verdict, with an example and its mend."""
    summary = inspect(source, tiny_grid)

    assert summary.files == sum(path.is_file() for path in source.rglob("*"))
    assert (summary.candidates, summary.patients) == (4, 4)
    kinds = {(kind.format, kind.shape, kind.axis_codes): kind for kind in summary.kinds}
    assert {key: kind.count for key, kind in kinds.items()} == {
        ("nifti", (12, 20, 20), "SPL"): 2,
        ("npz", (60, 100, 100), "IPL"): 1,
        ("dicom", (12, 20, 20), "SPL"): 1,
    }
    assert kinds["npz", (60, 100, 100), "IPL"].spacing_mm == (0.8, 0.8, 0.8)
    verdicts = [(group.verdict, group.files, group.groups) for group in summary.refusals]
    assert verdicts == [("single-image", 3, 3), ("not-a-scan", 1, 1)]
    assert summary.refusals[0].example == "lone-0/000.dcm"
    assert summary.refusals[1].mend


def test_warnings_and_mends_are_counted(source, tiny_grid) -> None:
    """A candidate that was mended, or is doubtful, is told apart from the others."""
    inspector = Inspector(tiny_grid)
    found = next(item for item in discover(source) if isinstance(item, Found))
    inspector.add(found)
    inspector.add(replace(found, mends=("dropped a copy",), verdicts=("mixed-planes",)))

    summary = inspector.summary()

    assert (summary.mended, summary.verdicts) == (1, {"mixed-planes": 1})


def test_a_file_of_several_volumes_is_one_file(source, tiny_grid) -> None:
    """Two stacks of one multi-frame file are two candidates."""
    inspector = Inspector(tiny_grid)
    found = next(item for item in discover(source) if isinstance(item, Found))
    for frames in (((0, 0), (0, 1)), ((0, 2), (0, 3))):
        inspector.add(replace(found, frames=frames))

    summary = inspector.summary()

    assert (summary.files, summary.candidates) == (1, 2)


def test_nothing_that_identifies_is_told(source, tiny_grid) -> None:
    """Neither the summary nor the details of a file hold a name or number of a patient."""
    told = repr(inspect(source, tiny_grid)) + repr(read_details(source / "a.nii.gz"))

    assert "Doe" not in told
    assert "Roe" not in told


def test_memory_is_that_of_the_largest(source, tiny_grid, monkeypatch) -> None:
    """As ingest will reckon it, and how many of that kind fit."""
    monkeypatch.setattr(inspection, "memory_budget", lambda: 10**9)
    peaks = [found.peak_bytes for found in discover(source) if isinstance(found, Found)]

    summary = inspect(source, tiny_grid)

    assert summary.largest_peak_bytes == max(peaks)
    assert summary.at_once == 10**9 // max(peaks)


def test_an_empty_summary_divides_by_nothing(tmp_path, tiny_grid) -> None:
    """A source of texts alone has no candidate and no memory to need."""
    (tmp_path / "notes.txt").write_text("nothing")

    summary = inspect(tmp_path, tiny_grid)

    assert (summary.candidates, summary.at_once, summary.hifi_bytes) == (0, 0, 0)


@pytest.mark.parametrize("shape", [(16, 24, 24), (6, 50, 10)])
def test_filled_voxels_are_those_that_ingest_fills(source, tmp_path, shape) -> None:
    """For every candidate and any grid: the content that the store will state."""
    grid = Grid(name="any", spacing_mm=(4.0, 3.0, 3.5), shape=shape)
    expected = {}
    for item in ingest(source, tmp_path / "hifi.zarr", grid=grid, key=b"k" * 16):
        if item.status == "stored":
            content = VolumeStore.open(tmp_path / "hifi.zarr").read_attributes(item.scan_id).content
            expected[item.name] = np.prod([end - begin for begin, end in content])

    found = [item for item in discover(source) if isinstance(item, Found)]

    assert {item.name: filled_voxels(item.geometry, grid) for item in found} == expected


def test_axes_are_matched_before_voxels_are_counted(tiny_grid) -> None:
    """Stored sagittally, a scan fills what it fills stored axially; too thin, it fills nothing."""
    sagittal = OriginalGeometry(
        shape=(20, 12, 10),
        spacing_mm=(4, 4, 4),
        affine_ras=((4, 0, 0, 0), (0, 0, -4, 0), (0, 4, 0, 0), (0, 0, 0, 1)),
        axis_codes="RSP",
    )

    assert filled_voxels(sagittal, tiny_grid) == 12 * 10 * 20
    thin = sagittal.model_copy(update={"spacing_mm": (0.1, 4.0, 4.0)})
    assert filled_voxels(thin, tiny_grid) == 0
    assert filled_voxels(None, tiny_grid) == 16 * 24 * 24


def test_a_single_file_is_read_and_told(source) -> None:
    """How it became HU, and what they are."""
    details = read_details(source / "a.nii.gz")

    assert details.hu_decision.startswith("already: ")
    low, middle, high = details.hu_percentiles
    assert low < -950 < middle < high < 100
    assert read_details(source / "notes.txt") is None


def test_a_single_file_that_cannot_be_read_says_why(tmp_path, tiny) -> None:
    """The refusal of reading, which the header alone does not show."""
    hu = np.full((12, 20, 20), 7000, np.int16)
    path = tiny.nifti(tmp_path / "odd.nii.gz", hu=hu)

    assert read_details(path).refusal.startswith("implausible-hu: ")


def test_an_absent_path_is_named(tmp_path) -> None:
    """A slip of the pen is no empty source."""
    with pytest.raises(SourceError, match="no such source or store"):
        inspection.check_there(tmp_path / "absent")


def test_the_geometry_of_a_candidate_is_that_of_its_scan(source, tmp_path) -> None:
    """What the header tells is what reading finds, in every format that tells it."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    gray = np.full((10, 12), 100, np.uint8)
    for number in range(3):
        Image.fromarray(gray).save(pictures / f"{number}.png")
    (pictures / "stack.json").write_text('{"spacing_mm": [3, 2, 1], "axis_codes": "IPL"}')

    outcomes = [*discover(source), *discover(pictures)]
    found = [item for item in outcomes if isinstance(item, Found)]

    assert {item.format for item in found} == {"nifti", "npz", "dicom", "pictures"}
    for item in found:
        assert read(item, hu_policy="already").original == item.geometry
