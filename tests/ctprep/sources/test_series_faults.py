"""Series that form no volume: each fault has its name, and `tolerant` mends only what it can."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from ctprep.sources.discover import discover
from ctprep.sources.read import read
from ctprep.sources.source import Found, Refused
from ctprep.store.errors import SourceError

SLICES = 12
UNEVEN_MM = [0, 4, 8, 14, 18, 22, 26, 30, 34, 38, 42, 46]
"""By hand: one gap of one and a half; no slice is missing."""
DRIFTING_MM = [4.0 * n + 0.04 * n * n for n in range(SLICES)]
"""Each gap is near the others, the middle of the stack half a millimeter off."""
MISSING_MM = [4.0 * n + 4.0 * (n > 5) for n in range(SLICES)]


@pytest.fixture
def series(tiny, tmp_path: Path) -> Path:
    """Folder of one sound series."""
    return tiny.dicom(tmp_path / "series")


def _edit(folder: Path, change: Callable[[pydicom.Dataset, int], None]) -> None:
    for index, path in enumerate(sorted(folder.iterdir())):
        dataset = pydicom.dcmread(path)
        change(dataset, index)
        dataset.save_as(path)


def _copy(path: Path, **elements: object) -> Path:
    dataset = pydicom.dcmread(path)
    for name, value in elements.items():
        setattr(dataset, name, value)
    copy = path.with_name(f"copy-of-{path.name}")
    dataset.save_as(copy)
    return copy


def _outcomes(folder: Path, *, tolerant: bool = False) -> tuple[list[Found], list[str]]:
    outcomes = list(discover(folder, tolerant=tolerant))
    assert all(outcome.mend for outcome in outcomes if isinstance(outcome, Refused))
    return (
        [outcome for outcome in outcomes if isinstance(outcome, Found)],
        [outcome.verdict for outcome in outcomes if isinstance(outcome, Refused)],
    )


@pytest.mark.parametrize("tolerant", [False, True])
@pytest.mark.parametrize(
    ("positions_mm", "verdict"),
    [
        (UNEVEN_MM, "uneven-spacing"),
        (DRIFTING_MM, "uneven-spacing"),
        (MISSING_MM, "missing-slice"),
    ],
)
def test_gaps_that_differ(
    series: Path, positions_mm: list[float], verdict: str, tolerant: bool
) -> None:
    """No option turns an uneven stack into an even one."""

    def change(dataset: pydicom.Dataset, index: int) -> None:
        dataset.ImagePositionPatient = [-40.0, -40.0, positions_mm[index]]

    _edit(series, change)

    assert _outcomes(series, tolerant=tolerant) == ([], [verdict])


def test_slices_of_two_kernels(series: Path) -> None:
    """Every second slice is sharp."""

    def change(dataset: pydicom.Dataset, index: int) -> None:
        dataset.ConvolutionKernel = "B70f" if index % 2 else "B30f"

    _edit(series, change)

    assert _outcomes(series) == ([], ["mixed-kernels"])


def test_two_points_in_time(series: Path) -> None:
    """The same places twice, told apart by their time alone."""
    for path in sorted(series.iterdir()):
        _copy(path, SOPInstanceUID=generate_uid(), TemporalPositionIdentifier=2)

    assert _outcomes(series) == ([], ["time-points"])


def test_text_in_the_pixels(series: Path) -> None:
    """Every file is refused on its own: the text may name the patient."""

    def change(dataset: pydicom.Dataset, _: int) -> None:
        dataset.BurnedInAnnotation = "YES"

    _edit(series, change)

    assert _outcomes(series) == ([], ["burned-in"] * SLICES)


@pytest.mark.parametrize("broken", [b"4.0\\x.0", b"4.0\\4.0\\4.0 ", b"nan\\4.0 "])
def test_a_header_that_cannot_be_understood(series: Path, broken: bytes) -> None:
    """No number, too many, not finite: spacing that is there but says nothing."""
    path = series / "000.dcm"
    dataset = pydicom.dcmread(path)
    dataset.PixelSpacing = ["1" * (len(broken) // 2)] * 2
    dataset.save_as(path)
    content = path.read_bytes()
    at = content.index(b"\x28\x00\x30\x00DS") + 8
    length = int.from_bytes(content[at - 2 : at], "little")
    path.write_bytes(content[:at] + broken.ljust(length)[:length] + content[at + length :])

    found, verdicts = _outcomes(series)

    assert verdicts == ["bad-header"]
    assert [len(scan.paths) for scan in found] == [SLICES - 1]


def test_a_rescale_by_zero(series: Path) -> None:
    """It would make every voxel the same."""

    def change(dataset: pydicom.Dataset, _: int) -> None:
        dataset.RescaleSlope = 0

    _edit(series, change)

    assert _outcomes(series) == ([], ["bad-header"] * SLICES)


def test_equal_copies_are_dropped_on_request(series: Path, tiny) -> None:
    """Refused when strict; tolerant reads each place once, and says so."""
    _copy(series / "003.dcm", SOPInstanceUID=generate_uid())
    _copy(series / "004.dcm")

    assert _outcomes(series) == ([], ["duplicate-position"])
    (found,), refused = _outcomes(series, tolerant=True)

    assert refused == ["duplicate-position"] * 2
    scan = read(found, tolerant=True)
    assert scan.mends == ("dropped 2 slices equal to another",)
    np.testing.assert_array_equal(scan.volume.hu, tiny.hu(0).clip(-1024))


def test_copies_that_differ_in_a_pixel_are_never_dropped(series: Path) -> None:
    """One identifier, other pixels: nobody can tell which is right."""
    path = series / "003.dcm"
    pixels = bytearray(pydicom.dcmread(path).PixelData)
    pixels[100] ^= 1
    _copy(path, PixelData=bytes(pixels))

    assert _outcomes(series, tolerant=True) == ([], ["duplicate-position"])


def test_each_slice_is_rescaled_on_its_own_on_request(series: Path, tiny) -> None:
    """Refused when strict; the HU are the same, whatever intercept a slice is stored with."""

    def change(dataset: pydicom.Dataset, index: int) -> None:
        stored = np.frombuffer(dataset.PixelData, "<u2") + 10 * (index % 2)
        dataset.PixelData = stored.astype("<u2").tobytes()
        dataset.RescaleIntercept = -1024 - 10 * (index % 2)

    _edit(series, change)

    assert _outcomes(series) == ([], ["mixed-rescale"])
    (found,), refused = _outcomes(series, tolerant=True)
    assert refused == []
    scan = read(found, tolerant=True)
    assert scan.mends == ("rescaled each slice by its own of 2 rescales",)
    np.testing.assert_array_equal(scan.volume.hu, tiny.hu(0).clip(-1024))


def test_slices_shifted_in_their_plane(series: Path) -> None:
    """Four slices in the middle lie 50 mm to the side; the ends are in line."""

    def change(dataset: pydicom.Dataset, index: int) -> None:
        left_mm = 10.0 if 4 <= index < 8 else -40.0
        dataset.ImagePositionPatient = [left_mm, -40.0, 4.0 * index]

    _edit(series, change)

    assert _outcomes(series) == ([], ["shifted-slice"])


def test_rescale_without_a_slope_is_refused(tmp_path: Path) -> None:
    """Nothing is recorded as rescaled that was not."""
    np.savez_compressed(tmp_path / "scan.npz", ct=np.full((4, 5, 6), -800, np.int16))
    (found,) = discover(tmp_path)

    with pytest.raises(SourceError) as caught:
        read(found, hu_policy="rescale")

    assert caught.value.verdict == "no-rescale"
