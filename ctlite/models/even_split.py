"""The two sides of a block, as even as can be."""

import math


def split_evenly(size: int) -> tuple[int, int]:
    """Find the most even pair of divisors.

    Args:
        size: positive.

    Returns:
        (m1, m2) with m1 <= m2 and m1 * m2 == size; 512 gives (16, 32).
    """
    rows = max(m for m in range(1, math.isqrt(size) + 1) if size % m == 0)
    return rows, size // rows
