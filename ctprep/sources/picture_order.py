"""The order of pictures: by the one number in which their file names differ."""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import PurePosixPath

from ctprep.sources.files import SourceFile
from ctprep.store.errors import SourceError

_DIGITS = re.compile(r"([0-9]{1,18})")


def in_order(
    paths: Sequence[SourceFile], *, tolerant: bool
) -> tuple[tuple[SourceFile, ...], tuple[str, ...]]:
    """Sort the pictures of a stack by number, and check that none is missing.

    Args:
        paths: pictures of one folder, at least two.
        tolerant: take numbers that are evenly spaced, such as 2, 4, 6, and say so.

    Returns:
        The pictures in order, and what was mended.

    Raises:
        SourceError: `ambiguous-order`, `duplicate-slice` or `missing-slice`.
    """
    numbers = _numbers(paths)
    order = sorted(range(len(paths)), key=numbers.__getitem__)
    counted = [numbers[index] for index in order]
    steps = [after - before for before, after in pairwise(counted)]
    if 0 in steps:
        raise SourceError(
            f"two pictures have the number {counted[steps.index(0)]}",
            verdict="duplicate-slice",
            mend="keep one picture a slice, of one format",
        )
    mends: tuple[str, ...] = ()
    if max(steps) > 1:
        step = max(steps)
        if not tolerant or min(steps) != step:
            raise _missing(counted, steps)
        mends = (f"took every {step}th number of the file names as consecutive slices",)
    return tuple(paths[index] for index in order), mends


def _numbers(paths: Sequence[SourceFile]) -> list[int]:
    # The suffix is no part of the order: 1.png and 2.jpg may be neighbours.
    parts = [_DIGITS.split(PurePosixPath(path.name).stem) for path in paths]
    columns = list(zip(*parts, strict=False))
    same_form = len({len(part) for part in parts}) == 1
    varying = [index for index, column in enumerate(columns) if len(_values(index, column)) > 1]
    if not same_form or any(index % 2 == 0 for index in varying) or len(varying) > 1:
        raise SourceError(
            f"the names of {len(paths)} pictures do not differ in one number alone",
            verdict="ambiguous-order",
            mend="name the pictures of one stack alike but for the number of the slice, "
            "one stack a folder",
        )
    # Where no number differs, the pictures differ in suffix or leading zeros: duplicates.
    index = varying[0] if varying else len(columns) - 2
    return [int(part[index]) if index > 0 else 0 for part in parts]


def _values(index: int, column: tuple[str, ...]) -> set[int] | set[str]:
    return {int(value) for value in column} if index % 2 else set(column)


def _missing(counted: Sequence[int], steps: Sequence[int]) -> SourceError:
    index = next(index for index, step in enumerate(steps) if step > 1)
    holes = sum(step - 1 for step in steps)
    return SourceError(
        f"{holes} of the numbers {counted[0]} to {counted[-1]} have no picture, "
        f"the first is {counted[index] + 1}",
        verdict="missing-slice",
        mend="fetch the missing pictures; --tolerant takes numbers that are evenly spaced",
    )
