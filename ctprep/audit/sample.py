"""Drawing reports: a pure function of their ids and a seed."""

import hashlib
from collections.abc import Iterable


def draw_sample(scan_ids: Iterable[str], size: int, seed: int) -> list[str]:
    """Draw some reports, each as likely as any other.

    Their order is random, too, so whoever stops early has judged a fair sample; and a larger draw
    of the same seed begins with the smaller one.

    Args:
        scan_ids: to draw from, in any order.
        size: how many; all where there are fewer.
        seed: same ids and seed, same draw.

    Returns:
        The drawn ids, in the order in which they are to be judged.
    """
    return sorted(scan_ids, key=lambda scan_id: _rank(scan_id, seed))[:size]


def _rank(scan_id: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{scan_id}".encode()).digest()
