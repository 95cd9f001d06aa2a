"""Where DICOM slices lie: order, evenness, affine. The only place that knows LPS."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from ctprep.sources.dicom_file import Fault
from ctprep.sources.dicom_header import Header

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
SAME_PLACE_MM = 0.005
MAX_GAP_DEVIATION = 0.2
"""Share of the spacing by which a gap may differ: positions are rounded when written."""
MAX_GRID_DEVIATION = 0.1
"""Share of the spacing by which a slice may lie off an even grid."""
SAME_THICKNESS = 0.05
"""Share by which the thickness of a slice may differ from another's, or from the spacing."""
MAX_GAP_MM = 100
"""Between slices; more is no scan of a body."""
MAX_TILT_PIXELS = 0.5
"""How far a tilt may shift the last slice before it counts as one."""


def along_normal(header: Header) -> float:
    """Give the position of a slice along the normal of its plane, in mm.

    Source:
        DICOM PS3.3 C.7.6.2.1.1: the cross product of the row and column cosines.
    """
    # Without the array library, which takes longer to start than three products.
    return sum(n * p for n, p in zip(_normal(header), header.position_lps, strict=True))


def position_fault(slices: Sequence[Header]) -> Fault | None:
    """Find the reason why slices are no evenly spaced stack.

    Args:
        slices: of one plane and pixel geometry, in order along their normal.

    Returns:
        The first reason, or None.
    """
    if len(slices) < 2:
        return Fault("single-image", "one image alone forms no volume")
    gaps_mm = np.diff([along_normal(header) for header in slices])
    is_same = gaps_mm < SAME_PLACE_MM
    if is_same.any():
        count = int(is_same.sum())
        pairs = zip(slices, slices[1:], is_same, strict=False)
        if any(same and one.times != other.times for one, other, same in pairs):
            mend = "split the times into series of their own, or pass --tolerant to part them"
            return Fault(
                "time-points", f"{count} slices lie where others do, at another time", mend
            )
        mend = "remove the copies, or pass --tolerant to drop those that are equal"
        return Fault("duplicate-position", f"{count} slices lie where another one does", mend)
    return _tilt_fault(slices) or _shift_fault(slices) or _spacing_fault(gaps_mm)


def thickness_fault(slices: Sequence[Header]) -> tuple[Fault | None, str]:
    """Find slices of several thicknesses in a stack.

    Returns:
        The fault, or None; and what to note where it is accepted.
    """
    known = sorted(header.thickness_mm for header in slices if header.thickness_mm)
    if not known or known[-1] - known[0] <= SAME_THICKNESS * known[0]:
        return None, ""
    told = f"from {known[0]:g} to {known[-1]:g} mm"
    mend = "split the series by slice thickness, or pass --tolerant to take it as it is"
    fault = Fault("mixed-thickness", f"the slices are {told} thick", mend)
    return fault, f"took slices {told} thick for one stack"


def position_notes(slices: Sequence[Header]) -> tuple[str, ...]:
    """Name what the spacing says about the slices, and no reason to refuse them.

    Args:
        slices: a checked stack.

    Returns:
        `overlapping-slices` where they are thicker than they lie apart, `gaps-between-slices`
        where they are thinner.
    """
    thickness_mm = slices[0].thickness_mm
    if not thickness_mm:
        return ()
    positions_mm = [along_normal(header) for header in slices]
    spacing_mm = (positions_mm[-1] - positions_mm[0]) / (len(slices) - 1)
    share = thickness_mm / spacing_mm
    if abs(share - 1) <= SAME_THICKNESS:
        return ()
    return ("overlapping-slices" if share > 1 else "gaps-between-slices",)


def _tilt_fault(slices: Sequence[Header]) -> Fault | None:
    step = np.subtract(slices[-1].position_lps, slices[0].position_lps)
    normal = np.array(_normal(slices[0]))
    height = float(step @ normal)
    shift = float(np.linalg.norm(step - height * normal))
    if shift <= MAX_TILT_PIXELS * min(slices[0].spacing_mm):
        return None
    degrees = float(np.degrees(np.arctan2(shift, height)))
    mend = "undo the tilt with a tool that shears the slices back, or leave it out"
    return Fault("gantry-tilt", f"the slices are stacked {degrees:.1f} degrees off normal", mend)


