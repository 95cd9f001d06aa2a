"""A whole synthetic corpus: scans in three formats, and the tables that go with them."""

import csv
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np

from ctprep.interrupts import interrupts_held
from ctprep.phantom.dicom import write_series
from ctprep.phantom.nifti import write_nifti
from ctprep.phantom.npz import NPZ_SPACING_MM, write_npz
from ctprep.phantom.orient import orient
from ctprep.phantom.patient import Patient, draw_patient
from ctprep.phantom.render import Kernel, render_hu
from ctprep.phantom.report import write_report
from ctprep.store.disk import writing
from ctprep.store.labels import CT_LITE_LABELS
from ctprep.store.tables import LabelTable, ScanRow, write_labels, write_scans

Size = Literal["demo", "full"]
Triple = tuple[float, float, float]

DEFAULT_PATIENTS = 1000
TWO_SCANS_SHARE = 0.15
"""Share of patients with a soft and a sharp reconstruction."""

DICOM_SHARE = 0.06
"""A series is many small files, which are slow to write and to read back."""

NPZ_EVERY = 150
"""NPZ scans are large at their fixed 0.8 mm, so only a scan in so many is one."""

NIFTI_AXES = ("RAS", "LPS", "LAS")


@dataclass(frozen=True)
class PhantomScan:
    """One scan of the corpus, before it is rendered.

    Args:
        row: its row in the scan table.
        path: as in the row, relative to the folder `scans`.
        index: number of the patient.
        kernel: reconstruction kernel.
        number: 0 for the first scan of a patient, 1 for the second.
    """

    row: ScanRow
    path: str
    index: int
    kernel: Kernel
    number: int


def plan_corpus(patients: int, seed: int) -> list[PhantomScan]:
    """Lay out the scans of a corpus without rendering any.

    Args:
        patients: how many.
        seed: same seed, same plan.
    """
    splits = _draw_splits(patients, seed)
    planned: list[PhantomScan] = []
    for index in range(patients):
        rng = np.random.default_rng([seed, index, 5])
        kernels: tuple[Kernel, ...] = ("soft", "sharp")
        if rng.random() >= TWO_SCANS_SHARE:
            kernels = (kernels[int(rng.random() < 0.3)],)
        for number, kernel in enumerate(kernels):
            scan_id = f"phantom_{index:04d}_{number + 1}"
            form, path = _choose_format(scan_id, len(planned), rng)
            row = ScanRow(
                scan_id=scan_id,
                patient_id=f"phantom_{index:04d}",
                split=splits[index],
                path=path,
                format=form,
            )
            planned.append(PhantomScan(row, path, index, kernel, number))
    return planned


def _choose_format(scan_id: str, place: int, rng: np.random.Generator) -> tuple[str, str]:
    share = rng.random()
    # Both near the start, so that small corpora have one of each as well.
    if place % NPZ_EVERY == 2:
        return "npz", f"npz/{scan_id}.npz"
    if share < DICOM_SHARE or place == 1:
        return "dicom", f"dicom/{scan_id}"
    return "nifti", f"nifti/{scan_id}.nii.gz"


def _draw_splits(patients: int, seed: int) -> list[Literal["train", "tune", "test"]]:
    order = np.random.default_rng([seed, 6]).permutation(patients)
    tune = max(1, round(0.1 * patients))
    test = max(1, round(0.15 * patients))
    splits: list[Literal["train", "tune", "test"]] = ["train"] * patients
    for place, index in enumerate(order):
        if place < tune + test:
            splits[int(index)] = "tune" if place < tune else "test"
    return splits


