"""The normal chest: walls, bones, lungs, heart, great vessels and what lies below."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from ctprep.phantom.canvas import Box, Canvas, ball, blend, soft, tube
from ctprep.phantom.patient import Anatomy, Patient

AIR = -1000.0
FAT = -100.0
MUSCLE = 52.0
BLOOD = 42.0
LIVER = 62.0
BONE = 480.0
FAR_DOWN, FAR_UP = -300.0, 300.0
"""Ends, in mm, of what goes on beyond the chest; the same for every canvas."""

HILUM = {"right": (-36.0, 8.0, 20.0), "left": (42.0, 10.0, 24.0)}
"""Where bronchi and vessels enter the lungs."""


@dataclass(frozen=True)
class Chest:
    """What findings need to know of the chest they are painted in.

    Args:
        anatomy: the measures it was painted with.
        lung: coverage by lung, 0 to 1.
        touched: 1 wherever there is any lung, for tissue as dense as the wall beside it: with
            `lung` as mask a dark seam would be left between the two.
        box: the part of the canvas that holds the lungs; empty slices where there are none.
        wall_mm: depth of each place below the chest wall in mm, measured in the plane.
        above_mm: height above the diaphragm in mm.
    """

    anatomy: Anatomy
    lung: Float32[np.ndarray, "slice row column"]
    touched: Float32[np.ndarray, "slice row column"]
    box: Box
    wall_mm: Float32[np.ndarray, "slice row column"]
    above_mm: Float32[np.ndarray, "slice row column"]


def paint_chest(canvas: Canvas, patient: Patient) -> Chest:
    """Paint a body without lesions.

    Args:
        canvas: filled with air before.
        patient: whose body; its findings count only where they change the anatomy.
    """
    body = patient.anatomy
    left = canvas.left_mm[None, :]
    back = canvas.back_mm[:, None]
    up = canvas.up_mm[:, None, None]
    trunk = _ellipse(left, back, body.body_left, body.body_back, 2.4)
    cavity = _ellipse(left, back, body.cavity_left, body.cavity_back, 2.3)
    _paint_wall(canvas, body, trunk, cavity)
    high = np.clip((up + 30) / (body.lung_top + 30), 0, 1)
    scale = np.sqrt(np.clip(1 - high**2.4, 0, 1)).astype(np.float32)
    wall_mm = (scale - cavity[None]) * np.float32(body.cavity_back)
    above_mm = up - _diaphragm(left, back, body)[None]
    hollow = canvas.box(
        (-body.cavity_left - canvas.pitch_mm, -body.cavity_back - canvas.pitch_mm, FAR_DOWN),
        (body.cavity_left + canvas.pitch_mm, body.cavity_back + canvas.pitch_mm, FAR_UP),
    )
    lung = np.zeros_like(wall_mm)
    if hollow is not None:
        # Nothing of this lies outside the ribs, and most of the picture does.
        inside = soft(-wall_mm[hollow], canvas.pitch_mm)
        _paint_mediastinum_fill(canvas, hollow, inside, above_mm[hollow])
        lung[hollow] = _lung(canvas, hollow, body, wall_mm[hollow], above_mm[hollow])
        dependent = np.float32(body.lung_hu) + canvas.axes(hollow)[1] * np.float32(0.35)
        blend(canvas, hollow, lung[hollow], np.broadcast_to(dependent, lung[hollow].shape))
    _paint_heart(canvas, body)
    _paint_vessels_and_trachea(canvas, body)
    _paint_bones(canvas, body)
    touched = np.minimum(lung * np.float32(16), np.float32(1))
    return Chest(body, lung, touched, _lung_box(canvas, body), wall_mm, above_mm)


def _lung_box(canvas: Canvas, body: Anatomy) -> Box:
    corner = (body.cavity_left + 4, body.cavity_back + 4)
    low = (-corner[0], -corner[1], body.lung_base - 20)
    box = canvas.box(low, (*corner, body.lung_top + 4))
    return box or (slice(0, 0), slice(0, 0), slice(0, 0))


def _ellipse(
    left: Float32[np.ndarray, "1 column"],
    back: Float32[np.ndarray, "row 1"],
    half_left: float,
    half_back: float,
    power: float,
) -> Float32[np.ndarray, "row column"]:
    """Superellipse norm: 1 on the rim, less inside."""
    total = np.abs(left / np.float32(half_left)) ** np.float32(power) + np.abs(
        back / np.float32(half_back)
    ) ** np.float32(power)
    return (total ** np.float32(1 / power)).astype(np.float32)


def _paint_wall(
    canvas: Canvas,
    body: Anatomy,
    trunk: Float32[np.ndarray, "row column"],
    cavity: Float32[np.ndarray, "row column"],
) -> None:
    outer = ((trunk - 1) * body.body_back)[None].astype(np.float32)
    inner = ((cavity - 1) * body.cavity_back)[None].astype(np.float32)
    plane = np.full_like(outer, AIR)
    # From outside in; what is painted later lies deeper.
    for distance, hu in ((outer, 20.0), (outer + 2.5, FAT), (outer + body.fat, MUSCLE)):
        plane += soft(distance, canvas.pitch_mm) * (hu - plane)
    canvas.hu[:] = plane
    _paint_ribs(canvas, body, inner[0])


def _paint_ribs(canvas: Canvas, body: Anatomy, inner: Float32[np.ndarray, "row column"]) -> None:
    shell = soft((np.abs(inner - 6.5) - 4)[None], canvas.pitch_mm)[0]
    marrow = soft((np.abs(inner - 6.5) - 2)[None], canvas.pitch_mm)[0]
    # Ribs leave the sternum to cartilage, and the spine to itself.
    shell = shell * (np.abs(canvas.left_mm)[None, :] > 16)
    rows, columns = np.nonzero(shell > 0.02)
    slope = (canvas.back_mm * np.float32(body.tilt))[rows]
    phase = (canvas.up_mm[:, None] - slope[None]) / np.float32(25)
    gap = np.abs(phase - np.rint(phase)) * 25
    bone = np.clip((5.5 - gap) / 3 + 0.5, 0, 1).astype(np.float32)
    bone *= shell[rows, columns] * (canvas.up_mm < body.lung_top + 8)[:, None]
    target = np.where(
        canvas.back_mm[rows] < -0.75 * body.cavity_back,
        np.float32(110),
        BONE - 260 * marrow[rows, columns],
    ).astype(np.float32)
    seen = canvas.hu[:, rows, columns]
    canvas.hu[:, rows, columns] = seen + bone * (target[None] - seen)


def _diaphragm(
    left: Float32[np.ndarray, "1 column"], back: Float32[np.ndarray, "row 1"], body: Anatomy
) -> Float32[np.ndarray, "row column"]:
    """Height of the diaphragm at each place of the plane."""
    height = np.full((back.shape[0], left.shape[1]), -1e3, np.float32)
    for sign, dome in ((-1, body.dome_right), (1, body.dome_left)):
        middle = sign * 0.5 * body.cavity_left
        square = ((left - middle) / (0.62 * body.cavity_left)) ** 2
        square = square + ((back + 8) / (1.05 * body.cavity_back)) ** 2
        height = np.maximum(height, body.lung_base + dome * (1.25 - 1.25 * square))
    return height.astype(np.float32)


def _paint_mediastinum_fill(
    canvas: Canvas,
    hollow: Box,
    inside: Float32[np.ndarray, "slice row column"],
    above_mm: Float32[np.ndarray, "slice row column"],
) -> None:
    """Fat between the lungs; liver, spleen and gut below the diaphragm."""
    organ = np.where(canvas.axes(hollow)[0] < 18, np.float32(LIVER), np.float32(-85))
    # The diaphragm itself is a sheet of muscle.
    organ = np.where(above_mm > -5, np.float32(MUSCLE), organ)
    fill = np.where(above_mm > 0, np.float32(-70), organ).astype(np.float32)
    blend(canvas, hollow, inside, fill)
    if canvas.up_mm[0] < -40:
        mask = np.zeros_like(canvas.hu)
        mask[hollow] = inside * (above_mm < -3)
        ball(canvas, (82.0, 45.0, -112.0), (34.0, 42.0, 45.0), 52.0, mask=mask)
        ball(canvas, (55.0, -22.0, -105.0), (42.0, 34.0, 38.0), 30.0, mask=mask)
        ball(canvas, (55.0, -36.0, -104.0), (30.0, 14.0, 28.0), AIR, mask=mask)


def _lung(
    canvas: Canvas,
    hollow: Box,
    body: Anatomy,
    wall_mm: Float32[np.ndarray, "slice row column"],
    above_mm: Float32[np.ndarray, "slice row column"],
) -> Float32[np.ndarray, "slice row column"]:
    left, back, up = canvas.axes(hollow)
    half = 12 + 17 * np.exp(-(((back - 6) / 42) ** 2))
    beside = np.abs(left - 3) - half.astype(np.float32)
    heart = heart_shape(body)
    square = ((left - heart[0][0]) / (heart[1][0] + 4)) ** 2
    square = square + ((back - heart[0][1]) / (heart[1][1] + 4)) ** 2
    square = square + ((up - heart[0][2]) / (heart[1][2] + 4)) ** 2
    outside_heart = (np.sqrt(square.astype(np.float32)) - 1) * np.float32(heart[1][1])
    spine = np.sqrt((left / 21) ** 2 + ((back - body.cavity_back + 4) / 24) ** 2)
    outside_spine = ((spine - 1) * 21).astype(np.float32)
    depth = np.minimum(wall_mm, above_mm * np.float32(0.8))
    depth = np.minimum(depth, np.minimum(beside, outside_spine))
    depth = np.minimum(depth, outside_heart)
    return soft(-depth, canvas.pitch_mm)


def heart_shape(
    body: Anatomy,
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Give middle and half-axes of the heart in mm, left, back and up."""
    grown = body.heart
    middle = (
        16.0 + 10.0 * (grown - 1.0) + body.heart_shift,
        -24.0 + 4.0 * (grown - 1.0),
        -42.0 - 14.0 * (grown - 1.0),
    )
    return middle, (56 * grown, 42 * grown**0.8, 48 * grown**0.8)


