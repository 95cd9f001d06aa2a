"""Tiny DICOM files of every encoding, made on the spot."""

import io
import warnings
from typing import Any

import numpy as np
import pydicom
import simplejpeg
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.fuzz.chest import chest_hu

FIRST_Z, SECOND_Z = b"-1.2345670", b"+2.7654330"
"""Positions of equal length: the second slice of a series is the first with another position."""
SYNTAXES = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "big-endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "rle": RLELossless,
    "jpeg-baseline": JPEGBaseline8Bit,
    "jpeg-lossless": JPEGLosslessSV1,
    "jpeg-ls": JPEGLSLossless,
    "jpeg-2000": JPEG2000Lossless,
}


def dicom_file(syntax: str) -> bytes:
    """Write one slice of a CT.

    Args:
        syntax: a key of `SYNTAXES`.
    """
    dataset = _slice()
    uid = SYNTAXES[syntax]
    if syntax == "jpeg-baseline":
        _encapsulate_baseline(dataset)
    elif syntax in ("rle", "jpeg-ls", "jpeg-2000"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset.compress(uid, generate_instance_uid=False)
    elif syntax == "jpeg-lossless":
        return _by_gdcm(_written(dataset))
    dataset.file_meta.TransferSyntaxUID = uid
    if syntax == "big-endian":
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    return _written(dataset)


def enhanced_file() -> bytes:
    """Write four slices of a CT in one multi-frame object, its sequences of undefined length."""
    dataset = _slice()
    hu = chest_hu()[:4]
    dataset.SOPClassUID = EnhancedCTImageStorage
    dataset.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    dataset.NumberOfFrames = len(hu)
    dataset.PixelData = (hu + 1024).clip(0).astype("<u2").tobytes()
    for name in ("PixelSpacing", "ImagePositionPatient", "RescaleSlope", "RescaleIntercept"):
        del dataset[name]
    del dataset.ImageOrientationPatient
    plane = _item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    measures = _item(PixelSpacing=[4, 4], SliceThickness=4)
    rescale = _item(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")
    dataset.SharedFunctionalGroupsSequence = [
        _item(
            PlaneOrientationSequence=[plane],
            PixelMeasuresSequence=[measures],
            PixelValueTransformationSequence=[rescale],
        )
    ]
    dataset.PerFrameFunctionalGroupsSequence = [
        _item(
            PlanePositionSequence=[_item(ImagePositionPatient=[-40, -40, 4 * frame])],
            FrameContentSequence=[_item(DimensionIndexValues=[1, frame + 1])],
        )
        for frame in range(len(hu))
    ]
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = True
    return _written(dataset)


def sequences_file() -> bytes:
    """Write one slice with nested sequences of undefined length, and private elements."""
    dataset = _slice()
    inner = _item(CodeValue="1", CodingSchemeDesignator="X", CodeMeaning="Chest")
    outer = _item(AnatomicRegionSequence=[inner], ReferencedSOPInstanceUID="1.2.3")
    dataset.ReferencedImageSequence = [outer, outer]
    dataset["ReferencedImageSequence"].is_undefined_length = True
    outer.is_undefined_length_sequence_item = True
    block = dataset.private_block(0x0009, "FUZZ", create=True)
    block.add_new(1, "UN", b"\x01\x02\x03\x04")
    block.add_new(2, "SQ", [inner])
    return _written(dataset)


def _item(**elements: Any) -> Dataset:
    item = Dataset()
    for name, value in elements.items():
        setattr(item, name, value)
    return item


def _slice() -> Dataset:
    axial = chest_hu()[3]
    dataset = _item(
        SOPClassUID=CTImageStorage,
        SOPInstanceUID="1.2.3.4",
        StudyInstanceUID="1.2.3",
        SeriesInstanceUID="1.2.3.1",
        FrameOfReferenceUID="1.2.3.9",
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
        SpecificCharacterSet="ISO_IR 100",
        Modality="CT",
        Manufacturer="Fuzz",
        ConvolutionKernel="B30f",
        KVP=120,
        PatientName="Doe^Jane",
        PatientID="id-1",
        InstanceNumber=1,
        Rows=axial.shape[0],
        Columns=axial.shape[1],
        PixelSpacing=[4, 4],
        SliceThickness=4,
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        ImagePositionPatient=["-40", "-40", FIRST_Z.decode()],
        RescaleSlope=1,
        RescaleIntercept=-1024,
        RescaleType="HU",
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        BitsAllocated=16,
        BitsStored=12,
        HighBit=11,
        PixelRepresentation=0,
        PixelPaddingValue=0,
        PixelData=(axial + 1024).clip(0).astype("<u2").tobytes(),
    )
    dataset["PixelData"].VR = "OW"
    dataset["PixelPaddingValue"].VR = "US"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.ImplementationClassUID = "1.2.3.4.5"
    return dataset


def _encapsulate_baseline(dataset: Dataset) -> None:
    stored = np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns)
    gray = (stored // 16).astype(np.uint8)[:, :, None].copy()
    data = simplejpeg.encode_jpeg(gray, colorspace="GRAY", colorsubsampling="Gray")
    dataset.PixelData = encapsulate([data])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.RescaleSlope = 7, 16


def _by_gdcm(content: bytes) -> bytes:
    """Compress with the one encoder of JPEG lossless that is there; it works on files."""
    import tempfile
    from pathlib import Path

    import gdcm

    with tempfile.TemporaryDirectory() as folder:
        plain = str(Path(folder, "plain"))
        Path(plain).write_bytes(content)
        reader = gdcm.ImageReader()
        reader.SetFileName(plain)
        if not reader.Read():
            raise RuntimeError("gdcm cannot read the seed")
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        if not change.Change():
            raise RuntimeError("gdcm cannot compress the seed")
        dataset = pydicom.dcmread(io.BytesIO(content))
        fragment = change.GetOutput().GetDataElement().GetSequenceOfFragments().GetFragment(0)
        data = fragment.GetByteValue().GetBuffer().encode("utf-8", "surrogateescape")
    dataset.PixelData = encapsulate([data])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    return _written(dataset)


def _written(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
