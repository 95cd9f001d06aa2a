"""Damaged and foreign files are refused by name; none reads as a scan, none raises a traceback."""

import gzip
import io
import warnings
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.uid import ExplicitVRLittleEndian

from ctprep.sources.discover import discover
from ctprep.sources.read import read
from ctprep.sources.source import Refused
from ctprep.store.errors import SourceError


def _hu() -> np.ndarray:
    return np.random.default_rng(0).choice([-1000, -850, -100, 40], (16, 18, 20)).astype(np.int16)


def _nifti() -> bytes:
    return nibabel.Nifti1Image(_hu(), np.diag([-0.7, -0.7, 1.5, 1])).to_bytes()


def _verdict(path: Path) -> str:
    (outcome,) = discover(path)
    if isinstance(outcome, Refused):
        assert outcome.mend
        return outcome.verdict
    with pytest.raises(SourceError) as caught:
        read(outcome)
    assert caught.value.where == path.name
    assert str(path.parent) not in str(caught.value)
    return caught.value.verdict


def test_half_a_compressed_file_is_refused(tmp_path: Path) -> None:
    """The image library would give a whole volume, its second half made up."""
    content = gzip.compress(_nifti())
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(content[: len(content) // 2])

    assert _verdict(path) == "truncated"


def test_half_a_plain_file_is_refused(tmp_path: Path) -> None:
    """Likewise without compression."""
    path = tmp_path / "scan.nii"
    path.write_bytes(_nifti()[:4000])

    assert _verdict(path) == "truncated"


def test_a_file_of_several_gzip_members_is_whole(tmp_path: Path) -> None:
    """Block compressors write many members; the last one's size is not the file's."""
    content = _nifti()
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(gzip.compress(content[:5000]) + gzip.compress(content[5000:]))

    (found,) = discover(path)

    np.testing.assert_array_equal(read(found).volume.hu.transpose(2, 1, 0), _hu())


def test_nifti_without_orientation_is_refused(tmp_path: Path) -> None:
    """Spacing alone does not say which side is left."""
    path = tmp_path / "scan.nii"
    content = _nifti()
    # nifti1.h: qform_code and sform_code are the two shorts at byte 252.
    path.write_bytes(content[:252] + bytes(4) + content[256:])

    assert _verdict(path) == "no-orientation"


@pytest.mark.parametrize(
    ("name", "content", "verdict"),
    [
        ("scan.nii.gz", b"junk" * 200, "unreadable"),
        ("scan.npz", b"PK" + b"x" * 100, "unreadable"),
        ("scan.mha", b"junk", "unreadable"),
        ("scan.dcm", b"\0" * 128 + b"DICM" + b"\xff" * 50, "not-a-scan"),
        ("noise", b"\x08\x00" + bytes(range(256)), "not-a-scan"),
        ("notes.txt", b"not a scan", "not-a-scan"),
        ("empty", b"", "not-a-scan"),
    ],
)
def test_junk_is_refused(tmp_path: Path, name: str, content: bytes, verdict: str) -> None:
    """Whatever a file claims to be."""
    path = tmp_path / name
    path.write_bytes(content)

    assert _verdict(path) == verdict


def test_pickled_arrays_are_never_loaded(tmp_path: Path) -> None:
    """An object array would run code when read."""
    path = tmp_path / "scan.npz"
    np.savez(path, ct=np.array([[[{"a": 1}]]], dtype=object))

    assert _verdict(path) == "unreadable"


def test_an_empty_source_is_an_error(tmp_path: Path) -> None:
    """Nothing to do is rarely what was meant."""
    with pytest.raises(SourceError) as caught:
        list(discover(tmp_path))

    assert caught.value.verdict == "empty-source"


@pytest.mark.parametrize(
    ("name", "whole", "damaged"),
    [
        ("scan.mha", b"BinaryData = True", b"BinaryData = \xef\xbb\xbfue"),
        ("scan.mha", b"DimSize = 20 18", b"DimSize = 20\xa018"),
        ("scan.npz", b"'descr': '<i2'", b"'descr': 1or 2"),
        ("scan.npz", b"(16, 18, 20), }", b"(1L, 18, 20), }"),
    ],
)
def test_no_library_prints_what_it_thinks_of_a_header(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
    name: str,
    whole: bytes,
    damaged: bytes,
) -> None:
    """It could quote a patient's name, and nobody knows which scan it is about."""
    warnings.simplefilter("default")
    path = tmp_path / name
    content = _metaimage(tmp_path) if name == "scan.mha" else _npz()
    assert whole in content
    path.write_bytes(content.replace(whole, damaged))

    assert _verdict(path) == "unreadable"
    assert tuple(capfd.readouterr()) == ("", "")
    assert not list(recwarn)


def _metaimage(folder: Path) -> bytes:
    path = folder / "whole.mha"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(_hu()), path, useCompression=True)
    content = path.read_bytes()
    path.unlink()
    return content


def _npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, ct=_hu())
    return file.getvalue()


