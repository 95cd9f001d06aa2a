"""Findings that change how dense the lung is: patches, holes, mosaics, fluid."""

import numpy as np
from jaxtyping import Float32

from ctprep.phantom.canvas import Box, Canvas, Point, ball, blend, tube
from ctprep.phantom.chest import Chest
from ctprep.phantom.fields import cell_count, cell_field, smooth_field
from ctprep.phantom.findings import Finding, Side
from ctprep.phantom.patient import Patient

MOSAIC_MM = 26.0
"""Size of the patches of a mosaic; true lobules are smaller than a coarse voxel can show."""


def lobe_place(
    chest: Chest, side: Side, lobe: str, rng: np.random.Generator, spread: float = 1.0
) -> Point:
    """Draw a place inside a lobe.

    Args:
        chest: whose measures count.
        side: right or left.
        lobe: upper, middle or lower.
        rng: draws the place.
        spread: distance from the middle of the lobe; 1 leaves room for a large patch.
    """
    body = chest.anatomy
    sign = -1 if side == "right" else 1
    span = body.lung_top - body.lung_base
    share, back = {"upper": (0.72, 0.0), "middle": (0.45, -0.5), "lower": (0.42, 0.5)}[lobe]
    up = body.lung_base + span * (share + rng.uniform(-0.07, 0.07) * spread)
    # The chest narrows towards the apex, and the heart fills the left front.
    wide = 0.56 if lobe == "upper" else 0.66
    return (
        sign * body.cavity_left * float(wide + spread * rng.uniform(-0.1, 0.1)),
        body.cavity_back * float(back + spread * rng.uniform(-0.2, 0.2)),
        float(up),
    )


def side_box(canvas: Canvas, chest: Chest, side: Side) -> Box:
    """Give the part of the canvas that holds one lung."""
    slices, rows, columns = chest.box
    middle = int(np.clip(np.searchsorted(canvas.left_mm, 3.0), columns.start, columns.stop))
    half = slice(columns.start, middle) if side == "right" else slice(middle, columns.stop)
    return slices, rows, half


def _patch(
    canvas: Canvas, center: Point, size_mm: float, rng: np.random.Generator, rough: float
) -> tuple[Box, Float32[np.ndarray, "slice row column"]] | None:
    """Give the coverage of a blob with a ragged edge."""
    stretch = rng.uniform(0.8, 1.2, 3) * size_mm
    reach = stretch * 1.5
    box = canvas.box(
        (center[0] - reach[0], center[1] - reach[1], center[2] - reach[2]),
        (center[0] + reach[0], center[1] + reach[1], center[2] + reach[2]),
    )
    if box is None:
        return None
    square = sum(
        ((axis - np.float32(c)) / np.float32(r)) ** 2
        for axis, c, r in zip(canvas.axes(box), center, stretch, strict=True)
    )
    ragged = smooth_field(canvas, box, rng, 14.0) * np.float32(rough)
    edge = (np.float32(1) - np.sqrt(square) + ragged) * np.float32(size_mm / 5)
    return box, np.clip(edge, 0, 1).astype(np.float32)


def paint_opacity(canvas: Canvas, finding: Finding, chest: Chest, patient: Patient) -> None:
    """Paint ground glass: hazy patches through which vessels are still seen."""
    rng = np.random.default_rng(finding.seed)
    for side, lobe in finding.lobes:
        center = lobe_place(chest, side, lobe, rng)
        own = np.random.default_rng(int(rng.integers(2**31)))
        hu = own.uniform(-500, -400)
        patch = _patch(canvas, center, finding.amount, own, 0.22)
        if patch is not None:
            box, alpha = patch
            lighter = np.maximum(canvas.hu[box], np.float32(hu))
            blend(canvas, box, alpha, lighter, chest.lung)


