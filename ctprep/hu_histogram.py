"""What the histogram of a CT says: whether its values are HU, and whether it shows a chest."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped

AIR_HU = -1100
"""Below it nothing is physical: padding, or values that are no HU."""
LUNG_HU = (-920, -600)
FAT_HU = -30
"""Air, lung and fat lie below, and every CT of a body has some of them."""
SOFT_HU = (-200, 300)
MIN_SOFT = 0.02
"""Share of soft tissue below which there is no body in the volume."""
MIN_LIGHT = 0.005
"""Share of air, lung and fat that every scan has; raw and gray values have none."""
MAX_BELOW_AIR = 0.05
"""Share that noise and lossy compression may push below air; double rescaling pushes more."""
MIN_FIT = 0.6
"""Share of voxels that must be air, lung, fat or soft tissue; the rest is contrast and bone."""
MIN_LUNG = 0.1
"""Lung as a share of lung and soft tissue; real chests had above 0.12, an abdomen 0.08."""
SAMPLE_VOXELS = 500_000


@dataclass(frozen=True)
class Tissues:
    """Shares of the voxels of a volume, padding left out.

    Args:
        below_air: less than any HU.
        light: air, lung and fat.
        lung: aerated lung.
        soft: soft tissue and fluid.
        fit: all that is expected in quantity.
    """

    below_air: float
    light: float
    lung: float
    soft: float
    fit: float

    @property
    def plausible(self) -> bool:
        """Whether the values can be HU."""
        return (
            self.soft >= MIN_SOFT
            and self.light >= MIN_LIGHT
            and self.below_air <= MAX_BELOW_AIR
            and self.fit >= MIN_FIT
        )

    @property
    def shows_chest(self) -> bool:
        """Whether there is lung enough."""
        return self.lung >= MIN_LUNG * (self.lung + self.soft)

    def __str__(self) -> str:
        return (
            f"{self.light:.1%} air, lung or fat, {self.soft:.1%} soft tissue, "
            f"{self.below_air:.1%} below air"
        )


def sample(voxels: Shaped[np.ndarray, "slice row column"]) -> Shaped[np.ndarray, "sample"]:
    """Take every n-th row and column, some half a million at most.

    Args:
        voxels: volume of any unit.

    Returns:
        The chosen voxels.
    """
    stride = int(np.ceil((voxels.size / SAMPLE_VOXELS) ** (1 / 2)))
    # In the plane only: a thick-sliced volume has few slices to spare.
    chosen: Shaped[np.ndarray, Any] = voxels[:, ::stride, ::stride].ravel()
    return chosen


def measure_tissues(hu: Shaped[np.ndarray, "sample"]) -> Tissues:
    """Measure the shares of tissue, taking the values for HU.

    One constant value below air counts as padding: what lies outside the scanner's circle.

    Args:
        hu: sample of voxels.

    Returns:
        The shares, of the voxels that are not padding.
    """
    below = hu[hu < AIR_HU]
    if below.size:
        values, counts = np.unique(below, return_counts=True)
        hu = hu[hu != values[counts.argmax()]]
    if not hu.size:
        return Tissues(1.0, 0.0, 0.0, 0.0, 0.0)
    light = _share(hu, AIR_HU, FAT_HU)
    return Tissues(
        below_air=float(np.mean(hu < AIR_HU)),
        light=light,
        lung=_share(hu, *LUNG_HU),
        soft=_share(hu, *SOFT_HU),
        fit=_share(hu, AIR_HU, SOFT_HU[1]),
    )


def _share(hu: Shaped[np.ndarray, "sample"], low: int | float, high: int | float) -> float:
    return float(np.mean((hu >= low) & (hu < high)))