def test_a_directory_of_files_is_told_as_one(tmp_path: Path) -> None:
    """Every disc has one; its class is in the file's own header alone."""
    path = tmp_path / "DICOMDIR"
    dataset = pydicom.Dataset()
    dataset.FileSetID = "DISC"
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    dataset.preamble = bytes(128)
    dataset.save_as(path)

    assert _verdict(path) == "no-image"


@pytest.mark.parametrize("modality", ["RTDOSE", "MR", "SEG"])
def test_another_modality_is_told_before_what_is_wrong_with_it(tmp_path, tiny, modality) -> None:
    """What is no CT need not be exported again for its broken elements."""
    dataset = pydicom.dcmread(sorted(tiny.dicom(tmp_path / "series").iterdir())[0])
    dataset.Modality = modality
    dataset.add_new("NumberOfFrames", "SH", "many")
    dataset.SharedFunctionalGroupsSequence = [pydicom.Dataset()]
    dataset.PerFrameFunctionalGroupsSequence = [pydicom.Dataset()] * 3
    dataset.save_as(tmp_path / "other.dcm", enforce_file_format=False)

    assert _verdict(tmp_path / "other.dcm") == ("segmentation" if modality == "SEG" else "not-ct")


def test_a_data_set_of_the_other_byte_order_needs_no_preamble(tmp_path: Path, tiny) -> None:
    """As old archives hold them."""
    dataset = pydicom.dcmread(sorted(tiny.dicom(tmp_path / "series").iterdir())[0])
    dataset.PixelData = dataset.pixel_array.astype(">u2").tobytes()
    del dataset.file_meta
    pydicom.dcmwrite(tmp_path / "bare", dataset, implicit_vr=False, little_endian=False)

    assert _verdict(tmp_path / "bare") == "single-image"


@pytest.mark.parametrize("kind", [nibabel.Nifti1Pair, nibabel.Nifti2Pair])
def test_half_of_a_pair_is_told_as_such(tmp_path: Path, kind) -> None:
    """The header tells where its voxels are: in another file."""
    nibabel.save(kind(np.zeros((3, 3, 3), np.int16), np.eye(4)), tmp_path / "scan.hdr")
    (tmp_path / "scan.img").unlink()

    assert _verdict(tmp_path / "scan.hdr") == "detached"


@pytest.mark.parametrize("name", ["IM001.dcm.gz", "scan.nrrd.gz", "scans.bz2"])
def test_what_is_packed_is_told_as_such(tmp_path: Path, name: str) -> None:
    """It could hold a scan; the mend is to unpack it."""
    (tmp_path / name).write_bytes(b"\x1f\x8b")

    assert _verdict(tmp_path / name) == "archive"


def test_one_image_is_called_by_its_name(tmp_path: Path, tiny) -> None:
    """Not by the folder that it is alone in."""
    path = sorted(tiny.dicom(tmp_path / "series").iterdir())[3]

    for source, name in ((path, "003.dcm"), (tmp_path, "series/003.dcm")):
        (refused,) = discover(source)
        assert (refused.name, refused.verdict) == (name, "single-image")
        for other in path.parent.iterdir():
            if other != path:
                other.unlink()