def paint_consolidation(canvas: Canvas, finding: Finding, chest: Chest, patient: Patient) -> None:
    """Paint dense patches in which the bronchi stay full of air."""
    rng = np.random.default_rng(finding.seed)
    for side, lobe in finding.lobes:
        center = lobe_place(chest, side, lobe, rng)
        own, airways = (np.random.default_rng(int(rng.integers(2**31))) for _ in range(2))
        hu = float(rng.uniform(25, 55))
        patch = _patch(canvas, center, finding.amount, own, 0.25)
        if patch is not None:
            box, alpha = patch
            blend(canvas, box, alpha, hu, chest.touched)
        for _ in range(5):
            aim = airways.normal(0, 1, 3)
            aim *= finding.amount * 0.75 / np.linalg.norm(aim)
            start = _shift(center, aim, -0.7)
            tube(canvas, start, _shift(center, aim, 1.0), 2.2, -900.0, mask=chest.lung)


def _shift(point: Point, aim: np.ndarray, share: float) -> Point:
    return (
        point[0] + share * float(aim[0]),
        point[1] + share * float(aim[1]),
        point[2] + share * float(aim[2]),
    )


def paint_mosaic(canvas: Canvas, finding: Finding, chest: Chest, patient: Patient) -> None:
    """Paint lobules of two densities with sharp borders, all over both lungs."""
    rng = np.random.default_rng(finding.seed)
    _, cell = cell_field(canvas, chest.box, rng, MOSAIC_MM)
    count = cell_count(MOSAIC_MM) ** 3
    level = np.random.default_rng(finding.seed + 1).random(count) < 0.6
    steps = np.where(level, finding.amount, -0.1 * finding.amount).astype(np.float32)
    region = canvas.hu[chest.box]
    region += steps[cell] * chest.lung[chest.box]


def paint_emphysema(canvas: Canvas, finding: Finding, chest: Chest, patient: Patient) -> None:
    """Paint holes without walls, most and largest in the upper parts of both lungs."""
    rng = np.random.default_rng(finding.seed)
    body = chest.anatomy
    high = np.clip((canvas.up_mm[chest.box[0]] + 60) / 60, 0, 1)[:, None, None]
    region = canvas.hu[chest.box]
    region -= chest.lung[chest.box] * np.float32(8 * finding.amount) * high
    count = {"mild": 40, "moderate": 80, "severe": 110}[finding.severity]
    for _ in range(count):
        sign = -1 if rng.random() < 0.5 else 1
        center = (
            sign * body.cavity_left * float(rng.uniform(0.25, 0.9)),
            body.cavity_back * float(rng.uniform(-0.8, 0.8)),
            body.lung_top - 130 * float(rng.random() ** 1.3) - 8,
        )
        radius = finding.amount * float(rng.uniform(0.5, 1.15))
        ball(canvas, center, (radius, radius, radius), -995.0, mask=chest.lung, edge_mm=2.0)


def paint_effusion(canvas: Canvas, finding: Finding, chest: Chest, patient: Patient) -> None:
    """Paint water that lies along the back and in the recess, thinner towards the apex."""
    rng = np.random.default_rng(finding.seed)
    body = chest.anatomy
    for side in finding.sides:
        thick = finding.amount * float(rng.uniform(0.85, 1.15))
        reach = body.lung_base + 90 + 2.2 * thick
        box = side_box(canvas, chest, side)
        _, back, up = canvas.axes(box)
        height = np.clip((reach - up) / (reach - body.lung_base), 0, 1) ** np.float32(0.6)
        behind = np.clip((back + 10) / (0.7 * body.cavity_back), 0, 1)
        sheet = np.float32(thick) * height * behind
        # A flat level would be wrong: water climbs along the wall as a crescent.
        level = back - np.float32(body.cavity_back) + np.float32(1.5) * sheet
        depth = np.maximum(sheet - chest.wall_mm[box], level - 6)
        alpha = np.clip(depth / np.float32(canvas.pitch_mm) + 0.5, 0, 1) * (height > 0)
        alpha = alpha * (behind > 0)
        blend(canvas, box, alpha.astype(np.float32), float(rng.uniform(6, 18)), chest.touched)