def write_corpus(
    out: Path,
    *,
    patients: int = DEFAULT_PATIENTS,
    seed: int = 0,
    size: Size = "demo",
    workers: int = 1,
) -> Iterator[str]:
    """Write a corpus: `scans/`, `scans.csv`, `reports.csv` and `labels.csv`.

    Args:
        out: folder to write; files of an equal corpus are replaced by equal ones.
        patients: how many; some have two scans.
        seed: same seed, same bytes, whatever `workers` is.
        size: `demo` for voxels near 5 x 2.8 x 2.8 mm, `full` for 512 x 512 pictures.
        workers: processes; 1 stays in this one.

    Yields:
        The id of each scan, once it is on disk, in the order of the scan table.

    Raises:
        PlaceError: the folder cannot be made.
    """
    plan = plan_corpus(patients, seed)
    with writing(out.name):
        for folder in ("dicom", "nifti", "npz"):
            (out / "scans" / folder).mkdir(parents=True, exist_ok=True)
    _write_tables(out, plan, seed)
    write = partial(write_scan, out / "scans", seed=seed, size=size)
    if workers == 1:
        yield from map(write, plan)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        with interrupts_held():
            written = pool.map(write, plan)
        yield from written


def write_scan(scans: Path, scan: PhantomScan, *, seed: int, size: Size) -> str:
    """Render one scan and write it in its format.

    Args:
        scans: folder its path is relative to.
        scan: which.
        seed: of the corpus.
        size: of the voxels.

    Returns:
        Its scan id.
    """
    patient = draw_patient(seed, scan.index)
    spacing, shape = choose_grid(patient, size)
    path = scans / scan.path
    if scan.row.format == "npz":
        hu = _render_fine(patient, scan)
        write_npz(path, hu[::-1])
        return scan.row.scan_id
    hu = render_hu(patient, spacing, shape, kernel=scan.kernel, scan=scan.number)
    if scan.row.format == "nifti":
        axes = NIFTI_AXES[scan.index % len(NIFTI_AXES)]
        write_nifti(path, *orient(hu, spacing, axes))
    else:
        write_series(
            path,
            hu,
            spacing,
            patient_id=scan.row.patient_id,
            study=f"{seed}/{scan.row.patient_id}",
            scan_id=f"{seed}/{scan.row.scan_id}",
            kernel=scan.kernel,
            feet_first=scan.index % 2 == 1,
        )
    return scan.row.scan_id


def choose_grid(patient: Patient, size: Size) -> tuple[Triple, tuple[int, int, int]]:
    """Choose spacing in mm and shape of a patient's scans, in the order slice, row, column."""
    rng = patient.rng(7)
    if size == "full":
        pixel = float(rng.choice([0.68, 0.70, 0.72, 0.74]))
        return (1.25, pixel, pixel), (int(rng.integers(232, 248)), 512, 512)
    pixel = float(rng.choice([2.6, 2.7, 2.8, 2.9]))
    thickness = float(rng.choice([4.5, 5.0, 5.5]))
    return (thickness, pixel, pixel), (round(300 / thickness), 128, 128)


def _render_fine(patient: Patient, scan: PhantomScan) -> np.ndarray:
    """Render at 4 x 2.4 x 2.4 mm and repeat the voxels, which is quick, to 0.8 mm."""
    coarse = (5 * NPZ_SPACING_MM, 3 * NPZ_SPACING_MM, 3 * NPZ_SPACING_MM)
    hu = render_hu(patient, coarse, (70, 112, 142), kernel=scan.kernel, scan=scan.number)
    return hu.repeat(5, 0).repeat(3, 1).repeat(3, 2)


def _write_tables(out: Path, plan: list[PhantomScan], seed: int) -> None:
    write_scans(out / "scans.csv", [scan.row for scan in plan])
    values = np.zeros((len(plan), len(CT_LITE_LABELS)))
    reports = []
    for number, scan in enumerate(plan):
        patient = draw_patient(seed, scan.index)
        for finding in patient.findings:
            values[number, CT_LITE_LABELS.index(finding.label)] = 1
        reports.append((scan.row.scan_id, *write_report(patient)))
    ids = tuple(scan.row.scan_id for scan in plan)
    write_labels(out / "labels.csv", LabelTable(ids, CT_LITE_LABELS, values))
    with (out / "reports.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("scan_id", "findings", "impression"))
        writer.writerows(reports)
