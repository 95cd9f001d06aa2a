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


def test_points_in_time_are_parted_on_request(series: Path, tiny) -> None:
    """Two volumes of one series, each named, keyed and read on its own."""
    for path in sorted(series.iterdir()):
        copy = _copy(path, SOPInstanceUID=generate_uid(), AcquisitionNumber=2)
        dataset = pydicom.dcmread(copy)
        dataset.PixelData = (dataset.pixel_array + 5).tobytes()
        dataset.save_as(copy)

    found, refused = _outcomes(series, tolerant=True)

    assert refused == []
    assert len({scan.key for scan in found}) == len({scan.name for scan in found}) == 2
    first, second = (read(scan, tolerant=True) for scan in found)
    assert first.mends == second.mends == ("parted 2 volumes of one series by their time",)
    assert sorted(np.unique(first.volume.hu.astype(int) - second.volume.hu)) in ([-5], [5])


def test_kernels_are_parted_on_request(series: Path) -> None:
    """As two reconstructions of the same places."""
    for path in sorted(series.iterdir()):
        soft = _copy(path, ConvolutionKernel="B40f").rename(path)
        _copy(soft, SOPInstanceUID=generate_uid(), ConvolutionKernel="B70f")

    found, refused = _outcomes(series, tolerant=True)

    assert refused == []
    assert [len(scan.paths) for scan in found] == [SLICES, SLICES]
    kernels = {read(scan, tolerant=True).acquisition["ConvolutionKernel"] for scan in found}
    assert kernels == {"B40f", "B70f"}
    assert found[0].mends == ("parted 2 volumes of one series by their kernel",)


def test_two_thicknesses(series: Path) -> None:
    """Evenly spaced slices of two thicknesses are a stack on request alone."""

    def thicken(dataset: pydicom.Dataset, index: int) -> None:
        dataset.SliceThickness = 8 if index > SLICES // 2 else 4

    _edit(series, thicken)

    assert _outcomes(series) == ([], ["mixed-thickness"])
    (found,), refused = _outcomes(series, tolerant=True)
    assert refused == []
    assert read(found, tolerant=True).mends == ("took slices from 4 to 8 mm thick for one stack",)


@pytest.mark.parametrize(
    ("thickness_mm", "note"),
    [(8, ("overlapping-slices",)), (1, ("gaps-between-slices",)), (4, ()), (None, ())],
)
def test_thickness_is_told_where_it_is_not_the_spacing(series: Path, thickness_mm, note) -> None:
    """Thick slices that overlap and thin ones that leave gaps are stored, and say so."""

    def change(dataset: pydicom.Dataset, _: int) -> None:
        dataset.SliceThickness = thickness_mm

    _edit(series, change)
    (found,), _ = _outcomes(series)

    told = set(read(found).verdicts)
    assert told & {"overlapping-slices", "gaps-between-slices"} == set(note)


def test_cosines_on_a_rounding_edge_are_one_plane(series: Path) -> None:
    """Digits that round to either side of a half do not part a series."""

    def tilt(dataset: pydicom.Dataset, index: int) -> None:
        sine = 0.0004999 if index % 2 else 0.0005001
        dataset.ImageOrientationPatient = [1, sine, 0, -sine, 1, 0]

    _edit(series, tilt)

    (found,), refused = _outcomes(series)
    assert (len(found.paths), refused) == (SLICES, [])


@pytest.mark.parametrize(
    ("elements", "verdict"),
    [
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "not-grayscale"),
        ({"ModalityLUTSequence": [pydicom.Dataset()]}, "modality-lut"),
        ({"RescaleType": "HU_MOD"}, "not-hu"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE", "DOSE INFO"]}, "dose-page"),
        ({"PixelSpacing": [1e6, 1e6]}, "bad-header"),
        ({"Private": None, "EncapsulatedDocument": b"0" * 80_000_000}, "oversized"),
    ],
)
def test_what_no_slice_says(series: Path, elements: dict[str, object], verdict: str) -> None:
    """One image that cannot be a slice is refused, and its place is missing."""
    path = sorted(series.iterdir())[0]
    _copy(path, **{name: value for name, value in elements.items() if value is not None})
    path.unlink()

    found, refused = _outcomes(series)
    assert (len(found), refused) == (1, [verdict])


def test_padding_may_be_a_range_and_differ_between_slices(series: Path) -> None:
    """PixelPaddingRangeLimit, signed and unsigned: marked air is -1024 HU, tissue stays."""

    def pad(dataset: pydicom.Dataset, index: int) -> None:
        pixels = dataset.pixel_array.copy()
        pixels[0, :3] = (7, 8, 9) if index % 2 else 30
        dataset.PixelData = pixels.tobytes()
        dataset.add_new("PixelPaddingValue", "US", 7 if index % 2 else 30)
        if index % 2:
            dataset.add_new("PixelPaddingRangeLimit", "US", 8)

    _edit(series, pad)
    (found,), _ = _outcomes(series)

    hu = read(found).volume.hu
    assert hu[1::2, 0, :3].tolist() == [[-1024, -1024, -1015]] * (SLICES // 2)
    assert hu[::2, 0, :3].tolist() == [[-1024] * 3] * (SLICES // 2)


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


def test_an_element_that_claims_more_than_all_memory(series: Path, monkeypatch) -> None:
    """The library asks for it whole, and fails where memory is limited: a verdict, no end."""
    read = pydicom.dcmread

    def limited(stream, **options):
        if "005" in stream.name:
            raise MemoryError
        return read(stream, **options)

    monkeypatch.setattr(pydicom, "dcmread", limited)

    found, refused = _outcomes(series)
    assert (found, sorted(refused)) == ([], ["bad-header", "missing-slice"])


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
