"""DICOM series: the images of a series as candidate volumes."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ctprep.sources.dicom import check_stack
from ctprep.sources.dicom_file import Fault
from ctprep.sources.dicom_header import TIMES, Header
from ctprep.sources.dicom_position import SAME_PLACE_MM, affine_ras, along_normal
from ctprep.sources.files import SourceFile
from ctprep.sources.header_index import patient_of, series_of
from ctprep.sources.original import geometry_of, peak_bytes
from ctprep.sources.source import Found, Refused

SAME_COSINE = 2e-3
"""How far the cosines of one plane may differ: writers round them, some to three digits."""
SAME_SPACING = 1e-3
"""Share by which the pixel spacing of one plane may differ."""
BY = {"mixed-kernels": "kernel", "time-points": "time", "duplicate-position": "folder"}
"""What images are parted by where they have this fault."""


@dataclass(frozen=True)
class _Part:
    """Images that may form a volume, what they were parted by on request, and what was done.

    Images are in the order of their files and frames.
    """

    headers: tuple[Header, ...]
    key: tuple[str, ...] = ()
    mends: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Stack:
    """A part that has been checked: its slices in order, what was mended, and what is wrong."""

    part: _Part
    slices: tuple[Header, ...]
    mends: tuple[str, ...]
    fault: Fault | None


def find_series(
    headers: Sequence[Header], *, owns_folder: bool, tolerant: bool
) -> Iterator[Found | Refused]:
    """Part the images of one series by plane and pixel geometry, and check each part.

    Args:
        headers: of CT slices with geometry, of one series.
        owns_folder: whether a volume of several files may be called by the folder of the first.
        tolerant: whether to mend what can be mended.

    Yields:
        One candidate or refusal a part; dropped copies are refused on their own.
    """
    ordered = sorted(headers, key=lambda header: header.place)
    owners = _by_owner(ordered)
    if owners is None:
        files = len(_files(ordered))
        what = "several patients, studies or frames of reference share a series UID, and some of "
        what += f"its {files} files do not tell of which they are"
        mend = "export the series of each patient again, with PatientID and UIDs in every image"
        yield Refused(ordered[0].file.name, "unknown-owner", what, mend, files)
        return
    parts = [part for owner in owners for part in _by_geometry(owner)]
    stacks = [stack for part in parts for stack in _check(part, tolerant=tolerant)]
    met: dict[str, int] = defaultdict(int)
    for stack in stacks:
        first, *more = _files(stack.part.headers)
        name = first.folder if owns_folder and len(stacks) == 1 and more else first.name
        met[name] += 1
        # One multi-frame file may hold several stacks.
        yield from _outcomes(stack, name if met[name] == 1 else f"{name}#{met[name]}")


def _by_owner(headers: Sequence[Header]) -> list[_Part] | None:
    """Part images that share a series UID and can be of no one volume.

    Positions of two frames of reference have nothing to do with each other.

    Returns:
        The parts; None where there are several and some images do not tell of which they are.
    """
    told = [set(filter(None, values)) for values in zip(*map(_owner, headers), strict=True)]
    # What all that tell it tell alike parts none, and holds for the others, too.
    parting = [number for number, values in enumerate(told) if len(values) > 1]
    groups: dict[tuple[str, ...], list[Header]] = defaultdict(list)
    for header in headers:
        groups[tuple(_owner(header)[number] for number in parting)].append(header)
    if not all(map(all, groups)):
        return None
    verdicts = ("shared-series-uid",) if parting else ()
    return [_Part(tuple(group), verdicts=verdicts) for group in groups.values()]


def _owner(header: Header) -> tuple[str, str, str]:
    return header.patient_key, header.study_uid, header.frame_of_reference


def _by_geometry(part: _Part) -> list[_Part]:
    groups: list[list[Header]] = []
    for header in part.headers:
        same = (group for group in groups if _same_plane(group[0], header))
        group = next(same, None)
        if group is None:
            groups.append([header])
        else:
            group.append(header)
    if len(groups) == 1:
        return [part]
    verdicts = (*part.verdicts, "mixed-planes")
    return [_Part(tuple(group), verdicts=verdicts) for group in groups]


def _same_plane(one: Header, other: Header) -> bool:
    cosines = zip(one.orientation, other.orientation, strict=True)
    spacings = zip(one.spacing_mm, other.spacing_mm, strict=True)
    return (
        one.shape == other.shape
        and all(abs(a - b) <= SAME_COSINE for a, b in cosines)
        and all(abs(a - b) <= SAME_SPACING * a for a, b in spacings)
    )


def _geometry(header: Header) -> str:
    cosines = ",".join(f"{round(x, 3) + 0.0:.3f}" for x in header.orientation)
    spacing = ",".join(f"{x:.4g}" for x in header.spacing_mm)
    return f"{cosines}|{header.shape[0]}x{header.shape[1]}|{spacing}"


def _check(part: _Part, *, tolerant: bool) -> list[_Stack]:
    """Check a part; tolerantly, part it by what its fault is, as often as that helps."""
    slices, mends, fault = check_stack(part.headers, tolerant=tolerant)
    groups = _groups(part.headers, fault) if tolerant and fault is not None else {}
    if fault is None or len(groups) < 2:
        return [_Stack(part, slices, mends, fault)]
    mend = f"parted {len(groups)} volumes of one series by their {BY[fault.verdict]}"
    # The kernel is part of every key.
    is_kernel = fault.verdict == "mixed-kernels"
    pieces = [
        _Part(
            tuple(group),
            part.key if is_kernel else (*part.key, key),
            (*part.mends, mend),
            part.verdicts,
        )
        for key, group in groups.items()
    ]
    return [stack for piece in pieces for stack in _check(piece, tolerant=True)]


def _groups(headers: Sequence[Header], fault: Fault) -> dict[str, list[Header]]:
    if fault.verdict == "mixed-kernels":
        return _group(headers, lambda header: header.kernel)
    if fault.verdict == "time-points":
        return _by_time(headers)
    if fault.verdict == "duplicate-position":
        return _apart(_group(headers, lambda header: header.file.folder))
    return {}


def _group(headers: Sequence[Header], tell: Callable[[Header], str]) -> dict[str, list[Header]]:
    groups: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        groups[tell(header)].append(header)
    return groups


def _by_time(headers: Sequence[Header]) -> dict[str, list[Header]]:
    """Group by the first of the times in which no two images of a group lie at one place."""
    for number in range(len(TIMES)):
        groups = _group(headers, lambda header: header.times[number])  # noqa: B023, used at once
        if _apart(groups):
            return groups
    return {}


def _apart(groups: dict[str, list[Header]]) -> dict[str, list[Header]]:
    """Give the groups if there are several, and no two images of one lie at the same place."""
    apart = len(groups) > 1 and all(_places(group) == len(group) for group in groups.values())
    return groups if apart else {}


def _places(headers: Sequence[Header]) -> int:
    return len({round(along_normal(header) / SAME_PLACE_MM) for header in headers})


def _outcomes(stack: _Stack, name: str) -> Iterator[Found | Refused]:
    part, slices, fault = stack.part, stack.slices, stack.fault
    files = _files(part.headers)
    if fault is not None:
        folders = len({file.folder for file in files})
        spread = f"; the series lies in {folders} folders" if folders > 1 else ""
        yield Refused(name, fault.verdict, fault.what + spread, fault.mend, len(files))
        return
    rows, columns = slices[0].shape
    kept = _files(slices)
    where = {file: number for number, file in enumerate(kept)}
    yield Found(
        format="dicom",
        paths=kept,
        name=name,
        key=_key(slices, part.key),
        patient_key=patient_of(slices),
        peak_bytes=peak_bytes(
            len(slices) * rows * columns, 2 if all(h.fits_int16 for h in slices) else 4
        ),
        mends=(*part.mends, *stack.mends),
        verdicts=part.verdicts,
        frames=tuple((where[header.file], header.frame) for header in slices),
        geometry=geometry_of((len(slices), rows, columns), affine_ras(slices)),
    )
    for file in sorted(set(files) - set(kept)):
        what = "a copy of another slice, dropped"
        yield Refused(file.name, "duplicate-position", what, "nothing to do", 1)


def _key(slices: Sequence[Header], parted_by: Sequence[str]) -> str:
    """Identify a volume by what its own slices say, whatever else its series holds.

    Other images of the series may be found later, and must not give the volume another name.
    """
    owner = (next(filter(None, values), "") for values in zip(*map(_owner, slices), strict=True))
    kernel = next((header.kernel for header in slices if header.kernel), "")
    first = slices[0]
    return "|".join((series_of(first), *owner, _geometry(first), kernel, *parted_by))


def _files(headers: Sequence[Header]) -> tuple[SourceFile, ...]:
    return tuple(dict.fromkeys(header.file for header in headers))
