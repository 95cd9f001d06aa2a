"""One slice in many encodings: each decodes to what another reader gets."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.encaps import encapsulate, generate_frames

from ctprep.sources.dicom_decoder import DecodeError, decode_compressed
from ctprep.sources.dicom_header import read_headers
from ctprep.sources.dicom_pixels import decode_header
from ctprep.sources.files import SourceFile

FOLDERS = {"10_transfer_syntaxes_same_slice": 16, "11_transfer_syntaxes_chest_slice": 6}
LOSSY_12_BIT = ("4.51", "4.53", "4.55")


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_encoding_decodes_to_what_simpleitk_gets(shared_data: Path, folder: str) -> None:
    """HU of every file are exactly those of GDCM inside of SimpleITK."""
    paths = [p for p in (shared_data / "dicom" / folder).iterdir() if p.suffix != ".md"]
    assert len(paths) == FOLDERS[folder]
    for path in paths:
        (header,) = read_headers(SourceFile(path.name, path))
        hu = decode_header(header) * header.slope + header.intercept

        expected = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path))[0]
        np.testing.assert_allclose(hu, expected, rtol=0, atol=1e-6, err_msg=path.name)


@pytest.mark.parametrize("syntax", LOSSY_12_BIT)
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_a_frame_cut_off_is_not_made_up(shared_data: Path, tmp_path: Path, syntax: str) -> None:
    """Half a picture of the encodings that GDCM alone decodes is refused."""
    folder = shared_data / "dicom" / "10_transfer_syntaxes_same_slice"
    dataset = pydicom.dcmread(next(folder.glob(f"*{syntax}.dcm")))
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([frame[: len(frame) // 4 * 2]])
    dataset.save_as(tmp_path / "cut.dcm")

    with pytest.raises(DecodeError):
        decode_compressed((tmp_path / "cut.dcm").read_bytes(), 1 << 20)


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_a_picture_of_another_shape_is_refused(shared_data: Path, tmp_path: Path) -> None:
    """The header's rows decide, not those of the picture."""
    folder = shared_data / "dicom" / "10_transfer_syntaxes_same_slice"
    dataset = pydicom.dcmread(next(folder.glob("*4.51.dcm")))
    dataset.Rows = 256
    dataset.save_as(tmp_path / "other.dcm")

    with pytest.raises(DecodeError):
        decode_compressed((tmp_path / "other.dcm").read_bytes(), 1 << 20)
