"""What becomes of every real DICOM case, beside readers that share no code with ours?

Verdicts stand beside those worked out by hand from the headers; volumes beside HU from SimpleITK,
geometry from the bare tags, and a conversion by dcm2niix, where that is installed.
Run: python benchmarks/dicom_cases.py [DATA] [--dcm2niix PROGRAM] [--out FILE]
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import SimpleITK

from ctprep.sources.dicom_header import read_headers
from ctprep.sources.dicom_pixels import decode_header
from ctprep.sources.discover import discover
from ctprep.sources.files import SourceFile
from ctprep.sources.read import read
from ctprep.sources.source import Found
from ctprep.store.errors import SourceError
from ctprep.volume import Volume

REPOSITORY = Path(__file__).parents[1]
CASES = REPOSITORY / "tests" / "ctprep" / "sources" / "dicom_cases.toml"
IMAGES = (
    *("08_mixed_planes_and_vendors", "09_single_slices_mixed_positions"),
    *("10_transfer_syntaxes_same_slice", "11_transfer_syntaxes_chest_slice"),
    "16_odd_headers/flipped_rows_private_un",
)
"""Folders whose images form no volume, and are compared one by one."""
PAD_HU = -1024
SAMPLES = 200
SAME_MM = 0.05
"""The mean of gaps that alternate by a micrometer is not the first of them."""
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Stored:
    """A volume that we take.

    Args:
        name: where it lies in the data.
        files: of its slices.
        volume: as read.
        remarks: warnings and mends.
    """

    name: str
    files: tuple[Path, ...]
    volume: Volume
    remarks: tuple[str, ...]


def judge(
    folder: Path, case: str, *, tolerant: bool
) -> tuple[Counter[str], list[str], list[Stored]]:
    """Discover and read a folder: counts by verdict, reasons, and what is stored."""
    counts: Counter[str] = Counter()
    reasons: dict[str, None] = {}
    stored = []
    for outcome in discover(folder, tolerant=tolerant):
        if isinstance(outcome, Found):
            try:
                scan = read(outcome, tolerant=tolerant)
            except SourceError as error:
                counts[error.verdict] += len(outcome.paths)
                reasons[f"{error.verdict}: {error.what}"] = None
                continue
            files = tuple(file.location for file in outcome.paths)
            name = case if outcome.name == "." else f"{case}/{outcome.name}"
            counts["stored"] += 1
            stored.append(Stored(name, files, scan.volume, (*scan.verdicts, *scan.mends)))
        elif outcome.verdict != "not-a-scan":
            counts[outcome.verdict] += outcome.files
            reasons[f"{outcome.verdict}: {outcome.what}"] = None
    return counts, list(reasons), stored


def read_by_simpleitk(files: Sequence[Path]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read slices with SimpleITK and the bare tags.

    Returns:
        HU and whether padding (slice, row, column); the affine, array index to RAS mm.
    """
    headers = [(pydicom.dcmread(file, stop_before_pixels=True), file) for file in files]
    right, down = np.reshape(np.array(headers[0][0].ImageOrientationPatient, float), (2, 3))
    normal = np.cross(right, down)
    headers.sort(key=lambda pair: float(np.dot(pair[0].ImagePositionPatient, normal)))
    slices = [image_hu(file) for _, file in headers]
    padding = [is_padding(hu, header) for hu, (header, _) in zip(slices, headers, strict=True)]
    places = np.array([header.ImagePositionPatient for header, _ in headers], float)
    row_mm, column_mm = map(float, headers[0][0].PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0] = (places[-1] - places[0]) / (len(places) - 1)
    affine[:3, 1], affine[:3, 2], affine[:3, 3] = down * row_mm, right * column_mm, places[0]
    return np.stack(slices), np.stack(padding), LPS_TO_RAS @ affine


def image_hu(file: Path) -> np.ndarray:
    """Read one image with SimpleITK, whose GDCM applies slope and intercept."""
    hu: np.ndarray = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(file))[0]
    return hu


def is_padding(hu: np.ndarray, header: pydicom.Dataset) -> np.ndarray:
    """Tell which pixels have the value that the header declares as padding."""
    value = header.get("PixelPaddingValue")
    if value is None:
        return np.zeros(hu.shape, bool)
    if header.PixelRepresentation == 1 and value > 32767:
        value -= 65536
    found: np.ndarray = hu == value * float(header.RescaleSlope) + float(header.RescaleIntercept)
    return found


def convert(program: str, folder: Path, scratch: Path) -> list[nibabel.Nifti1Image]:
    """Convert a folder with dcm2niix and load every volume it makes."""
    scratch.mkdir()
    options = ("-b", "n", "-z", "n", "-f", "%f_%s", "-o", str(scratch), str(folder))
    subprocess.run([program, *options], check=False, capture_output=True)
    images = [nibabel.Nifti1Image.from_filename(path) for path in sorted(scratch.glob("*.nii"))]
    return [image for image in images if len(image.shape) == 3]


