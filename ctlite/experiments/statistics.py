"""Means over seeds with 95 % t-intervals, plain and paired."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

T_975 = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281),
    *(2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860),
    *(2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423),
)
"""97.5 % quantiles of Student's t for 1 to 30 degrees of freedom."""
NORMAL_975 = 1.959964


@dataclass(frozen=True)
class Mean:
    """A mean over seeds, and its 95 % interval where there are two seeds or more."""

    value: float
    low: float | None
    high: float | None
    count: int


def t_quantile(degrees: int) -> float:
    """Give the 97.5 % quantile of Student's t.

    Args:
        degrees: of freedom, 1 or more.

    Returns:
        The quantile, right to three decimals.

    Source:
        Above 30 degrees by Abramowitz and Stegun 26.7.5, to the second order.
    """
    if degrees <= len(T_975):
        return T_975[degrees - 1]
    z = NORMAL_975
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / degrees + second / degrees**2


def mean_interval(values: Sequence[float]) -> Mean:
    """Average over seeds.

    Args:
        values: one a seed, at least one.

    Returns:
        Mean and t-interval, for values that come from a normal distribution.
    """
    count = len(values)
    mean = math.fsum(values) / count
    if count == 1:
        return Mean(mean, None, None, 1)
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    half = t_quantile(count - 1) * math.sqrt(variance / count)
    return Mean(mean, mean - half, mean + half, count)


def paired_difference(values: Sequence[float], reference: Sequence[float]) -> Mean:
    """Average the differences of pairs.

    Args:
        values: of an arm, one a seed.
        reference: of the arm it is held against, by the same seeds; a single value is held
            against all of them.

    Returns:
        Mean of `values` minus `reference`, with its interval.

    Raises:
        ValueError: they cannot be paired.
    """
    if len(reference) == 1:
        reference = [*reference] * len(values)
    return mean_interval([a - b for a, b in zip(values, reference, strict=True)])


def log_area(steps: Sequence[int], values: Sequence[float]) -> float:
    """Average the decimal logarithm of a curve between its first and last step.

    Args:
        steps: rising, at least one.
        values: positive, of these steps.

    Returns:
        Area below the curve by trapezoids, over its length.
    """
    logs = [math.log10(value) for value in values]
    if len(steps) == 1:
        return logs[0]
    area = math.fsum(
        (steps[i + 1] - steps[i]) * (logs[i + 1] + logs[i]) / 2 for i in range(len(steps) - 1)
    )
    return area / (steps[-1] - steps[0])


def steps_to_reach(steps: Sequence[int], values: Sequence[float], level: float) -> float | None:
    """Find where a curve first comes down to a level.

    Args:
        steps: rising.
        values: of these steps.
        level: to be reached.

    Returns:
        The step, on a straight line between the two around it; None if it is never reached.
    """
    for i, value in enumerate(values):
        if value <= level:
            if i == 0:
                return float(steps[0])
            before = values[i - 1]
            return steps[i - 1] + (steps[i] - steps[i - 1]) * (before - level) / (before - value)
    return None
