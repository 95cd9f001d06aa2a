"""Enhanced CT: the frames of one object are slices like any others."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage, RLELossless

from ctprep.sources.discover import discover
from ctprep.sources.read import read
from ctprep.sources.source import Found, Refused

MOVED = ("PixelSpacing", "SliceThickness", "ImageOrientationPatient", "ImagePositionPatient")
RESCALE = ("RescaleSlope", "RescaleIntercept")


def _group(frame: Dataset, *, planes: bool) -> Dataset:
    group = Dataset()
    measures, position, plane, values = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = frame.PixelSpacing, frame.SliceThickness
    position.ImagePositionPatient = frame.ImagePositionPatient
    plane.ImageOrientationPatient = frame.ImageOrientationPatient
    values.RescaleSlope, values.RescaleIntercept = frame.RescaleSlope, frame.RescaleIntercept
    values.RescaleType = "HU"
    group.PlanePositionSequence = [position]
    group.FrameContentSequence = [Dataset()]
    if planes:
        group.PixelMeasuresSequence, group.PlaneOrientationSequence = [measures], [plane]
        group.PixelValueTransformationSequence = [values]
    return group


def _enhance(series: Path, out: Path, *, sop_class: str = EnhancedCTImageStorage) -> Dataset:
    """Write the slices of a series as one object, in an order of their own."""
    frames = [pydicom.dcmread(path) for path in sorted(series.iterdir())]
    frames = frames[1::2] + frames[::2]
    whole = pydicom.dcmread(sorted(series.iterdir())[0])
    for name in (*MOVED, *RESCALE):
        delattr(whole, name)
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = sop_class
    whole.NumberOfFrames = len(frames)
    first = _group(frames[0], planes=True)
    del first.PlanePositionSequence
    whole.SharedFunctionalGroupsSequence = [first]
    whole.PerFrameFunctionalGroupsSequence = [_group(frame, planes=False) for frame in frames]
    whole.PixelData = b"".join(frame.PixelData for frame in frames)
    out.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(out / "enhanced.dcm", whole, enforce_file_format=True)
    return whole


@pytest.fixture
def series(tiny, tmp_path: Path) -> Path:
    """Folder of one sound series, a file a slice."""
    return tiny.dicom(tmp_path / "series")


@pytest.mark.parametrize(
    "sop_class", [EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage]
)
@pytest.mark.parametrize("packed", [False, True])
def test_frames_are_slices(series: Path, tmp_path: Path, sop_class: str, packed: bool) -> None:
    """The same voxels at the same places as from one file a slice, whatever their order."""
    whole = _enhance(series, tmp_path / "enhanced", sop_class=sop_class)
    if packed:
        whole.compress(RLELossless)
        whole.save_as(tmp_path / "enhanced" / "enhanced.dcm")

    (one,), (many,) = discover(tmp_path / "enhanced"), discover(series)

    got, expected = read(one), read(many)
    np.testing.assert_array_equal(got.volume.hu, expected.volume.hu)
    np.testing.assert_array_equal(got.volume.affine_ras, expected.volume.affine_ras)
    assert len(got.source_sha256) == 1


def test_two_stacks_in_one_object_are_two_volumes(series: Path, tmp_path: Path) -> None:
    """Frames of two planes part like the files of a series."""
    whole = _enhance(series, tmp_path / "enhanced")
    coronal = 0
    for group in whole.PerFrameFunctionalGroupsSequence:
        plane, position = Dataset(), group.PlanePositionSequence[0]
        plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        if position.ImagePositionPatient[2] >= 24:
            plane.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
            position.ImagePositionPatient = [-40, 4 * coronal, 40]
            coronal += 1
        group.PlaneOrientationSequence = [plane]
    whole.save_as(tmp_path / "enhanced" / "enhanced.dcm")

    found = list(discover(tmp_path / "enhanced"))

    assert [type(outcome) for outcome in found] == [Found, Found], found
    assert [outcome.name for outcome in found] == ["enhanced.dcm", "enhanced.dcm#2"]
    assert len({outcome.key for outcome in found}) == 2
    first, second = (read(outcome).volume for outcome in found)
    assert {first.axis_codes[0], second.axis_codes[0]} == {"S", "P"}
    assert len(first.hu) + len(second.hu) == 12


def test_a_missing_frame_is_named(series: Path, tmp_path: Path) -> None:
    """The faults of a stack are found within one object, too."""
    whole = _enhance(series, tmp_path / "enhanced")
    for group in whole.PerFrameFunctionalGroupsSequence:
        position = group.PlanePositionSequence[0].ImagePositionPatient
        if position[2] > 20:
            position[2] += 4
    whole.save_as(tmp_path / "enhanced" / "enhanced.dcm")

    (refused,) = discover(tmp_path / "enhanced")
    assert isinstance(refused, Refused)
    assert refused.verdict == "missing-slice"


def test_fewer_groups_than_frames_is_a_bad_header(series: Path, tmp_path: Path) -> None:
    """What is not described is not guessed."""
    whole = _enhance(series, tmp_path / "enhanced")
    whole.PerFrameFunctionalGroupsSequence = whole.PerFrameFunctionalGroupsSequence[:-1]
    whole.save_as(tmp_path / "enhanced" / "enhanced.dcm")

    (refused,) = discover(tmp_path / "enhanced")
    assert isinstance(refused, Refused)
    assert refused.verdict == "bad-header"


def test_frames_without_groups_are_refused(series: Path, tmp_path: Path) -> None:
    """Nothing tells where they lie."""
    whole = _enhance(series, tmp_path / "enhanced")
    del whole.PerFrameFunctionalGroupsSequence
    whole.save_as(tmp_path / "enhanced" / "enhanced.dcm")

    (refused,) = discover(tmp_path / "enhanced")
    assert isinstance(refused, Refused)
    assert refused.verdict == "multi-frame"


AXIAL = ["ORIGINAL", "PRIMARY", "AXIAL", "NONE"]
MIXED = ["MIXED", "PRIMARY", "MIXED", "MIXED"]


@pytest.mark.parametrize(
    ("of_object", "of_all", "of_one", "verdict"),
    [
        (AXIAL, AXIAL, AXIAL, None),
        (["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], None, None, None),
        (["DERIVED", "PRIMARY", "VOLUME", "MEAN"], None, None, None),
        # The object says it of all its frames, whether they repeat it or not.
        (["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"], None, None, "localizer"),
        (["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"], AXIAL, None, "localizer"),
        (["DERIVED", "PRIMARY", "VOLUME", "MAXIMUM"], AXIAL, None, "projection"),
        # One frame says it, where the object tells that they are mixed.
        (MIXED, AXIAL, ["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"], "localizer"),
        (MIXED, AXIAL, ["DERIVED", "PRIMARY", "AXIAL", "SUBTRACTION"], "not-hu"),
        (MIXED, ["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"], None, "localizer"),
    ],
)
def test_what_an_image_is_holds_for_object_and_frame(
    series: Path, tmp_path: Path, of_object, of_all, of_one, verdict
) -> None:
    """ImageType of the object, FrameType of all frames and of one."""
    whole = _enhance(series, tmp_path / "enhanced")
    whole.ImageType = of_object
    for groups, frame_type in (
        (whole.SharedFunctionalGroupsSequence, of_all),
        (whole.PerFrameFunctionalGroupsSequence[5:6], of_one),
    ):
        for group in groups if frame_type else ():
            kind = Dataset()
            kind.FrameType = frame_type
            group.CTImageFrameTypeSequence = [kind]
    whole.save_as(tmp_path / "enhanced" / "enhanced.dcm")

    (outcome,) = discover(tmp_path / "enhanced")

    assert (outcome.verdict if isinstance(outcome, Refused) else None) == verdict


@pytest.mark.parametrize("of_object", [False, True])
def test_a_rendering_is_a_projection(series: Path, tmp_path: Path, of_object: bool) -> None:
    """Told by an element of its own, of the object or of a frame."""
    whole = _enhance(series, tmp_path / "enhanced")
    if of_object:
        whole.VolumeBasedCalculationTechnique = "VOLUME_RENDER"
    else:
        kind = Dataset()
        kind.VolumeBasedCalculationTechnique = "MAX_IP"
        whole.SharedFunctionalGroupsSequence[0].CTImageFrameTypeSequence = [kind]
    whole.save_as(tmp_path / "enhanced" / "enhanced.dcm")

    (refused,) = discover(tmp_path / "enhanced")

    assert refused.verdict == "projection"
