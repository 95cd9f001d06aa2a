"""Nothing of a header is told: a mark planted into every text element appears nowhere."""

import contextlib
import io
import json
import logging
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numcodecs
import pyarrow.parquet as pq
import pydicom
import pytest
from typer.testing import CliRunner

from cli.ctprep import app

MARK, DIGITS, DATE = "QZXJW", "8675309424242", "19530817"
TEXT = ("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT", "CS")
NEEDED = (
    *("ImageType", "Modality", "PhotometricInterpretation", "RescaleType"),
    "SpecificCharacterSet",
)
"""Codes without which the image is another kind of object, or none."""
PERSONAL = ("AccessionNumber", "InstitutionName", "PatientComments", "PatientBirthDate")
"""Planted even where a file has none."""


def _plant(dataset: pydicom.Dataset) -> None:
    for element in list(dataset):
        if element.VR == "SQ":
            for item in element.value:
                _plant(item)
        elif element.keyword in NEEDED:
            continue
        elif element.VR in TEXT:
            element.value = MARK
        elif element.VR in ("DA", "DT"):
            element.value = DATE
        elif element.VR == "UN" or (element.tag.is_private and element.VR == "OB"):
            element.value = MARK.encode() + b" "
        elif element.keyword in ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
            element.value = f"1.2.{DIGITS}.{zlib.crc32(str(element.value).encode())}"


def _plant_file(path: Path) -> None:
    dataset = pydicom.dcmread(path)
    for name in PERSONAL:
        setattr(dataset, name, DATE if name.endswith("Date") else MARK)
    for name in ("ConvolutionKernel", "Manufacturer", "ManufacturerModelName", "FilterType"):
        setattr(dataset, name, MARK)
    dataset.PatientPosition = MARK
    dataset.private_block(0x0099, MARK, create=True).add_new(1, "LO", MARK)
    item = pydicom.Dataset()
    item.PatientID, item.PatientName = MARK, MARK
    dataset.OtherPatientIDsSequence = [item]
    _plant(dataset)
    dataset.file_meta.SourceApplicationEntityTitle = MARK
    dataset.preamble = MARK.encode().ljust(128, b"\0")
    dataset.save_as(path)


def _run(*args: object) -> str:
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger().addHandler(handler)
    with contextlib.closing(handler):
        result = CliRunner().invoke(app, [str(arg) for arg in args])
        logging.getLogger().removeHandler(handler)
    assert result.exit_code in (0, 3), result.output
    return result.output + log.getvalue()


def _written(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        yield f"name of {path.name}", path.name.encode()
        if not path.is_file():
            continue
        content = path.read_bytes()
        yield path.name, content
        if path.suffix == ".parquet":
            yield path.name, json.dumps(pq.read_table(path).to_pylist(), default=str).encode()
            yield path.name, str(pq.read_schema(path).metadata).encode()
        elif content[:4] == b"\x28\xb5\x2f\xfd":
            yield path.name, numcodecs.Zstd().decode(content)


def _check(out: Path, told: str) -> None:
    seen = 0
    for name, content in [("terminal", told.encode()), *_written(out)]:
        seen += 1
        leaks = [mark for mark in (MARK, DIGITS, DATE) if mark.lower().encode() in content.lower()]
        assert not leaks, f"{leaks} in {name}"
    assert seen > 5


def _ingest_and_compress(source: Path, out: Path, grid: Path, *options: object) -> str:
    store = out / "hifi.zarr"
    told = _run("ingest", source, store, "--grid", grid, "-vv", "--json", *options)
    return told + _run("compress", store, out / "jpeg.zarr", "--workers", 1, "-vv")


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    """A small grid, as a file."""
    path = tmp_path / "tiny.toml"
    path.write_text('name = "tiny"\nspacing_mm = [4.0, 4.0, 4.0]\nshape = [16, 24, 24]\n')
    return path


@pytest.mark.parametrize("options", [("--workers", 1), ("--workers", 1, "--tolerant")])
def test_no_header_text_is_told(tiny, grid: Path, tmp_path: Path, options) -> None:
    """Scans are stored and refused, and neither tells a mark of the headers."""
    for index, name in enumerate(("sound", "copied")):
        for path in tiny.dicom(tmp_path / "source" / name, index, patient=MARK).iterdir():
            _plant_file(path)
    copied = tmp_path / "source" / "copied"
    shutil.copy(copied / "003.dcm", copied / "other.dcm")
    (tmp_path / "source" / "broken.dcm").write_bytes((copied / "003.dcm").read_bytes()[:900])

    told = _ingest_and_compress(tmp_path / "source", tmp_path / "out", grid, *options)

    assert '"stored"' in told
    assert '"refused"' in told
    _check(tmp_path / "out", told)


def test_no_nifti_text_is_told(tiny, grid: Path, tmp_path: Path) -> None:
    """Neither the text fields of NIfTI nor its extensions are told."""
    path = tiny.nifti(tmp_path / "source" / "a.nii.gz")
    image = nibabel.load(path)
    voxels = image.get_fdata().astype("int16")
    image = nibabel.Nifti1Image(voxels, image.affine, image.header)
    for name in ("descrip", "aux_file", "db_name", "intent_name"):
        image.header[name] = MARK
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", MARK.encode()))
    nibabel.save(image, path)

    told = _ingest_and_compress(tmp_path / "source", tmp_path / "out", grid, "--workers", 1)

    assert '"stored"' in told
    _check(tmp_path / "out", told)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize("workers", [1, 2])
def test_no_header_text_of_real_scans_is_told(
    shared_data: Path, grid: Path, tmp_path: Path, workers: int
) -> None:
    """Copies of real files with marks planted, whatever their verdict."""
    for folder in sorted((shared_data / "dicom").iterdir()):
        target = tmp_path / "source" / folder.name
        shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.md", "LICENSE"))
        for path in sorted(path for path in target.rglob("*") if path.is_file()):
            _plant_file(path)

    told = _ingest_and_compress(tmp_path / "source", tmp_path / "out", grid, "--workers", workers)

    assert '"stored"' in told
    assert '"refused"' in told
    _check(tmp_path / "out", told)
