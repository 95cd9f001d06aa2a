"""What both kinds of accident happen to: crude scans, and a store that is not finished."""

from pathlib import Path

import numpy as np

HALFWAY = {"sound", "leftover", "no-catalog", "unlisted", "stale", "missing"}
"""What may be found in a store that is not finished: nothing damaged, nothing unknown."""


def write_scans(folder: Path, seed: int, *, count: int, shape: tuple[int, int, int]) -> None:
    """Write crude chests in the layout of RAD-ChestCT, which no imaging library has to write."""
    _, rows, columns = shape
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        hu = np.full(shape, -1000)
        hu[:, rows // 10 : -rows // 10, columns // 10 : -columns // 10] = 40
        hu[:, 3 * rows // 10 : -3 * rows // 10, columns // 4 : -columns // 4] = -850
        hu += rng.integers(-20, 21, hu.shape)
        np.savez_compressed(folder / f"scan-{number}.npz", ct=hu.astype(np.int16))