def box_mm(shape: Sequence[int], affine: np.ndarray) -> np.ndarray:
    """Give the least and the greatest RAS coordinates of voxel centers."""
    corners = np.array([[*corner, 1] for corner in product(*((0, size - 1) for size in shape))])
    world = (affine @ corners.T)[:3]
    return np.stack([world.min(axis=1), world.max(axis=1)])


def beside_dcm2niix(
    volume: Volume, padding: np.ndarray, images: Sequence[nibabel.Nifti1Image]
) -> tuple[str, bool]:
    """Compare with the conversion of the same shape: bounding box, and HU at world positions."""
    ours = box_mm(volume.hu.shape, volume.affine_ras)
    rivals = [image for image in images if sorted(image.shape) == sorted(volume.hu.shape)]
    if not rivals:
        return "makes no such volume", False
    boxes = [float(np.abs(box_mm(image.shape, image.affine) - ours).max()) for image in rivals]
    best = int(np.argmin(boxes))
    image, apart_mm = rivals[best], boxes[best]
    zooms = image.header.get_zooms()  # type: ignore[no-untyped-call]
    spacing = sorted(zooms), sorted(volume.spacing_mm)
    spacing_mm = float(np.abs(np.subtract(*spacing)).max())
    places = np.argwhere(~padding)
    places = places[np.random.default_rng(0).choice(len(places), SAMPLES)]
    world = volume.affine_ras @ np.vstack([places.T, np.ones(SAMPLES)])
    theirs = np.rint(np.linalg.inv(image.affine) @ world)[:3].astype(int)
    differ = int((image.get_fdata()[tuple(theirs)] != volume.hu[tuple(places.T)]).sum())
    text = f"box {apart_mm:.3f} mm, spacing {spacing_mm:.4f} mm, HU of {differ} of {SAMPLES} places"
    return text, apart_mm < SAME_MM and spacing_mm < SAME_MM and not differ


def describe(stored: Stored, conversions: Sequence[nibabel.Nifti1Image] | None) -> tuple[str, bool]:
    """Tell a row of the table of volumes, and whether all readers agree."""
    volume = stored.volume
    hu, padding, affine = read_by_simpleitk(stored.files)
    apart = float(np.abs(volume.affine_ras - affine).max())
    differ = int(((volume.hu != hu) & ~padding).sum()) if hu.shape == volume.hu.shape else hu.size
    padded = bool((volume.hu[padding] == PAD_HU).all())
    niix, same = ("not asked", True) if conversions is None else ("", True)
    if conversions is not None:
        niix, same = beside_dcm2niix(volume, padding, conversions)
    agree = differ == 0 and padded and apart < SAME_MM and same
    first = ", ".join(f"{mm:.2f}" for mm in volume.affine_ras[:3, 3])
    cells = (
        stored.name,
        ", ".join(stored.remarks) or "-",
        " x ".join(map(str, volume.hu.shape)),
        ", ".join(f"{mm:.4g}" for mm in volume.spacing_mm),
        volume.axis_codes,
        first,
        f"{volume.hu.min()} to {volume.hu.max()}",
        f"{hu[~padding].min():g} to {hu[~padding].max():g}",
        f"{differ} of {int((~padding).sum()):,}",
        f"{int(padding.sum()):,}",
        f"{apart:.4f}",
        niix,
        "yes" if agree else "**no**",
    )
    return row(*cells), agree


def describe_image(path: Path, name: str) -> tuple[str, bool]:
    """Tell a row of the table of single images."""
    (header,) = read_headers(SourceFile(name, path))
    syntax = pydicom.filereader.read_file_meta_info(path).TransferSyntaxUID
    theirs = image_hu(path)
    try:
        stored = decode_header(header)
    except SourceError as error:
        span = f"{theirs.min():g} to {theirs.max():g}"
        return row(name, syntax.name, error.what, "-", span, "-", "**no**"), False
    hu = stored * header.slope + header.intercept
    differ = int((np.abs(hu - theirs) > 1e-6).sum())
    digest = sha256(stored.astype("<i4").tobytes()).hexdigest()[:12]
    spans = [f"{array.min():g} to {array.max():g}" for array in (hu, theirs)]
    agree = "**no**" if differ else "yes"
    return row(name, syntax.name, spans[0], digest, spans[1], str(differ), agree), not differ