def _shift_fault(slices: Sequence[Header]) -> Fault | None:
    """Find slices off the straight line from the first to the last, within their plane."""
    normal = np.array(_normal(slices[0]))
    steps = np.subtract([header.position_lps for header in slices], slices[0].position_lps)
    shares = (steps @ normal) / (steps[-1] @ normal)
    # Shares are heights along the normal, so what is left lies in the plane.
    off_mm = np.linalg.norm(steps - np.outer(shares, steps[-1]), axis=1)
    is_off = off_mm > MAX_TILT_PIXELS * min(slices[0].spacing_mm)
    if not is_off.any():
        return None
    what = f"{is_off.sum()} slices lie up to {off_mm.max():.1f} mm beside the rest, in their plane"
    return Fault("shifted-slice", what, "reconstruct with one center, or leave it out")


def _spacing_fault(gaps_mm: Float64[np.ndarray, " gap"]) -> Fault | None:
    spacing_mm = float(np.median(gaps_mm))
    if spacing_mm > MAX_GAP_MM:
        what = f"the slices lie {spacing_mm:g} mm apart"
        return Fault("bad-geometry", what, "export the series again with its geometry")
    multiples = gaps_mm / spacing_mm
    positions = np.concatenate([[0.0], np.cumsum(gaps_mm)])
    even = np.linspace(0, positions[-1], len(positions))
    off_gap = np.abs(multiples - 1) > MAX_GAP_DEVIATION
    off_grid = np.abs(positions - even) > MAX_GRID_DEVIATION * spacing_mm
    if not off_gap.any() and not off_grid.any():
        return None
    # By the smallest gap: where every other slice is missing, the median is none of a whole stack.
    unit_mm = float(gaps_mm.min())
    steps = np.rint(gaps_mm / unit_mm)
    whole = np.abs(gaps_mm / unit_mm - steps) <= MAX_GAP_DEVIATION
    if off_gap.any() and whole.all():
        missing = int((steps - 1).sum())
        count = f"{missing} slice is" if missing == 1 else f"{missing} slices are"
        what = f"{count} missing in a stack spaced {unit_mm:.3f} mm"
        return Fault("missing-slice", what, "fetch the series again from its archive")
    what = f"gaps between slices run from {gaps_mm.min():.3f} to {gaps_mm.max():.3f} mm"
    return Fault("uneven-spacing", what, "reconstruct with even spacing, or leave it out")


def affine_ras(slices: Sequence[Header]) -> Float64[np.ndarray, "4 4"]:
    """Build the affine of a checked stack.

    Args:
        slices: in order along their normal.

    Returns:
        Array index (slice, row, column) to RAS+ mm.

    Source:
        DICOM PS3.3 C.7.6.2.1.1: the first cosines run along a row, so with the column index.
    """
    first = slices[0]
    between_rows_mm, between_columns_mm = first.spacing_mm
    origin = np.array(first.position_lps)
    step = (np.array(slices[-1].position_lps) - origin) / (len(slices) - 1)
    affine = np.eye(4)
    affine[:3, 0] = LPS_TO_RAS @ step
    affine[:3, 1] = LPS_TO_RAS @ np.array(first.orientation[3:]) * between_rows_mm
    affine[:3, 2] = LPS_TO_RAS @ np.array(first.orientation[:3]) * between_columns_mm
    affine[:3, 3] = LPS_TO_RAS @ origin
    return affine


def _normal(header: Header) -> tuple[float, float, float]:
    (a, b, c), (d, e, f) = header.orientation[:3], header.orientation[3:]
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    length = math.sqrt(sum(part * part for part in normal))
    return normal[0] / length, normal[1] / length, normal[2] / length
