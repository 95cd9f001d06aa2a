"""Check the decoders of sources: tiny scans are written, then found and read as ingest does it."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int16

from ctprep.doctor.check import PREP, Check, attempt, tell_versions
from ctprep.doctor.samples import Sample, dicom_samples, ramp
from ctprep.store.errors import SourceError, StoreError

UNCOMPRESSED = {
    "implicit little-endian": "1.2.840.10008.1.2",
    "explicit little-endian": "1.2.840.10008.1.2.1",
    "explicit big-endian": "1.2.840.10008.1.2.2",
    "deflated": "1.2.840.10008.1.2.1.99",
}
RLE = "1.2.840.10008.1.2.5"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
SLICES = 3
GRAY_HU = 2
"""HU of a gray level, in the window of `SIDECAR`."""
SIDECAR = {
    "spacing_mm": [1.0, 1.0, 1.0],
    "axis_codes": "SPL",
    "window": {"center_hu": 255, "width_hu": 255 * GRAY_HU},
}


def check_sources() -> Iterator[Check]:
    """Decode a scan in every format and transfer syntax that is read."""
    for name, uid in UNCOMPRESSED.items():
        yield _dicom_check(name, uid, partial(_uncompressed, uid=uid))
    yield _dicom_check("RLE", RLE, _rle)
    for sample in dicom_samples():
        yield _sample_check(sample)
    for name, write, packages in (
        ("NIfTI, gzip", _write_nifti, ("nibabel", "isal")),
        ("NRRD", partial(_write_itk, suffix=".nrrd"), ("SimpleITK",)),
        ("MetaImage", partial(_write_itk, suffix=".mha"), ("SimpleITK",)),
        ("NPZ", _write_npz, ("numpy",)),
    ):
        work = partial(_read_back, write, stack(), 0, packages)
        yield attempt("files", name, work, mend=PREP)
    for name, suffix, tolerance in (("PNG pictures", ".png", 0), ("JPEG pictures", ".jpg", 8)):
        write = partial(_write_pictures, suffix=suffix)
        hu = (stack() >> 4) * GRAY_HU
        work = partial(_read_back, write, hu, tolerance, ("pillow", "simplejpeg"))
        yield attempt("files", name, work, mend=PREP)


def stack() -> Int16[np.ndarray, "slice row column"]:
    """Give a scan of a few slices, no two alike in any direction."""
    return np.stack([ramp().astype(np.int16) + 7 * number for number in range(SLICES)])


def _dicom_check(name: str, uid: str, make: Callable[[Any, np.ndarray], None]) -> Check:
    work = partial(_read_back, partial(_write_dicom, uid=uid, make=make), stack(), 0, ("pydicom",))
    return attempt("DICOM", name, work, mend=PREP)


def _sample_check(sample: Sample) -> Check:
    pixels = np.stack([sample.pixels.astype(np.int16)] * SLICES)
    make = partial(_encapsulated, sample=sample)
    write = partial(_write_dicom, uid=sample.uid, make=make)
    work = partial(_read_back, write, pixels, sample.tolerance, ("pydicom", *_plugins(sample.uid)))
    return attempt("DICOM", sample.name, work, mend=f"pip install {sample.package}")


def _plugins(uid: str) -> tuple[str, ...]:
    with suppress(ImportError, NotImplementedError):
        from pydicom.pixels.decoders.base import get_decoder

        packages = {"gdcm": "python-gdcm", "pylibjpeg": "pylibjpeg-openjpeg"}
        return tuple(packages.get(name, name) for name in get_decoder(uid).available_plugins)
    return ()


def _read_back(
    write: Callable[[Path, np.ndarray], None],
    hu: Int16[np.ndarray, "slice row column"],
    tolerance: int,
    packages: tuple[str, ...],
) -> str:
    # Late: where a library is absent, that is what is to be told.
    from ctprep.sources.discover import discover
    from ctprep.sources.read import read
    from ctprep.sources.source import Found

    with tempfile.TemporaryDirectory(prefix="ctprep-doctor-") as folder:
        write(Path(folder), hu)
        (outcome,) = discover(Path(folder))
        if not isinstance(outcome, Found):
            raise SourceError(outcome.what, verdict=outcome.verdict, mend=outcome.mend)
        found = read(outcome, hu_policy="already").volume.hu
    check_equal(found, hu, tolerance)
    return tell_versions(*packages)


def check_equal(found: np.ndarray, expected: np.ndarray, tolerance: int) -> None:
    """Refuse what was decoded to other values.

    Args:
        found: as decoded.
        expected: as encoded.
        tolerance: by how much it may be off.

    Raises:
        StoreError: tells by how much it is off.
    """
    if found.shape != expected.shape:
        raise StoreError(f"decoded to {found.shape}, not {expected.shape}", mend="see the table")
    off = int(np.abs(found.astype(np.int64) - expected.astype(np.int64)).max())
    if off > tolerance:
        raise StoreError(f"decoded to values off by up to {off}", mend="see the table")


def _write_dicom(
    folder: Path,
    hu: Int16[np.ndarray, "slice row column"],
    *,
    uid: str,
    make: Callable[[Any, np.ndarray], None],
) -> None:
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, CTImageStorage

    for number, plane in enumerate(hu):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = UID(uid)
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, f"2.25.1{number}"
        dataset.SeriesInstanceUID, dataset.Modality = "2.25.2", "CT"
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.Rows, dataset.Columns = plane.shape
        dataset.PixelSpacing = [1.0, 1.0]
        dataset.ImagePositionPatient = [0.0, 0.0, float(number)]
        dataset.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        dataset.PixelRepresentation = 0
        make(dataset, plane)
        path = folder / f"{number}.dcm"
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)


def _uncompressed(dataset: Any, plane: np.ndarray, *, uid: str) -> None:  # noqa: ANN401
    order = ">u2" if uid == BIG_ENDIAN else "<u2"
    dataset.PixelData = plane.astype(order).tobytes()


def _rle(dataset: Any, plane: np.ndarray) -> None:  # noqa: ANN401
    dataset.compress(RLE, plane.astype(np.uint16), generate_instance_uid=False)


def _encapsulated(dataset: Any, _plane: np.ndarray, *, sample: Sample) -> None:  # noqa: ANN401
    from pydicom.encaps import encapsulate

    dataset.BitsStored, dataset.HighBit = sample.bits, sample.bits - 1
    dataset.BitsAllocated = 8 if sample.bits == 8 else 16
    dataset.PixelData = encapsulate([sample.data])


def _write_nifti(folder: Path, hu: Int16[np.ndarray, "slice row column"]) -> None:
    from ctprep.look.nifti_file import encode_nifti

    content = encode_nifti(hu, np.diag([1.0, 1.0, 1.0, 1.0])[[2, 1, 0, 3]], description="")
    (folder / "scan.nii.gz").write_bytes(content)


def _write_itk(folder: Path, hu: Int16[np.ndarray, "slice row column"], *, suffix: str) -> None:
    import SimpleITK

    image = SimpleITK.GetImageFromArray(hu)  # type: ignore[attr-defined, unused-ignore]
    SimpleITK.WriteImage(image, str(folder / f"scan{suffix}"))  # type: ignore[attr-defined, unused-ignore]


def _write_pictures(
    folder: Path, hu: Int16[np.ndarray, "slice row column"], *, suffix: str
) -> None:
    from PIL import Image

    for number, plane in enumerate(hu):
        picture = Image.fromarray((plane // GRAY_HU).astype(np.uint8))
        picture.save(folder / f"{number}{suffix}", quality=95)
    (folder / "stack.json").write_text(json.dumps(SIDECAR))


def _write_npz(folder: Path, hu: Int16[np.ndarray, "slice row column"]) -> None:
    np.savez_compressed(folder / "scan.npz", ct=hu)
