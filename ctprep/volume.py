"""The volume: HU with the affine that says where every voxel lies, passed between all steps."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int16

from ctprep.orientation import axis_codes


@dataclass(frozen=True)
class Volume:
    """A CT volume.

    Args:
        hu: voxels in HU.
        affine_ras: array index (slice, row, column) to RAS+ mm.
    """

    hu: Int16[np.ndarray, "slice row column"] | Float32[np.ndarray, "slice row column"]
    affine_ras: Float64[np.ndarray, "4 4"]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centers along each array axis."""
        # Not `norm`: the root of a square is exact where only one component differs from zero.
        slice_mm, row_mm, column_mm = np.sqrt((self.affine_ras[:3, :3] ** 2).sum(axis=0))
        return float(slice_mm), float(row_mm), float(column_mm)

    @property
    def axis_codes(self) -> str:
        """Where each array index grows to, such as SPL."""
        return axis_codes(self.affine_ras)
