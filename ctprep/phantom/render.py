"""A patient to a CT volume on any axis-aligned grid."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Int16

from ctprep.phantom import density, structure
from ctprep.phantom.canvas import Canvas
from ctprep.phantom.chest import AIR, Chest, paint_chest, paint_table
from ctprep.phantom.fields import scanner_noise
from ctprep.phantom.findings import Finding
from ctprep.phantom.orient import orient
from ctprep.phantom.patient import Patient
from ctprep.phantom.trees import paint_trees
from ctprep.volume import Volume

Kernel = Literal["soft", "sharp"]
Triple = tuple[float, float, float]

NOISE_HU = {"soft": 12.0, "sharp": 32.0}
"""Standard deviation at voxels of 0.7 mm; thicker slices have less."""

SLAB_VOXELS = 2_000_000
"""Large volumes are painted a few slices at a time, to bound memory."""

Painter = Callable[[Canvas, Finding, Chest, Patient], None]

BEFORE_VESSELS: dict[str, Painter] = {
    "Mosaic attenuation pattern": density.paint_mosaic,
    "Emphysema": density.paint_emphysema,
    "Interlobular septal thickening": structure.paint_septa,
    "Lung opacity": density.paint_opacity,
}
AFTER_VESSELS: dict[str, Painter] = {
    "Peribronchial thickening": structure.paint_peribronchial,
    "Bronchiectasis": structure.paint_bronchiectasis,
    "Pulmonary fibrotic sequela": structure.paint_fibrosis,
    "Consolidation": density.paint_consolidation,
    "Lung nodule": structure.paint_nodules,
    "Atelectasis": structure.paint_atelectasis,
    "Pleural effusion": density.paint_effusion,
}


def render_hu(
    patient: Patient,
    spacing_mm: Triple,
    shape: tuple[int, int, int],
    *,
    kernel: Kernel = "soft",
    scan: int = 0,
) -> Int16[np.ndarray, "slice row column"]:
    """Scan a patient; slices run up, rows to the back, columns to the left.

    Args:
        patient: who.
        spacing_mm: between slices, rows and columns.
        shape: number of slices, rows and columns; the chest is in the middle.
        kernel: `soft` is smooth, `sharp` is noisy.
        scan: number of the reconstruction; another number gives other noise.

    Returns:
        HU, at least -1024.
    """
    hu = np.empty(shape, np.int16)
    thickness = max(1, SLAB_VOXELS // (shape[1] * shape[2]))
    up, back, left = (
        ((np.arange(count) - (count - 1) / 2) * spacing - shift).astype(np.float32)
        for count, spacing, shift in zip(
            shape, spacing_mm, patient.anatomy.offset[::-1], strict=True
        )
    )
    noise = patient.rng(3, scan, ("soft", "sharp").index(kernel))
    sigma = NOISE_HU[kernel] * (0.7 / min(spacing_mm[1:])) ** 0.5
    for first in range(0, shape[0], thickness):
        part = up[first : first + thickness]
        picture = np.full((len(part), len(back), len(left)), AIR, np.float32)
        canvas = Canvas(part, back, left, picture, float(min(spacing_mm[1:])))
        paint_patient(canvas, patient)
        picture += scanner_noise(noise, picture.shape, sigma, kernel)
        np.clip(np.rint(picture, out=picture), -1024, 3071, out=picture)
        hu[first : first + thickness] = picture
    return hu


def render(
    patient: Patient,
    spacing_mm: Triple,
    shape: tuple[int, int, int],
    *,
    kernel: Kernel = "soft",
    scan: int = 0,
) -> Volume:
    """Scan a patient to a volume in SPL orientation, world zero in its middle.

    Args:
        patient: who.
        spacing_mm: between slices, rows and columns.
        shape: number of slices, rows and columns.
        kernel: `soft` is smooth, `sharp` is noisy.
        scan: number of the reconstruction; another number gives other noise.
    """
    hu = render_hu(patient, spacing_mm, shape, kernel=kernel, scan=scan)
    return Volume(*orient(hu, spacing_mm, "SPL"))


def paint_patient(canvas: Canvas, patient: Patient) -> Chest:
    """Paint anatomy and findings, without noise."""
    chest = paint_chest(canvas, patient)
    paint_table(canvas, patient.anatomy)
    for painters in (BEFORE_VESSELS, AFTER_VESSELS):
        for label, paint in painters.items():
            finding = patient.finding(label)
            if finding is not None:
                paint(canvas, finding, chest, patient)
        if painters is BEFORE_VESSELS:
            paint_trees(canvas, patient, chest)
    return chest
