"""DICOM: checked slices of one series to a volume."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from ctprep.geometry import check_spacing
from ctprep.hu import decide_hu
from ctprep.sources.dicom_file import Fault, fault_of
from ctprep.sources.dicom_header import Header, read_header
from ctprep.sources.dicom_pixels import decode_slice, decode_stack
from ctprep.sources.dicom_position import (
    SAME_PLACE_MM,
    affine_ras,
    along_normal,
    position_fault,
)
from ctprep.sources.original import original_geometry
from ctprep.sources.source import Found, Read
from ctprep.store.errors import SourceError
from ctprep.volume import Volume


def check_stack(
    headers: Sequence[Header], *, tolerant: bool
) -> tuple[tuple[Header, ...], tuple[str, ...], Fault | None]:
    """Put the images of a group in order and check that they form a volume.

    Args:
        headers: of one series, plane and pixel geometry, in any order.
        tolerant: whether to mend what can be mended.

    Returns:
        The slices along their normal; what was mended; what is wrong, or None.
    """
    slices = tuple(sorted(headers, key=lambda header: (along_normal(header), header.path)))
    mends: tuple[str, ...] = ()
    if tolerant:
        kept = _drop_copies(slices)
        if len(kept) < len(slices):
            mends = (f"dropped {len(slices) - len(kept)} slices equal to another",)
        slices = kept
    if len({header.kernel for header in slices}) > 1:
        mend = "split the reconstructions into series of their own"
        return slices, mends, Fault("mixed-kernels", "slices of several kernels in a series", mend)
    fault = position_fault(slices)
    rescales = {(header.slope, header.intercept) for header in slices}
    if fault is None and len(rescales) > 1:
        if not tolerant:
            mend = "pass --tolerant to rescale each slice by its own numbers"
            what = f"slices of one series have {len(rescales)} different rescales"
            return slices, mends, Fault("mixed-rescale", what, mend)
        mends += (f"rescaled each slice by its own of {len(rescales)} rescales",)
    return slices, mends, fault


def read_dicom(found: Found, *, hu_policy: str, tolerant: bool) -> Read:
    """Read a series.

    Args:
        found: of format `dicom`.
        hu_policy: `auto`, `rescale` or `already`.
        tolerant: whether to mend what can be mended.

    Raises:
        SourceError: it changed since it was found, does not decode, or is not HU.
    """
    headers = [read_header(path) for path in found.paths]
    usable = [header for header in headers if header is not None and fault_of(header) is None]
    if len(usable) < len(headers):
        raise SourceError(
            "a file changed since it was found",
            verdict="changed",
            mend="run again while nothing else writes to the source",
        )
    slices, mends, fault = check_stack(usable, tolerant=tolerant)
    if fault is not None:
        raise SourceError(fault.what, verdict=fault.verdict, mend=fault.mend)
    stored, hashes = decode_stack(slices)
    paddings = {header.padding for header in slices}
    hu, decision = decide_hu(
        stored,
        [header.slope for header in slices],
        [header.intercept for header in slices],
        hu_policy,
        padding=paddings.pop() if len(paddings) == 1 else None,
    )
    volume = Volume(hu=hu, affine_ras=affine_ras(slices))
    check_spacing(volume.affine_ras)
    return Read(
        volume=volume,
        hu=decision,
        original=original_geometry(volume),
        acquisition=dict(slices[0].acquisition),
        source_sha256=hashes,
        mends=(*found.mends, *(mend for mend in mends if mend not in found.mends)),
    )


def _drop_copies(slices: tuple[Header, ...]) -> tuple[Header, ...]:
    kept: list[Header] = []
    for _, group in groupby(slices, key=lambda h: round(along_normal(h) / SAME_PLACE_MM)):
        first, *others = group
        kept += [first, *(other for other in others if not _same_image(first, other))]
    return tuple(kept)


def _same_image(first: Header, other: Header) -> bool:
    # Equal identifiers are no proof: some exports number every slice alike.
    try:
        pixels = [decode_slice(h.path, h.path.read_bytes(), h.shape) for h in (first, other)]
    except SourceError:
        return False
    rescales = {(header.slope, header.intercept) for header in (first, other)}
    return len(rescales) == 1 and np.array_equal(pixels[0], pixels[1])