def row(*cells: str) -> str:
    """Join the cells of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def head(*cells: str) -> list[str]:
    """Start a Markdown table."""
    return [row(*cells), row(*("---" for _ in cells))]


def told(counts: dict[str, int]) -> str:
    """Write counts by verdict."""
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items())) or "nothing"


def verdict_rows(
    data: Path, cases: Sequence[dict[str, Any]], found: dict[str, list[Stored]]
) -> Iterator[tuple[str, bool]]:
    """Judge every case, strictly and tolerantly; what is stored is put into `found`."""
    for case in cases:
        folder = data / case["folder"]
        strict, reasons, found[case["folder"]] = judge(folder, case["folder"], tolerant=False)
        tolerant, more, _ = judge(folder, case["folder"], tolerant=True)
        expected = (case["strict"], case.get("tolerant", case["strict"]))
        agree = (dict(strict), dict(tolerant)) == expected
        reasons += [reason for reason in more if reason not in reasons]
        cells = (told(strict), "same" if tolerant == strict else told(tolerant))
        verdict = "yes" if agree else "**no**"
        text = "; ".join(reasons) or "-"
        yield row(case["folder"], *cells, text, case["headers"], verdict), agree


def report(data: Path, program: str | None) -> tuple[list[str], bool]:
    """Write the whole page; tell whether every row agrees."""
    cases = tomllib.loads(CASES.read_text())["case"]
    found: dict[str, list[Stored]] = {}
    verdicts = list(verdict_rows(data, cases, found))
    volumes = []
    with tempfile.TemporaryDirectory() as scratch:
        for number, case in enumerate(case for case, stored in found.items() if stored):
            place = Path(scratch) / str(number)
            conversions = convert(program, data / case, place) if program else None
            volumes += [describe(stored, conversions) for stored in found[case]]
    images = [
        describe_image(path, path.relative_to(data).as_posix())
        for folder in IMAGES
        for path in sorted((data / folder).rglob("*"))
        if path.is_file() and path.suffix != ".md"
    ]
    tables = (verdicts, volumes, images)
    lines = page([[line for line, _ in table] for table in tables], program)
    return lines, all(agree for table in tables for _, agree in table)


def page(tables: Sequence[Sequence[str]], program: str | None) -> list[str]:
    """Put the three tables under their headings."""
    verdicts, volumes, images = tables
    names = ("pydicom", "python-gdcm", "SimpleITK", "nibabel", "numpy")
    tools = ", ".join(f"{name} {version(name)}" for name in names)
    niix = "dcm2niix not installed"
    if program:
        asked = subprocess.run([program, "--version"], check=False, capture_output=True, text=True)
        niix = f"dcm2niix {asked.stdout.split()[-1]}"
    return [
        *INTRODUCTION,
        "## Verdicts\n",
        *head("folder", "ours", "`--tolerant`", "reasons", "by hand", "agree"),
        *verdicts,
        "\n## Stored volumes\n",
        *VOLUMES,
        *head(
            *("volume", "remarks", "shape", "spacing mm", "axes", "first voxel RAS mm", "HU, ours"),
            *("HU, SimpleITK", "HU that differ", "padding", "affine apart mm"),
            *("dcm2niix is apart by", "agree"),
        ),
        *volumes,
        "\n## Single images\n",
        *PICTURES,
        *head("file", "encoding", "HU, ours", "hash", "HU, SimpleITK", "differ", "agree"),
        *images,
        f"\n{datetime.now(UTC).date()}; Python {sys.version.split()[0]}, {tools}, {niix}.",
    ]


INTRODUCTION = (
    "# Every real DICOM case, beside other readers\n",
    "Written by `benchmarks/dicom_cases.py`; the cases are the folders of the shared real data, "
    "which are not part of this repository.\n",
)
VOLUMES = (
    "Ours is the volume before it is brought onto a grid, as (slice, row, column). "
    "SimpleITK (GDCM) reads every slice by itself, the affine is worked out from the bare tags; "
    "`dcm2niix` converts the folder, and nibabel reads that: its axes are others, so shape, "
    f"bounding box and {SAMPLES} places are compared in RAS mm. "
    f"Declared padding reads {PAD_HU} HU in ours by design, so it is left out of both comparisons; "
    "the column counts its voxels.\n",
)
PICTURES = (
    "Images that form no volume, one by one: stored values by ours, with slope and intercept, "
    "beside HU from SimpleITK. Padding is not replaced here. Equal hashes are equal pixels.\n",
)


def main() -> None:
    """Write the page; exit with 1 where a row does not agree."""
    default = os.environ.get("CTLITE_TEST_DATA", REPOSITORY.parent / "shared" / "data")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, default=Path(default))
    parser.add_argument("--dcm2niix", default=shutil.which("dcm2niix"))
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs" / "dicom_cases.md")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)  # type: ignore[no-untyped-call]
    lines, agree = report(options.data / "dicom", options.dcm2niix)
    options.out.write_text("\n".join(lines) + "\n")
    sys.exit(0 if agree else 1)


if __name__ == "__main__":
    main()