def _paint_heart(canvas: Canvas, body: Anatomy) -> None:
    middle, radii = heart_shape(body)
    thicker = (radii[0] + 4.0, radii[1] + 4.0, radii[2] + 4.0)
    ball(canvas, middle, thicker, -80.0)
    ball(canvas, middle, radii, BLOOD)
    # The septum is a little darker than blood.
    ball(
        canvas, (middle[0] + 8.0, middle[1], middle[2] - 6.0), (8.0, 26.0, 30.0), 28.0, edge_mm=6.0
    )


def _paint_vessels_and_trachea(canvas: Canvas, body: Anatomy) -> None:
    behind = body.cavity_back - 34.0
    for start, end, radius, hu in (
        ((-16.0, -22.0, -5.0), (-16.0, -26.0, 52.0), 15.0, BLOOD),
        ((-16.0, -26.0, 52.0), (6.0, -12.0, 68.0), 13.0, BLOOD),
        ((6.0, -12.0, 68.0), (24.0, 20.0, 64.0), 13.0, BLOOD),
        ((24.0, 20.0, 64.0), (25.0, behind, 40.0), 12.0, BLOOD),
        ((25.0, behind, 40.0), (16.0, behind + 8.0, FAR_DOWN), 11.5, BLOOD),
        ((-28.0, -16.0, -10.0), (-27.0, -16.0, 85.0), 9.0, BLOOD),
        ((8.0, -24.0, 5.0), (18.0, -8.0, 32.0), 13.0, BLOOD),
        ((18.0, -8.0, 32.0), (44.0, 10.0, 28.0), 10.0, BLOOD),
        ((14.0, -6.0, 26.0), (-38.0, 4.0, 22.0), 9.5, BLOOD),
        ((-12.0, -10.0, 66.0), (-24.0, -14.0, 125.0), 5.0, BLOOD),
        ((14.0, 0.0, 72.0), (22.0, -8.0, 125.0), 5.0, BLOOD),
        ((4.0, 24.0, FAR_DOWN), (3.0, 22.0, 130.0), 6.5, 32.0),
        ((0.0, 4.0, 50.0), (0.0, -6.0, 170.0), 10.5, 40.0),
        ((0.0, 4.0, 50.0), (0.0, -6.0, 170.0), 8.8, AIR),
        ((0.0, 4.0, 48.0), (-32.0, 9.0, 22.0), 8.5, 30.0),
        ((0.0, 4.0, 48.0), (36.0, 11.0, 24.0), 8.0, 30.0),
        ((0.0, 4.0, 48.0), (-32.0, 9.0, 22.0), 6.8, AIR),
        ((0.0, 4.0, 48.0), (36.0, 11.0, 24.0), 6.3, AIR),
    ):
        tube(canvas, start, end, radius, hu)


