"""Findings with a shape of their own: nodules, bands, walls, dilated airways, septa."""

import numpy as np

from ctprep.phantom.canvas import Canvas, Point, ball, blend, tube
from ctprep.phantom.chest import AIR, HILUM, Chest
from ctprep.phantom.density import lobe_place, side_box
from ctprep.phantom.fields import cell_field, smooth_field
from ctprep.phantom.findings import Finding
from ctprep.phantom.patient import Patient
from ctprep.phantom.trees import beside_artery, grow_tree

WALL_MM = 4.5
"""Wall of a dilated bronchus; thinner ones are lost in a coarse voxel."""


def paint_nodules(canvas: Canvas, finding: Finding, chest: Chest, patient: Patient) -> None:
    """Paint solid, partly calcified balls."""
    rng = np.random.default_rng(finding.seed)
    for number, (side, lobe) in enumerate(finding.lobes):
        center = lobe_place(chest, side, lobe, rng, spread=1.8)
        # The first is the largest, whose size the report gives.
        radius = finding.amount / 2 * (1.0 if number == 0 else float(rng.uniform(0.75, 0.95)))
        ball(
            canvas, center, (radius, radius, radius), float(rng.uniform(180, 350)), mask=chest.lung
        )


def paint_atelectasis(canvas: Canvas, finding: Finding, chest: Chest, patient: Patient) -> None:
    """Paint plates of airless lung above a diaphragm that has come up."""
    rng = np.random.default_rng(finding.seed)
    for side in finding.sides:
        box = side_box(canvas, chest, side)
        _, back, _ = canvas.axes(box)
        above = chest.above_mm[box]
        thick = finding.amount * 0.5
        slope = np.float32(rng.uniform(-0.2, 0.1))
        wave = smooth_field(canvas, box, np.random.default_rng(finding.seed + 1), 60.0) * 3
        sheet = above - 0.5 * thick - 3 + slope * back + wave
        alpha = np.clip((thick / 2 - np.abs(sheet)) / canvas.pitch_mm + 0.5, 0, 1)
        middle = float(rng.uniform(12, 30)) + thick
        upper = above - middle + np.float32(0.25) * back + wave
        band = np.clip((5 - np.abs(upper)) / canvas.pitch_mm + 0.5, 0, 1)
        alpha = np.maximum(alpha, band * (back > -30))
        blend(canvas, box, alpha.astype(np.float32), 42.0, chest.touched)


def paint_fibrosis(canvas: Canvas, finding: Finding, chest: Chest, patient: Patient) -> None:
    """Paint a cap on the apex, and bands that run from it towards the hilum."""
    rng = np.random.default_rng(finding.seed)
    body = chest.anatomy
    for side in finding.sides:
        sign = -1 if side == "right" else 1
        box = side_box(canvas, chest, side)
        wave = smooth_field(canvas, box, np.random.default_rng(finding.seed + 1), 16.0)
        _, _, up = canvas.axes(box)
        depth = (up - np.float32(body.lung_top - 18 - finding.amount)) + wave * 5
        apex = np.clip(depth / 4, 0, 1)
        blend(canvas, box, apex.astype(np.float32), -40.0, chest.touched)
        hilum = HILUM[side]
        for _ in range(9):
            start: Point = (
                sign * body.cavity_left * float(rng.uniform(0.3, 0.62)),
                body.cavity_back * float(rng.uniform(-0.45, 0.55)),
                body.lung_top - finding.amount - float(rng.uniform(15, 25)),
            )
            share = float(rng.uniform(0.5, 0.9))
            kink = (
                start[0] + share * (hilum[0] * 1.4 - start[0]) + float(rng.normal(0, 8)),
                start[1] + share * (hilum[1] - start[1]) + float(rng.normal(0, 8)),
                start[2] + share * (hilum[2] + 10 - start[2]),
            )
            tube(canvas, start, kink, 1.5 + finding.amount / 12, 10.0, mask=chest.lung)


def paint_peribronchial(canvas: Canvas, finding: Finding, chest: Chest, patient: Patient) -> None:
    """Paint thick walls around the bronchi from the hilum outwards."""
    for side in finding.sides:
        tree = grow_tree(patient, side, 4)
        lines = [
            (beside_artery(start), beside_artery(end), float(radius), 1 - 0.15 * float(level))
            for start, end, radius, level in zip(
                tree.starts, tree.ends, tree.radii_mm, tree.levels, strict=True
            )
        ]
        for start, end, radius, thinner in lines:
            outer = radius * 0.8 + finding.amount * thinner
            tube(canvas, start, end, outer, 35.0, mask=chest.lung)
        for start, end, radius, _ in lines:
            tube(canvas, start, end, radius * 0.75, AIR, mask=chest.lung)


def paint_bronchiectasis(canvas: Canvas, finding: Finding, chest: Chest, patient: Patient) -> None:
    """Paint bunches of wide, air-filled tubes with walls."""
    rng = np.random.default_rng(finding.seed)
    for side, lobe in finding.lobes:
        center = lobe_place(chest, side, lobe, rng)
        hilum = np.asarray(HILUM[side])
        aim = np.asarray(center) - hilum
        lines = []
        for _ in range(16):
            start = hilum + aim * rng.uniform(0.5, 0.8) + rng.normal(0, 18, 3)
            end = hilum + aim * rng.uniform(1.0, 1.4) + rng.normal(0, 24, 3)
            radius = finding.amount * float(rng.uniform(0.75, 1.15))
            lines.append((tuple(start.tolist()), tuple(end.tolist()), radius))
        for start, end, radius in lines:
            tube(canvas, start, end, radius + WALL_MM, 20.0, mask=chest.lung)
        for start, end, radius in lines:
            tube(canvas, start, end, radius, -985.0, mask=chest.lung)


def paint_septa(canvas: Canvas, finding: Finding, chest: Chest, patient: Patient) -> None:
    """Paint the walls between lobules as thin dense sheets."""
    rng = np.random.default_rng(finding.seed)
    for side in finding.sides:
        box = side_box(canvas, chest, side)
        wall, _ = cell_field(canvas, box, np.random.default_rng(finding.seed), 25.0)
        half = max(finding.amount / 2, canvas.pitch_mm / 2)
        alpha = np.clip((half - wall) / canvas.pitch_mm + 0.5, 0, 1)
        alpha *= np.float32(min(1.0, finding.amount / 2 / half))
        blend(canvas, box, alpha, float(rng.uniform(-60, 0)), chest.lung)
