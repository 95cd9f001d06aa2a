"""Nothing of a header is told: a mark planted into every element appears nowhere."""

import contextlib
import csv
import gzip
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import nibabel
import numcodecs
import numpy as np
import pyarrow.parquet as pq
import pydicom
import pytest
import SimpleITK
from PIL import Image
from typer.testing import CliRunner

from cli.ctprep import app

MARK, DIGITS, DATE, TIME = "QZXJW", "867530942", "19530817", "031415.926535"
MARKS = (MARK, DIGITS, DATE, TIME)
TEXT = ("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT", "CS")
PLANTED = {
    "DA": DATE,
    "DT": DATE,
    "TM": TIME,
    "DS": DIGITS,
    "IS": DIGITS,
    **dict.fromkeys(TEXT, MARK),
}
NEEDED = (
    *("ImageType", "Modality", "PhotometricInterpretation", "RescaleType"),
    *("SpecificCharacterSet", "NumberOfFrames", "RescaleSlope", "RescaleIntercept"),
    *("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient"),
)
"""Elements without which the image is another kind of object, or lies elsewhere."""
PERSONAL = ("AccessionNumber", "InstitutionName", "PatientComments", "PatientBirthDate")
ACQUISITION = ("ConvolutionKernel", "Manufacturer", "ManufacturerModelName", "FilterType")
NUMBERS = ("KVP", "SliceThickness", "XRayTubeCurrent", "SpiralPitchFactor", "PatientWeight")
"""Planted even where a file has none; the last two are kept of sound headers."""
QUICK = ("13_localizer_axial_secondary/philips_axial", "15_multiframe")
"""Small real folders: one that is stored, and nested headers that are refused."""


def _plant(dataset: pydicom.Dataset) -> None:
    for element in list(dataset):
        if element.VR == "SQ":
            for item in element.value:
                _plant(item)
        elif element.keyword in NEEDED:
            continue
        elif element.VR in PLANTED:
            element.value = PLANTED[element.VR]
        elif element.VR == "UN" or (element.tag.is_private and element.VR == "OB"):
            element.value = MARK.encode() + b" "
        elif element.VR == "UI" and not element.keyword.endswith("ClassUID"):
            element.value = f"1.2.{DIGITS}.{zlib.crc32(str(element.value).encode())}"


def _plant_file(path: Path) -> None:
    dataset = pydicom.dcmread(path)
    for name in (*PERSONAL, *ACQUISITION, "PatientPosition"):
        setattr(dataset, name, DATE if name.endswith("Date") else MARK)
    for name in NUMBERS:
        setattr(dataset, name, float(DIGITS) if name == "SpiralPitchFactor" else DIGITS)
    dataset.StudyTime = TIME
    dataset.private_block(0x0099, MARK, create=True).add_new(1, "LO", MARK)
    item = pydicom.Dataset()
    item.PatientID, item.PatientName = MARK, MARK
    dataset.OtherPatientIDsSequence = [item]
    _plant(dataset)
    meta = dataset.file_meta
    meta.SourceApplicationEntityTitle = meta.ImplementationVersionName = MARK
    meta.MediaStorageSOPInstanceUID = f"1.2.{DIGITS}"
    meta.PrivateInformationCreatorUID, meta.PrivateInformation = f"1.2.{DIGITS}", MARK.encode()
    dataset.preamble = MARK.encode().ljust(128, b"\0")
    dataset.save_as(path)


def _plant_folder(folder: Path, target: Path) -> None:
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.md", "LICENSE"))
    for path in sorted(path for path in target.rglob("*") if path.is_file()):
        _plant_file(path)


def _run(*args: object) -> str:
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger().addHandler(handler)
    with contextlib.closing(handler):
        result = CliRunner().invoke(app, [str(arg) for arg in args])
        logging.getLogger().removeHandler(handler)
    assert result.exit_code in (0, 3), result.output
    return result.output + log.getvalue()


