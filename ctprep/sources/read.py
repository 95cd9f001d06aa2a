"""Read what was found, whatever its format."""

from dataclasses import replace

import numpy as np

from ctprep.hu_histogram import measure_tissues, sample
from ctprep.orientation import nearest_world_axes
from ctprep.sources import pictures
from ctprep.sources.dicom import read_dicom
from ctprep.sources.nifti import read_nifti
from ctprep.sources.npz import read_npz
from ctprep.sources.source import Found, Read
from ctprep.sources.table_geometry import TableGeometry
from ctprep.store.errors import SourceError, located
from ctprep.volume import Volume

NOT_A_CHEST = "not-a-chest"
UNUSUAL_EXTENT = "unusual-extent"
CHEST_MM = ((150, 800), (120, 800), (120, 800))
"""Least and most that a scan of a chest spans to the left, to the back and to the head."""


def read(
    found: Found,
    *,
    hu_policy: str = "auto",
    tolerant: bool = False,
    slope: int | float = 1,
    intercept: int | float = 0,
    geometry: TableGeometry | None = None,
) -> Read:
    """Read a scan.

    Args:
        found: what `discover` gave.
        hu_policy: `auto`, `rescale` or `already`.
        tolerant: whether to mend what can be mended.
        slope: HU per value from a metadata table; DICOM has its own and NPZ needs none.
        intercept: HU of the value 0, likewise.
        geometry: spacing and axes from that table; only images of one file need it.

    Returns:
        The volume in the orientation of the source, with its provenance.

    Raises:
        SourceError: why it cannot be used.
    """
    with located(found.name):
        try:
            scan = _read(found, hu_policy, tolerant, slope, intercept, geometry)
        except OSError as error:
            raise SourceError(
                f"a file cannot be read: {error.strerror}",
                mend="check that it is still there, and its permissions",
            ) from error
    # A window hides tissues, so that their shares tell nothing.
    is_windowed = scan.hu.decision == "windowed"
    doubts = {
        NOT_A_CHEST: not is_windowed and not measure_tissues(sample(scan.volume.hu)).shows_chest,
        UNUSUAL_EXTENT: not _spans_a_chest(scan.volume),
    }
    return replace(
        scan, verdicts=(*scan.verdicts, *(name for name, holds in doubts.items() if holds))
    )


def _spans_a_chest(volume: Volume) -> bool:
    extent_mm = np.multiply(volume.hu.shape, volume.spacing_mm)
    by_world = dict(zip(nearest_world_axes(volume.affine_ras).tolist(), extent_mm, strict=True))
    return all(low <= by_world[axis] <= high for axis, (low, high) in enumerate(CHEST_MM))


def _read(
    found: Found,
    hu_policy: str,
    tolerant: bool,
    slope: int | float,
    intercept: int | float,
    geometry: TableGeometry | None,
) -> Read:
    if found.format == "dicom":
        return read_dicom(found, hu_policy=hu_policy, tolerant=tolerant)
    if found.format == pictures.FORMAT:
        return pictures.read_stack(found, hu_policy=hu_policy)
    if hu_policy == "rescale" and slope == 1 and intercept == 0:
        raise SourceError(
            "rescaling was asked for, but nothing says by which slope and intercept",
            verdict="no-rescale",
            mend="use --hu auto; the scaling in a file's own header is applied in any case",
        )
    if found.format == "npz":
        return read_npz(found, hu_policy=hu_policy)
    return read_nifti(
        found,
        hu_policy=hu_policy,
        slope=slope,
        intercept=intercept,
        geometry=geometry,
        tolerant=tolerant,
    )
