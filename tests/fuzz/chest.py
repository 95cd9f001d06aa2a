"""A crude chest whose values pass for HU, so that a reader's every check is reached."""

import numpy as np

SHAPE = (6, 32, 32)


def chest_hu() -> np.ndarray:
    """Draw air, a body and two lungs: int16 HU, axes (slice, row, column)."""
    hu = np.full(SHAPE, -1000)
    hu[:, 3:-3, 3:-3] = 40
    hu[:, 8:-8, 6:14] = hu[:, 8:-8, 18:26] = -850
    noise = np.random.default_rng(0).integers(-20, 21, SHAPE)
    return (hu + noise).astype(np.int16)
