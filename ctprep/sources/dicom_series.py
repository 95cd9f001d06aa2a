"""DICOM series: headers grouped into candidate volumes."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from ctprep.sources.dicom import check_stack
from ctprep.sources.dicom_header import Header
from ctprep.sources.dicom_position import affine_ras
from ctprep.sources.original import geometry_of, peak_bytes
from ctprep.sources.source import Found, Refused

Key = tuple[str, str]


def find_series(
    headers: Sequence[Header], source: Path, *, tolerant: bool
) -> Iterator[Found | Refused]:
    """Group images by series, plane and pixel geometry, and check each group.

    Args:
        headers: of single CT slices with geometry.
        source: folder that names are relative to.
        tolerant: whether to mend what can be mended.

    Yields:
        One candidate or refusal a group; dropped copies are refused on their own.
    """
    groups: dict[Key, list[Header]] = defaultdict(list)
    for header in headers:
        groups[_series(header, source), _geometry(header)].append(header)
    names = _names(groups, source)
    parts: dict[str, int] = defaultdict(int)
    for series, _ in groups:
        parts[series] += 1
    for key in sorted(groups, key=lambda key: names[key]):
        group = groups[key]
        slices, mends, fault = check_stack(group, tolerant=tolerant)
        if fault is not None:
            yield Refused(names[key], fault.verdict, fault.what, fault.mend, len(group))
            continue
        rows, columns = slices[0].shape
        voxels = len(slices) * rows * columns
        yield Found(
            format="dicom",
            paths=tuple(header.path for header in slices),
            name=names[key],
            key=key[0] if parts[key[0]] == 1 else "|".join(key),
            patient_key=slices[0].patient_key or key[0],
            peak_bytes=peak_bytes(voxels, 2 if all(h.fits_int16 for h in slices) else 4),
            mends=mends,
            geometry=geometry_of((len(slices), rows, columns), affine_ras(slices)),
        )
        kept = {header.path for header in slices}
        for path in sorted(header.path for header in group if header.path not in kept):
            yield Refused(
                path.relative_to(source).as_posix(),
                "duplicate-position",
                "a copy of another slice, dropped",
                "nothing to do",
                1,
            )


def _series(header: Header, source: Path) -> str:
    # Without a series UID the folder is the best guess of what belongs together.
    return header.series_uid or f"folder:{header.path.parent.relative_to(source).as_posix()}"


def _geometry(header: Header) -> str:
    # Rounded, since writers differ in the last decimals within one series.
    cosines = ",".join(f"{round(x, 3) + 0.0:.3f}" for x in header.orientation)
    spacing = ",".join(f"{x:.4f}" for x in header.spacing_mm)
    return f"{cosines}|{header.shape[0]}x{header.shape[1]}|{spacing}"


def _names(groups: dict[Key, list[Header]], source: Path) -> dict[Key, str]:
    """Name a group by its folder or, where a folder holds several, by its first file."""
    in_folder: dict[Path, int] = defaultdict(int)
    for group in groups.values():
        for folder in {header.path.parent for header in group}:
            in_folder[folder] += 1
    names = {}
    for key, group in groups.items():
        first = min(header.path for header in group)
        alone = in_folder[first.parent] == 1
        names[key] = (first.parent if alone else first).relative_to(source).as_posix()
    return names
