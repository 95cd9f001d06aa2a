"""HU: apply slope and intercept once, and only once."""

from collections.abc import Sequence
from typing import Literal, cast, get_args

import numpy as np
from jaxtyping import Bool, Float64, Int16, Shaped

from ctprep.hu_histogram import Tissues, measure_tissues, sample
from ctprep.store.attributes import PAD_HU, HuDecision
from ctprep.store.errors import NotFiniteError, SourceError

Policy = Literal["auto", "rescale", "already"]
Number = int | float
Padding = tuple[int, int]
INT16 = np.iinfo(np.int16)

MOST_PADDING_HU = -900
"""Padding above it, read as HU, is no padding."""


def decide_hu(
    stored: Shaped[np.ndarray, "slice row column"],
    slope: Number | Sequence[Number],
    intercept: Number | Sequence[Number],
    policy: str,
    *,
    padding: Sequence[Padding | None] = (),
) -> tuple[Int16[np.ndarray, "slice row column"], HuDecision]:
    """Turn stored values into HU, unless they are HU already.

    Args:
        stored: values as the file holds them.
        slope: HU per stored value, one number or one a slice.
        intercept: HU of the stored value 0, one number or one a slice.
        policy: `rescale` and `already` do as they say; `auto` takes the reading whose histogram
            fits a CT better, and refuses when neither does.
        padding: for each slice, the range of stored values that mark voxels without data, which
            become PAD_HU; empty where there is none.

    Returns:
        HU, rounded half to even and saturated at int16, which may be `stored` itself where nothing
        changes; and what was done, why.

    Raises:
        NotFiniteError: voxels, slope or intercept are NaN or infinite.
        SourceError: `implausible-hu` under `auto`; `bad-policy` for an unknown policy.
    """
    asked = check_policy(policy)
    _check_stored(stored)
    slopes = _one_a_slice(slope, len(stored))
    intercepts = _one_a_slice(intercept, len(stored))
    decision = _decide(stored, slopes, intercepts, asked, padding)
    if decision.decision == "already":
        slopes, intercepts = np.ones_like(slopes), np.zeros_like(intercepts)
        if not any(padding) and stored.dtype == np.int16 and stored.flags.owndata:
            # Nothing changes, and the array keeps its own memory alive: no copy is needed.
            return stored, decision
    hu = np.empty(stored.shape, np.int16)
    for index, plane in enumerate(stored):
        hu[index] = _to_int16(plane, float(slopes[index]), float(intercepts[index]))
        marked = padding[index] if padding else None
        if marked is not None:
            # A value that reads as tissue marks nothing: it was left from before a rescale.
            hu[index][_between(plane, marked) & (hu[index] <= MOST_PADDING_HU)] = PAD_HU
    return hu, decision


def check_policy(policy: str) -> Policy:
    """Refuse a policy that does not exist.

    Args:
        policy: as asked.

    Raises:
        SourceError: `bad-policy`.
    """
    if policy not in get_args(Policy):
        raise SourceError(
            f"the HU policy {policy!r} is unknown",
            verdict="bad-policy",
            mend="use auto, rescale or already",
        )
    return cast(Policy, policy)


def _decide(
    stored: Shaped[np.ndarray, "slice row column"],
    slopes: Float64[np.ndarray, "slice"],
    intercepts: Float64[np.ndarray, "slice"],
    policy: Policy,
    padding: Sequence[Padding | None],
) -> HuDecision:
    slope, intercept = float(np.median(slopes)), float(np.median(intercepts))

    def decision(choice: Literal["rescaled", "already"], reason: str) -> HuDecision:
        return HuDecision(
            policy=policy, decision=choice, slope=slope, intercept=intercept, reason=reason
        )

    if policy != "auto":
        return decision("rescaled" if policy == "rescale" else "already", "as asked")
    chosen = sample(stored)
    for marked in {entry for entry in padding if entry is not None}:
        chosen = chosen[~_between(chosen, marked)]
    already = measure_tissues(chosen)
    if (slopes == 1).all() and (intercepts == 0).all():
        _check_plausible(already, already)
        return decision("already", f"slope 1 and intercept 0 change nothing: {already}")
    rescaled = measure_tissues(chosen * slope + intercept)
    _check_plausible(already, rescaled)
    if rescaled.plausible and (not already.plausible or rescaled.fit >= already.fit):
        return decision("rescaled", f"rescaled: {rescaled}; stored: {already}")
    return decision("already", f"stored: {already}; rescaled: {rescaled}")


def _between(values: Shaped[np.ndarray, "..."], marked: Padding) -> Bool[np.ndarray, "..."]:
    lowest, highest = marked
    inside: Bool[np.ndarray, "..."] = values == lowest
    if lowest < highest:
        inside = (values >= lowest) & (values <= highest)
    return inside


def _check_plausible(already: Tissues, rescaled: Tissues) -> None:
    if not (already.plausible or rescaled.plausible):
        raise SourceError(
            f"the values are no HU: stored they show {already}; rescaled {rescaled}",
            verdict="implausible-hu",
            mend="pass --hu already if you know that they are HU, or leave the scan out",
        )


def _check_stored(stored: Shaped[np.ndarray, "slice row column"]) -> None:
    if stored.dtype.kind in "iub":
        return
    for index, plane in enumerate(stored):
        if not np.isfinite(plane).all():
            row, column = np.argwhere(~np.isfinite(plane))[0].tolist()
            raise NotFiniteError(
                f"voxels are not finite, the first at {(index, row, column)}",
                verdict="not-finite",
                mend="export the scan again, or leave it out",
            )


def _one_a_slice(value: Number | Sequence[Number], slices: int) -> Float64[np.ndarray, "slice"]:
    values = np.broadcast_to(np.asarray(value, np.float64), (slices,))
    if not np.isfinite(values).all():
        raise NotFiniteError(
            f"slope or intercept is not finite: {value}",
            verdict="not-finite",
            mend="correct the header or the metadata table",
        )
    return values


def _to_int16(
    plane: Shaped[np.ndarray, "row column"], slope: float, intercept: float
) -> Int16[np.ndarray, "row column"]:
    if slope == 1 and intercept == 0 and plane.dtype == np.int16:
        return plane
    if slope == 1 and intercept.is_integer() and plane.dtype.kind in "iu":
        if plane.dtype == np.int16 and _stays_int16(plane, int(intercept)):
            return plane + np.int16(intercept)
        wide = np.int64 if plane.dtype.itemsize > 2 else np.int32
        exact = np.add(plane, int(intercept), dtype=wide)
    else:
        exact = np.rint(plane * np.float64(slope) + intercept)
    saturated: Int16[np.ndarray, "row column"] = exact.clip(INT16.min, INT16.max).astype(np.int16)
    return saturated


def _stays_int16(plane: Int16[np.ndarray, "row column"], added: int) -> bool:
    # Two looks at the voxels take a fifth of what wider numbers for all of them take.
    extremes = added, int(plane.min()) + added, int(plane.max()) + added
    return INT16.min <= min(extremes) and max(extremes) <= INT16.max