def _run_alone(*args: object) -> str:
    """Run in a process of its own: what its workers say is told, too."""
    command = [sys.executable, "-c", "from cli.ctprep import main; main()", *map(str, args)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stdout
    return done.stdout


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
        elif content[:2] == b"\x1f\x8b":
            yield path.name, gzip.decompress(content)


def _check(out: Path, told: str, paths: Sequence[str] = ()) -> None:
    """Look for marks, in the report and on the terminal beside the paths of inputs."""
    seen = 0
    for name, content in [("terminal", told.encode()), *_written(out)]:
        seen += 1
        if name == "terminal" or name.endswith("report.jsonl"):
            for path in paths:
                content = content.replace(path.encode(), b"")
        leaks = [mark for mark in MARKS if mark.lower().encode() in content.lower()]
        assert not leaks, f"{leaks} in {name}"
    assert seen > 5


def _ingest_and_compress(source: Path, out: Path, grid: Path, *options: object, run=_run) -> str:
    store = out / "hifi.zarr"
    told = run("ingest", source, store, "--grid", grid, "-vv", "--json", *options)
    return told + run("compress", store, out / "jpeg.zarr", "--workers", 1, "-vv", "--json")


def _look(source: Path, out: Path, grid: Path) -> str:
    """Run every verb that reads a source or a store."""
    store, jpeg = out / "hifi.zarr", out / "jpeg.zarr"
    told = _run("inspect", source, "--grid", grid, "-vv")
    told += _run("inspect", source, "--grid", grid, "--tolerant", "--json")
    for each in (store, jpeg):
        told += _run("inspect", each) + _run("inspect", each, "--json")
        told += _run("verify", each, "--workers", 1, "-vv")
        told += _run("stats", each, "--out", out / f"stats-{each.stem}", "-vv")
    told += _run("preview", store, "--jpeg", jpeg, "--out", out / "pictures", "-vv", "--json")
    told += _run("export", store, out / "nifti", "--json")
    return told + _run("export", jpeg, out / "ome", "--format", "ome-zarr")


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    """A small grid, as a file."""
    path = tmp_path / "tiny.toml"
    path.write_text('name = "tiny"\nspacing_mm = [4.0, 4.0, 4.0]\nshape = [16, 24, 24]\n')
    return path


def _synthetic(tiny, source: Path) -> None:
    for index, name in enumerate(("sound", "copied")):
        for path in tiny.dicom(source / name, index, patient=MARK).iterdir():
            _plant_file(path)
    copied = source / "copied"
    shutil.copy(copied / "003.dcm", copied / "other.dcm")
    (source / "broken.dcm").write_bytes((copied / "003.dcm").read_bytes()[:900])


@pytest.mark.parametrize("options", [("--workers", 1), ("--workers", 1, "--tolerant")])
def test_no_header_text_is_told(tiny, grid: Path, tmp_path: Path, options) -> None:
    """Scans are stored and refused, and neither tells a mark of the headers."""
    _synthetic(tiny, tmp_path / "source")

    told = _ingest_and_compress(tmp_path / "source", tmp_path / "out", grid, *options)

    assert '"stored"' in told
    assert '"refused"' in told
    _check(tmp_path / "out", told)


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_a_few_real_headers_are_not_told(shared_data: Path, grid: Path, tmp_path: Path) -> None:
    """Real headers have nested and private elements that synthetic ones have not."""
    for folder in QUICK:
        _plant_folder(shared_data / "dicom" / folder, tmp_path / "source" / folder)

    told = _ingest_and_compress(tmp_path / "source", tmp_path / "out", grid, "--workers", 1)

    assert '"stored"' in told
    assert '"refused"' in told
    _check(tmp_path / "out", told)


def test_names_in_an_archive_are_told_as_paths_alone(tiny, grid: Path, tmp_path: Path) -> None:
    """The report names members; the store has neither these nor the archive's comment."""
    (tmp_path / "source").mkdir()
    folder = tiny.dicom(tmp_path / "series", patient=MARK)
    with zipfile.ZipFile(tmp_path / "source" / "export.zip", "w") as archive:
        archive.comment = MARK.encode()
        for path in sorted(folder.iterdir()):
            _plant_file(path)
            archive.write(path, f"{MARK}/{path.name}")
        archive.write(tiny.nifti(tmp_path / "a.nii.gz"), f"{MARK}_{DATE}.nii.gz")
        archive.writestr(f"{MARK}.txt", MARK)

    options = ("--workers", 1, "--scan-ids", "pseudonym")
    told = _ingest_and_compress(tmp_path / "source", tmp_path / "out", grid, *options)

    assert told.count('"stored"') >= 2
    paths = [f"export.zip/{MARK}{end}" for end in (f"_{DATE}.nii.gz", ".txt", "")]
    _check(tmp_path / "out", told, paths)


def _write_files(tiny, source: Path) -> None:
    """Write one file of every other format, with marks wherever the format has room for text."""
    path = tiny.nifti(source / "a.nii.gz")
    image = nibabel.load(path)
    voxels = image.get_fdata().astype("int16")
    image = nibabel.Nifti1Image(voxels, image.affine, image.header)
    for name in ("descrip", "aux_file", "db_name", "intent_name"):
        image.header[name] = MARK
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", MARK.encode()))
    nibabel.save(image, path)
    for name in ("b.nrrd", "c.mha"):
        picture = SimpleITK.GetImageFromArray(tiny.hu(1))
        picture.SetSpacing((4.0, 4.0, 4.0))
        for key in ("Comment", "Name", MARK):
            picture.SetMetaData(key, f"{MARK} {DATE}")
        SimpleITK.WriteImage(picture, source / name)
        assert MARK.encode() in (source / name).read_bytes()
    hu = np.load(tiny.npz(source / "d.npz"))["ct"]
    np.savez_compressed(source / "d.npz", ct=hu, name=np.array(MARK), **{MARK: np.zeros(2)})
    np.savez_compressed(source / "refused.npz", **{MARK: np.array(MARK)})
    pictures = source / "pictures"
    pictures.mkdir()
    for index, gray in enumerate(((tiny.hu(2) + 1350) / 6).clip(0, 255).astype(np.uint8)):
        Image.fromarray(gray).save(pictures / f"{index}.png", pnginfo=_png_text())
    sidecar = {"spacing_mm": [4, 4, 4], "axis_codes": "SPL", "patient_id": f"{MARK} {DATE}"}
    (pictures / "stack.json").write_text(json.dumps(sidecar))
    shutil.copytree(pictures, source / "wrong")
    sidecar = {**sidecar, "axis_codes": MARK, "scan_id": f"{MARK}/{DATE}", "origin_ras_mm": MARK}
    (source / "wrong" / "stack.json").write_text(json.dumps(sidecar))


def _png_text():
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("Comment", MARK)
    return text


def test_no_text_of_other_formats_is_told(tiny, grid: Path, tmp_path: Path) -> None:
    """Text fields, extensions, other arrays, a sidecar's patient and text of pictures stay out."""
    source, out = tmp_path / "source", tmp_path / "out"
    _write_files(tiny, source)

    told = _ingest_and_compress(source, out, grid, "--workers", 1)
    shutil.copytree(source / "pictures", tmp_path / "stacks" / "one")
    options = ("--grid", grid, "--native-jpeg", 90, "--workers", 1, "--json", "-vv")
    told += _run("ingest", tmp_path / "stacks", out / "native.zarr", *options)
    told += _run("inspect", source, "--grid", grid, "--json")

    # The pictures and what is wrong with their sidecars; the others are HU.
    assert told.count('"stored"') >= 9
    assert told.count('"refused"') >= 3
    _check(out, told)


def test_no_cell_of_a_metadata_table_is_told(tiny, grid: Path, tmp_path: Path) -> None:
    """Of a table, nothing but numbers that can be what they are called, and known words."""
    names = ("valid_1_a_1.nii.gz", "valid_2_a_1.nii.gz")
    for seed, name in enumerate(names):
        tiny.nifti(tmp_path / "source" / name, seed)
    row = {
        **{"RescaleSlope": 1, "RescaleIntercept": 0, "XYSpacing": "[4, 4]", "ZSpacing": 4},
        **dict.fromkeys((*ACQUISITION, "PatientName", "PatientPosition", MARK), MARK),
        **dict.fromkeys(NUMBERS, DIGITS),
        **{"StudyDate": DATE, "status": f"{MARK} {DATE}"},
    }
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["VolumeName", *row])
        table.writeheader()
        table.writerows({"VolumeName": name, **row} for name in names)

    options = ("--metadata", tmp_path / "metadata.csv", "--workers", 1)
    told = _ingest_and_compress(tmp_path / "source", tmp_path / "out", grid, *options, "--tolerant")
    told += _run("ingest", tmp_path / "source", tmp_path / "out" / "strict.zarr",
                 "--grid", grid, *options, "--json")  # fmt: skip

    assert '"stored"' in told
    assert '"refused"' in told
    _check(tmp_path / "out", told)


@pytest.mark.slow
def test_no_verb_tells_header_text(tiny, grid: Path, tmp_path: Path) -> None:
    """What reads sources and stores tells no mark, nor writes one."""
    source, out = tmp_path / "source", tmp_path / "out"
    _synthetic(tiny, source)
    _write_files(tiny, source)

    told = _ingest_and_compress(source, out, grid, "--workers", 1)
    told += _look(source, out, grid)

    assert all((out / name).is_dir() for name in ("pictures", "nifti", "ome", "stats-hifi"))
    _check(out, told)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize("workers", [1, 2])
def test_no_header_text_of_real_scans_is_told(
    shared_data: Path, grid: Path, tmp_path: Path, workers: int
) -> None:
    """Copies of all real files with marks planted, whatever their verdict; workers' logs, too."""
    source, out = tmp_path / "source", tmp_path / "out"
    for folder in sorted((shared_data / "dicom").iterdir()):
        _plant_folder(folder, source / folder.name)

    told = _ingest_and_compress(source, out, grid, "--workers", workers, run=_run_alone)
    told += _run_alone("inspect", source, "--grid", grid, "-vv")

    assert told.count('"stored"') >= 10
    assert told.count('"refused"') >= 10
    _check(out, told)
