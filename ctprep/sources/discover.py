"""Discover what lies in a folder: every file ends as part of one candidate, or refused."""

import os
from collections.abc import Iterator
from pathlib import Path

from ctprep.sources.dicom_file import fault_of
from ctprep.sources.dicom_header import Header, looks_like_dicom, read_header
from ctprep.sources.dicom_series import find_series
from ctprep.sources.nifti import SUFFIXES, find_image
from ctprep.sources.npz import find_npz
from ctprep.sources.pictures import belongs_to_stack, find_stack
from ctprep.sources.source import Found, Refused
from ctprep.store.errors import SourceError

START_BYTES = 360
NIFTI_MAGIC = (b"n+1\0", b"n+2\0")
NIFTI_MAGIC_OFFSETS = (344, 4)


def discover(
    source: Path, *, tolerant: bool = False, may_be_bare: bool = False
) -> Iterator[Found | Refused]:
    """Find the candidate volumes of a source, reading headers only.

    Single files come first, in the order of their names, then stacks of pictures by their folders,
    then DICOM series by their names: the images of a series may lie anywhere, so all must have
    been seen.

    Args:
        source: a folder, or one file.
        tolerant: whether to mend what can be mended.
        may_be_bare: take NIfTI files without geometry, which a table gives.

    Yields:
        A candidate or a refusal; together they account for every file once.

    Raises:
        SourceError: the source is absent or holds no file.
    """
    root = source if source.is_dir() else source.parent
    headers: list[Header] = []
    stacks: dict[Path, list[Path]] = {}
    empty = True
    for path in _files(source):
        empty = False
        try:
            outcome = _classify(path, root, may_be_bare=may_be_bare)
        except SourceError as error:
            outcome = Refused(_name(path, root), error.verdict, error.what, error.mend, 1)
        except OSError as error:
            what = f"the file cannot be read: {error.strerror}"
            outcome = Refused(_name(path, root), "unreadable", what, "check its permissions", 1)
        if isinstance(outcome, Header):
            headers.append(outcome)
        elif isinstance(outcome, Path):
            stacks.setdefault(outcome.parent, []).append(outcome)
        else:
            yield outcome
    if empty:
        raise SourceError(
            "there is no file in the source",
            verdict="empty-source",
            mend="name the folder or the file that holds the scans",
            where=source.name,
        )
    for folder, paths in stacks.items():
        yield find_stack(paths, _name(paths[0], root), folder.resolve().name, tolerant=tolerant)
    yield from find_series(headers, root, tolerant=tolerant)


def _files(source: Path) -> Iterator[Path]:
    if source.is_file():
        yield source
        return
    for folder, subfolders, files in os.walk(source, followlinks=False):
        subfolders.sort()
        for name in sorted(files):
            yield Path(folder) / name
        for name in subfolders:
            # Not walked, so told: it may lead out of the source, or in a circle.
            if (Path(folder) / name).is_symlink():
                yield Path(folder) / name


def _classify(path: Path, root: Path, *, may_be_bare: bool) -> Found | Refused | Header | Path:
    name = _name(path, root)
    if path.is_dir() or not path.resolve().is_relative_to(root.resolve()):
        what = "a link to another folder, or out of the source, is not followed"
        return Refused(name, "link", what, "name the place it leads to as a source", 1)
    if not path.is_file():
        return Refused(name, "not-a-scan", "not a regular file", "nothing to do", 1)
    lower = path.name.lower()
    for suffix, kind in SUFFIXES.items():
        if lower.endswith(suffix):
            stem = path.name[: -len(suffix)]
            return find_image(path, kind, name, stem, may_be_bare=may_be_bare)
    if belongs_to_stack(path):
        return path
    if lower.endswith(".npz"):
        return find_npz(path, name)
    with path.open("rb") as file:
        start = file.read(START_BYTES)
    if any(start[at : at + 4] in NIFTI_MAGIC for at in NIFTI_MAGIC_OFFSETS):
        return find_image(path, "nifti", name, path.name, may_be_bare=may_be_bare)
    header = read_header(path) if looks_like_dicom(start) else None
    if header is None:
        return Refused(name, "not-a-scan", "no format of a scan", "nothing to do", 1)
    fault = fault_of(header)
    if fault is not None:
        return Refused(name, fault.verdict, fault.what, fault.mend, 1)
    return header


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