def _paint_bones(canvas: Canvas, body: Anatomy) -> None:
    behind = body.cavity_back - 2.0
    box = canvas.box((-24.0, behind - 20.0, FAR_DOWN), (24.0, behind + 20.0, FAR_UP))
    if box is not None:
        left, back, up = canvas.axes(box)
        square = (left / 18) ** 2 + ((back - behind) / 15) ** 2
        distance = ((np.sqrt(square) - 1.0) * 15.0).astype(np.float32)
        phase = up / 26.0
        disc = np.abs(phase - np.rint(phase)) * 26.0 < 3.5
        core = np.where(distance > -2.5, np.float32(520.0), np.float32(190.0))
        core = np.where(disc, np.float32(95.0), core)
        alpha = soft(np.broadcast_to(distance, core.shape), canvas.pitch_mm)
        blend(canvas, box, alpha, core.astype(np.float32))
    for side in (-1.0, 1.0):
        tube(
            canvas,
            (side * 11.0, behind + 14.0, FAR_DOWN),
            (side * 9.0, behind + 24.0, FAR_UP),
            4.5,
            380.0,
        )
        ball(
            canvas,
            (side * 0.8 * body.cavity_left, behind * 0.78 + 15.0, 55.0),
            (26.0, 5.5, 55.0),
            420.0,
        )
        tube(
            canvas,
            (side * 14.0, -body.cavity_back + 14.0, body.lung_top - 6.0),
            (side * 0.95 * body.cavity_left, -8.0, body.lung_top + 14.0),
            6.0,
            420.0,
        )
        if body.arms_down:
            place = side * (body.body_left + 38.0)
            tube(canvas, (place, 10.0, FAR_DOWN), (place, 10.0, FAR_UP), 36.0, 45.0)
            tube(canvas, (place, 10.0, FAR_DOWN), (place, 10.0, FAR_UP), 10.0, 700.0)
    tube(canvas, (0.0, behind + 20.0, FAR_DOWN), (0.0, behind + 20.0, FAR_UP), 7.5, 20.0)
    spine_end = behind + 30.0
    tube(canvas, (0.0, spine_end, FAR_DOWN), (0.0, spine_end, FAR_UP), 4.0, 380.0)
    front = -body.cavity_back - 6.0
    for side in (-8.0, 0.0, 8.0):
        tube(canvas, (side, front, -50.0), (side, front + 4.0, body.lung_top - 15.0), 6.0, 260.0)


def paint_table(canvas: Canvas, body: Anatomy) -> None:
    """Paint the couch under the back; it goes where there is air only."""
    top = body.body_back + 5
    left = canvas.left_mm[None, :]
    back = canvas.back_mm[:, None]
    sag = back - top + 18 * (left / 200) ** 2
    skin = soft((np.abs(sag - 15) - 14).astype(np.float32)[None], canvas.pitch_mm)
    foam = soft((np.abs(sag - 15) - 11).astype(np.float32)[None], canvas.pitch_mm)
    table = AIR + skin * 860 - foam * 800
    within = (np.abs(left) < 220)[None]
    np.maximum(canvas.hu, np.where(within, table, -1024).astype(np.float32), out=canvas.hu)
