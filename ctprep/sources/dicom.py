"""DICOM: checked slices of one series to a volume."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from ctprep.geometry import check_spacing
from ctprep.hu import decide_hu
from ctprep.sources.dicom_file import Fault, fault_of
from ctprep.sources.dicom_header import Header
from ctprep.sources.dicom_pixels import decode_header, read_slices
from ctprep.sources.dicom_position import (
    SAME_PLACE_MM,
    affine_ras,
    along_normal,
    position_fault,
    position_notes,
    thickness_fault,
)
from ctprep.sources.header_index import patient_of, series_of
from ctprep.sources.original import original_geometry
from ctprep.sources.source import Found, Read, changed_source
from ctprep.store.errors import SourceError
from ctprep.volume import Volume

REFORMATS = ("REFORMAT", "MPR")
"""Words in ImageType of slices that were cut out of a volume, often thick and averaged."""


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
    slices = tuple(sorted(headers, key=lambda header: (along_normal(header), header.place)))
    mends: tuple[str, ...] = ()
    if tolerant:
        kept = _drop_copies(slices)
        if len(kept) < len(slices):
            mends = (f"dropped {len(slices) - len(kept)} slices equal to another",)
        slices = kept
    fault = _kernel_fault(slices) or position_fault(slices) or _half_rescaled_fault(slices)
    if fault is not None:
        return slices, mends, fault
    for fault, mend in (thickness_fault(slices), _rescale_fault(slices)):
        if fault is None:
            continue
        if not tolerant:
            return slices, mends, fault
        mends += (mend,)
    return slices, mends, None


def read_dicom(found: Found, *, hu_policy: str, tolerant: bool) -> Read:
    """Read a series.

    Args:
        found: of format `dicom`.
        hu_policy: `auto`, `rescale` or `already`.
        tolerant: whether to mend what can be mended.

    Raises:
        SourceError: it changed since it was found, does not decode, or is not HU.
    """
    found_slices, stored, hashes = read_slices(found)
    if any(fault_of(header) is not None for header in found_slices):
        raise changed_source()
    slices, mends, fault = check_stack(found_slices, tolerant=tolerant)
    if fault is not None:
        raise SourceError(fault.what, verdict=fault.verdict, mend=fault.mend)
    series = {series_of(header) for header in slices}
    is_same = (
        slices == found_slices
        and all(f"{found.key}|".startswith(f"{one}|") for one in series)
        and len(series) == 1
        and patient_of(slices) == found.patient_key
    )
    # Hours may lie between the two readings, and another patient's slice fits as well.
    if not is_same:
        raise changed_source()
    hu, decision = decide_hu(
        stored,
        [header.slope for header in slices],
        [header.intercept for header in slices],
        hu_policy,
        padding=[header.padding for header in slices],
    )
    volume = Volume(hu=hu, affine_ras=affine_ras(slices))
    check_spacing(volume.affine_ras)
    return Read(
        volume=volume,
        hu=decision,
        original=original_geometry(volume),
        acquisition=dict(slices[0].acquisition),
        source_sha256=hashes,
        verdicts=(*found.verdicts, *position_notes(slices), *_notes(slices)),
        mends=(*found.mends, *(mend for mend in mends if mend not in found.mends)),
    )


def _kernel_fault(slices: Sequence[Header]) -> Fault | None:
    # A slice that names none is of an unknown kernel, not of another.
    if len({header.kernel for header in slices if header.kernel}) <= 1:
        return None
    mend = "split the reconstructions into series of their own, or pass --tolerant to part them"
    return Fault("mixed-kernels", "slices of several kernels in a series", mend)


def _half_rescaled_fault(slices: Sequence[Header]) -> Fault | None:
    without = sum(not header.has_rescale for header in slices)
    if without in (0, len(slices)):
        return None
    what = f"{without} of {len(slices)} slices tell no RescaleSlope or RescaleIntercept"
    return Fault("mixed-rescale", what, "export the series again from its archive")


def _rescale_fault(slices: Sequence[Header]) -> tuple[Fault | None, str]:
    rescales = {(header.slope, header.intercept) for header in slices}
    if len(rescales) == 1:
        return None, ""
    what = f"slices of one series have {len(rescales)} different rescales"
    mend = "pass --tolerant to rescale each slice by its own numbers"
    done = f"rescaled each slice by its own of {len(rescales)} rescales"
    return Fault("mixed-rescale", what, mend), done


def _notes(slices: Sequence[Header]) -> tuple[str, ...]:
    """Name what is odd about a stack, and no reason to refuse it."""
    notes = {
        "no-modality": not slices[0].modality,
        "reformatted": any(word in part for part in slices[0].image_type for word in REFORMATS),
        "lossy": any(header.is_lossy for header in slices),
    }
    return tuple(name for name, holds in notes.items() if holds)


def _drop_copies(slices: tuple[Header, ...]) -> tuple[Header, ...]:
    kept: list[Header] = []
    for _, group in groupby(slices, key=lambda h: round(along_normal(h) / SAME_PLACE_MM)):
        first, *others = group
        kept += [first, *(other for other in others if not _same_image(first, other))]
    return tuple(kept)


def _same_image(first: Header, other: Header) -> bool:
    # Equal identifiers are no proof: some exports number every slice alike.
    one, two = ((h.slope, h.intercept, h.times, h.kernel) for h in (first, other))
    if one != two:
        return False
    try:
        pixels = [decode_header(header) for header in (first, other)]
    except (SourceError, OSError):
        return False
    return np.array_equal(pixels[0], pixels[1])
