"""Only the bits that are stored are a value: DICOM PS3.5, section 8.1.1."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from ctprep.sources.discover import discover
from ctprep.sources.read import read
from ctprep.sources.source import Found, Refused
from ctprep.store.errors import SourceError

RESCALE = 1024


def _rewrite(folder: Path, change, cells, *, syntax: str = ExplicitVRLittleEndian) -> None:
    """Give each slice other cells, made of the values it has."""
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        made = cells(dataset.pixel_array.astype(np.int64)) & 0xFFFF
        change(dataset)
        dataset.PixelData = made.astype("<u2").tobytes()
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = made.astype(">u2").tobytes()
            dataset.file_meta.TransferSyntaxUID = syntax
            path.unlink()
            pydicom.dcmwrite(path, dataset, little_endian=False, implicit_vr=False)
            continue
        if syntax == RLELossless:
            dataset.compress(syntax)
        dataset.save_as(path)


def _enlarged(dataset: pydicom.Dataset) -> pydicom.Dataset:
    """Repeat each pixel, for the encoder of JPEG 2000 takes no smaller pictures."""
    pixels = dataset.pixel_array.repeat(4, axis=0).repeat(4, axis=1)
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.PixelSpacing, dataset.PixelData = [1.0, 1.0], pixels.tobytes()
    return dataset


def _read(folder: Path):
    (found,) = discover(folder)
    assert isinstance(found, Found), found
    return read(found).volume.hu


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
@pytest.mark.parametrize("overlay", [0x1000, 0xF000])
def test_an_overlay_above_the_values_is_ignored(tmp_path, tiny, syntax, overlay) -> None:
    """Planes in bits 12 to 15 of every other pixel."""
    folder = tiny.dicom(tmp_path / "series")

    def cells(values):
        values[::2] |= overlay
        return values

    _rewrite(folder, lambda dataset: None, cells, syntax=syntax)

    np.testing.assert_array_equal(_read(folder), tiny.hu(0))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
@pytest.mark.parametrize("low_bits", [0, 0xF])
def test_values_in_the_upper_bits_are_shifted_down(tmp_path, tiny, syntax, low_bits) -> None:
    """HighBit 15 of 12 bits stored, as in ACR-NEMA, with and without an overlay below."""
    folder = tiny.dicom(tmp_path / "series")

    def change(dataset):
        dataset.HighBit = 15

    _rewrite(folder, change, lambda values: values << 4 | low_bits, syntax=syntax)

    np.testing.assert_array_equal(_read(folder), tiny.hu(0))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
@pytest.mark.parametrize("above", [0, 0xF000])
@pytest.mark.parametrize("high_bit", [11, 14])
def test_signs_are_extended(tmp_path, tiny, syntax, above, high_bit) -> None:
    """Signed values of 12 bits, the bits around them zeros or an overlay."""
    folder = tiny.dicom(tmp_path / "series")
    shift = high_bit - 11

    def change(dataset):
        dataset.PixelRepresentation, dataset.HighBit, dataset.RescaleIntercept = 1, high_bit, 0

    def cells(values):
        return ((values - RESCALE) & 0xFFF) << shift | (above << shift & 0xFFFF)

    _rewrite(folder, change, cells, syntax=syntax)

    np.testing.assert_array_equal(_read(folder), tiny.hu(0))


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize("high_bit", [11, 15])
def test_compressed_values_are_taken_as_they_are(tmp_path, tiny, syntax, high_bit) -> None:
    """A codestream holds values, wherever they lay among the bits before."""
    folder = tiny.dicom(tmp_path / "series")
    for path in folder.iterdir():
        dataset = _enlarged(pydicom.dcmread(path))
        dataset.compress(syntax)
        dataset.HighBit = high_bit
        dataset.save_as(path)

    np.testing.assert_array_equal(_read(folder)[:, ::4, ::4], tiny.hu(0))


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_an_overlay_that_was_compressed_too_is_ignored(tmp_path, tiny, syntax) -> None:
    """A codestream of 16 bits under a header of 12."""
    folder = tiny.dicom(tmp_path / "series")
    for path in folder.iterdir():
        dataset = _enlarged(pydicom.dcmread(path))
        values = dataset.pixel_array.copy()
        values[::2] |= 0x3000
        dataset.PixelData, dataset.BitsStored, dataset.HighBit = values.tobytes(), 16, 15
        dataset.compress(syntax)
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.save_as(path)

    np.testing.assert_array_equal(_read(folder)[:, ::4, ::4], tiny.hu(0))


@pytest.mark.parametrize("marker", [-2000, 63536])
def test_padding_beyond_the_stored_bits_stays_padding(tmp_path, tiny, marker) -> None:
    """Cells of 63536 under a header of 12 bits would read 1072 HU, a ring of bone."""
    folder = tiny.dicom(tmp_path / "series")

    def change(dataset):
        dataset.add_new("PixelPaddingValue", "SS" if marker < 0 else "US", marker)

    def cells(values):
        values[:, 0] = 63536
        return values

    _rewrite(folder, change, cells)

    hu = _read(folder)
    assert (hu[:, :, 0] == -1024).all()
    np.testing.assert_array_equal(hu[:, :, 1:], tiny.hu(0)[:, :, 1:])


@pytest.mark.parametrize(("stored", "high"), [(0, 11), (17, 16), (12, 10), (12, 16)])
def test_a_contradiction_is_refused(tmp_path, tiny, stored, high) -> None:
    """No bits, more than are allocated, and a highest one that cannot be."""
    folder = tiny.dicom(tmp_path / "series")
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.BitsStored, dataset.HighBit = stored, high
        dataset.save_as(path)

    outcomes = list(discover(folder))

    assert {o.verdict for o in outcomes if isinstance(o, Refused)} == {"bad-header"}
    assert not any(isinstance(o, Found) for o in outcomes)


def test_compressed_values_that_may_be_shifted_are_refused(tmp_path, tiny) -> None:
    """A codec may hold values or allocated bits; a dark slice fits either, so none is guessed."""
    folder = tiny.dicom(tmp_path / "series")
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.HighBit, dataset.BitsStored = 15, 16
        dataset.PixelData = (dataset.pixel_array.astype("<u2") << 4).tobytes()
        dataset.compress(JPEGLSLossless)
        dataset.BitsStored = 12
        dataset.save_as(path)
    (found,) = discover(folder)

    with pytest.raises(SourceError) as caught:
        read(found)
    assert caught.value.verdict == "undecodable"
