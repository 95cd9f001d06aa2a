"""Drawing a split: group by group, the rarest label first, to where it is missing most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

import numpy as np
from jaxtyping import Float

from ctprep.split.groups import Group
from ctprep.store.errors import TableError

Side = Literal["train", "tune", "test", "unused"]
SIDES: tuple[Side, ...] = ("train", "tune", "test", "unused")
Positives = Mapping[str, Float[np.ndarray, " label"]]
"""Labels by scan id: 1 where the scan has it, else 0."""


@dataclass(frozen=True)
class Sizes:
    """How many patients each side gets: below 1 a share of all, else a count.

    Without `train`, the training side gets everyone left; with it, who is left is unused. 0 is for
    test sets from elsewhere, on which nobody trains.
    """

    tune: int | float = 0.1
    test: int | float = 0.2
    train: int | float | None = None

    def patients(self, total: int, fixed: Mapping[Side, int]) -> dict[Side, int]:
        """Turn shares into counts.

        Args:
            total: patients there are.
            fixed: patients whose side is given; a side that has any gets these and no others.

        Returns:
            Patients wanted on each side; they add up to `total`.

        Raises:
            TableError: a size is negative, or more are wanted than there are.
        """
        asked: dict[Side, int | float] = {
            "train": self.train or 0,
            "tune": self.tune,
            "test": self.test,
        }
        wrong = [
            f"{side} {size:g}"
            for side, size in asked.items()
            if not 0 <= size < inf or (size > 1 and size != int(size))
        ]
        if wrong:
            raise TableError(
                f"a size is no share and no count: {', '.join(wrong)}",
                mend="give a share below 1, or a whole number of patients",
            )
        wanted = {side: fixed.get(side) or _count(size, total) for side, size in asked.items()}
        left = total - sum(wanted.values())
        rest: Side = "train" if self.train is None else "unused"
        is_empty = not (wanted["train"] + left if rest == "train" else any(wanted.values()))
        if left < 0 or is_empty:
            told = ", ".join(f"{count} to {side}" for side, count in wanted.items() if count)
            told = told or "0 to any side"
            raise TableError(
                f"there are {total} patients, and {told} leaves too few",
                mend="ask for fewer, or ingest more",
            )
        return {**dict.fromkeys(SIDES, 0), **wanted, rest: wanted.get(rest, 0) + left}


def _count(size: int | float, total: int) -> int:
    # A side that is asked for has someone, however few there are.
    return max(int(size > 0), round(size * total)) if size < 1 else int(size)


def draw_sides(
    groups: Sequence[Group],
    sizes: Sizes,
    *,
    seed: int,
    fixed: Mapping[str, Side] | None = None,
    positives: Positives | None = None,
) -> dict[str, Side]:
    """Draw the side of every scan.

    Args:
        groups: scans that stay together.
        sizes: of the sides, in patients; the last group of several that a side gets may take it
            above its size.
        seed: same seed, same groups, same split.
        fixed: side of scans that have it already, such as an official test set; their whole
            groups go with them.
        positives: where given, each label is as frequent among the patients of every side as can
            be.

    Returns:
        Side by scan id.

    Raises:
        TableError: `sizes` cannot be met, or a group has fixed scans on two sides.

    Source:
        Sechidis et al., "On the Stratification of Multi-Label Data", 2011, with groups in place of
        examples.
    """
    given = {
        number: side
        for number, group in enumerate(groups)
        if (side := _given_side(group, fixed or {})) is not None
    }
    taken: dict[Side, int] = dict.fromkeys(SIDES, 0)
    for number, side in given.items():
        taken[side] += len(groups[number].patients)
    total = sum(len(group.patients) for group in groups)
    wanted = sizes.patients(total, taken)
    places = {number: SIDES.index(side) for number, side in given.items()}
    drawing = _Drawing(groups, [wanted[side] for side in SIDES], positives or {}, places)
    order = np.random.default_rng(seed).permutation(len(groups)).tolist()
    # The largest first, while every side has room for them.
    order.sort(key=lambda number: -len(groups[number].patients))
    while (label := drawing.rarest_label()) is not None:
        for number in order:
            if drawing.has(number, label):
                drawing.place(number, drawing.neediest(label))
    for number in order:
        if number not in drawing.sides:
            drawing.place(number, drawing.neediest(None))
    empty = [
        side
        for number, side in enumerate(SIDES)
        if wanted[side] and number not in drawing.sides.values()
    ]
    if empty:
        raise TableError(
            f"no patient is left for {', '.join(empty)}: too many stay together",
            mend="ask for larger sides, or ingest more",
        )
    return {
        scan_id: SIDES[drawing.sides[number]]
        for number, group in enumerate(groups)
        for scan_id in group.scan_ids
    }


class _Drawing:
    """Groups placed so far, and what every side still lacks."""

    def __init__(
        self,
        groups: Sequence[Group],
        patients: Sequence[int],
        positives: Positives,
        given: Mapping[int, int],
    ) -> None:
        labels = len(next(iter(positives.values()), ()))
        none = np.zeros(labels)
        # Patients, not scans: six reconstructions of one patient tell no more of a rare label.
        self._counts = np.stack(
            [
                np.minimum(
                    sum((positives.get(scan, none) for scan in group.scan_ids), none),
                    len(group.patients),
                )
                for group in groups
            ]
        )
        self._groups = groups
        self._room = np.array(patients, np.float64)
        self._last = SIDES.index("train" if patients[SIDES.index("train")] else "unused")
        self._lacking = np.zeros((len(patients), labels))
        self._waiting = np.ones(len(groups), bool)
        self.sides: dict[int, int] = {}
        for number, side in given.items():
            self.place(number, side)
        # Of what is left, since nobody chose who is ill on a given side.
        left = self._counts[self._waiting].sum(axis=0)
        self._lacking = np.outer(self._room / max(1, self._room.sum()), left)

    def place(self, number: int, side: int) -> None:
        self.sides[number] = side
        self._waiting[number] = False
        self._room[side] -= len(self._groups[number].patients)
        self._lacking[side] -= self._counts[number]

    def has(self, number: int, label: int) -> bool:
        return bool(self._waiting[number] and self._counts[number, label])

    def rarest_label(self) -> int | None:
        """Find the label in the fewest groups that wait, if any has one."""
        waiting = (self._counts[self._waiting] > 0).sum(axis=0)
        return int(np.where(waiting, waiting, np.inf).argmin()) if waiting.any() else None

    def neediest(self, label: int | None) -> int:
        """Find the side with room that lacks most of a label, or most patients."""
        lacking = self._room if label is None else self._lacking[:, label]
        # Groups of several patients may use up all room before the last one is placed.
        sides = np.flatnonzero(self._room > 0).tolist() or [self._last]
        return max(sides, key=lambda side: (lacking[side], self._room[side]))


def _given_side(group: Group, fixed: Mapping[str, Side]) -> Side | None:
    found = {fixed[scan_id]: scan_id for scan_id in group.scan_ids if scan_id in fixed}
    if len(found) > 1:
        told = ", ".join(f"{scan_id} in {side}" for side, scan_id in sorted(found.items()))
        raise TableError(
            f"scans that belong together are fixed on two sides: {told}",
            mend="fix all scans of a patient, and of patients with one report, on one side",
        )
    return next(iter(found), None)
