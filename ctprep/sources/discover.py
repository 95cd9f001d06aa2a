"""Discover what lies in a folder: every file ends as part of one candidate, or refused."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath

from ctprep.sources.archives import OTHERS, Kind, archive_kind, list_members
from ctprep.sources.dicom_file import fault_of
from ctprep.sources.dicom_header import Header, looks_like_dicom, read_headers
from ctprep.sources.dicom_series import find_series
from ctprep.sources.files import SourceFile
from ctprep.sources.header_index import HeaderIndex
from ctprep.sources.nifti import SUFFIXES, find_image
from ctprep.sources.npz import find_npz
from ctprep.sources.paths import is_folder
from ctprep.sources.pictures import belongs_to_stack, find_stack
from ctprep.sources.source import Found, Refused
from ctprep.sources.walk import walk
from ctprep.store.errors import SourceError

START_BYTES = 360
NIFTI_MAGIC = {b"n+1\0", b"n+2\0"}
NIFTI_PAIR_MAGIC = {b"ni1\0", b"ni2\0"}
NIFTI_MAGIC_OFFSETS = (344, 4)
UNREADABLE_MEMBERS = {
    "encrypted": ("it is encrypted", "pack the archive again without a password"),
    "link": ("a link or a special file in an archive", "pack the archive with what it links to"),
    "too-large": ("it unpacks to more than any scan", "nothing to do, unless it is a scan"),
}
Outcome = Found | Refused | Header | SourceFile
"""The last two are parts of something."""


def discover(
    source: Path, *, tolerant: bool = False, may_be_bare: bool = False
) -> Iterator[Found | Refused]:
    """Find the candidate volumes of a source, reading headers only.

    Zip and tar archives are looked into, not unpacked. Single files come first, in the order of
    `walk`, then stacks of pictures by their folders, then DICOM series in the order of the names
    of their first files: the images of a series may lie anywhere, so all must have been seen.

    Args:
        source: a folder, or one file.
        tolerant: whether to mend what can be mended.
        may_be_bare: take NIfTI files without geometry, which a table gives.

    Yields:
        A candidate or a refusal; together they account for every file once.

    Raises:
        SourceError: the source is absent or holds no file.
    """
    source = source.absolute()
    root = source if is_folder(source) else source.parent
    empty = True
    stacks: dict[str, list[SourceFile]] = {}
    with closing(HeaderIndex()) as index:
        for path in walk(source, root):
            empty = False
            if isinstance(path, Refused):
                yield path
                continue
            for outcome in _look(path, root, may_be_bare=may_be_bare):
                if isinstance(outcome, Header):
                    index.add(outcome)
                elif isinstance(outcome, SourceFile):
                    stacks.setdefault(outcome.folder, []).append(outcome)
                else:
                    yield outcome
        for folder, files in stacks.items():
            # A stack that is the whole source is called by the source.
            stem = root.name if folder == "." else PurePosixPath(folder).name
            yield find_stack(files, files[0].name, stem, tolerant=tolerant)
        for headers, owns_folder in index.series():
            yield from find_series(headers, owns_folder=owns_folder, tolerant=tolerant)
    if empty:
        raise SourceError(
            "there is no file in the source",
            verdict="empty-source",
            mend="name the folder or the file that holds the scans",
            where=source.name,
        )


def _look(path: Path, root: Path, *, may_be_bare: bool) -> Iterator[Outcome]:
    name = path.relative_to(root).as_posix()
    kind = archive_kind(name)
    if kind is not None:
        yield from _look_into(path, kind, name, may_be_bare=may_be_bare)
    else:
        yield from _accounted(SourceFile(name, path), may_be_bare=may_be_bare)


def _look_into(path: Path, kind: Kind, name: str, *, may_be_bare: bool) -> Iterator[Outcome]:
    try:
        for member, reason in list_members(path, kind):
            file = SourceFile(f"{name}/{member.name}", path, member)
            if reason:
                what, mend = UNREADABLE_MEMBERS[reason]
                yield Refused(file.name, reason, what, mend, 1)
            else:
                yield from _accounted(file, may_be_bare=may_be_bare)
    except SourceError as error:
        yield Refused(name, error.verdict, error.what, error.mend, 1)
    except OSError as error:
        yield _unreadable(name, error)


def _accounted(file: SourceFile, *, may_be_bare: bool) -> Iterator[Outcome]:
    """Classify a file; one that cannot be read is refused."""
    try:
        yield from _classify(file, may_be_bare=may_be_bare)
    except SourceError as error:
        yield Refused(file.name, error.verdict, error.what, error.mend, 1)
    except OSError as error:
        yield _unreadable(file.name, error)


def _unreadable(name: str, error: OSError) -> Refused:
    what = f"the file cannot be read: {error.strerror or 'the system says no more'}"
    return Refused(name, "unreadable", what, "check its permissions", 1)


def _classify(file: SourceFile, *, may_be_bare: bool) -> tuple[Outcome, ...]:
    lower = file.name.lower()
    for suffix, kind in SUFFIXES.items():
        if lower.endswith(suffix):
            stem = file.basename[: -len(suffix)]
            return (find_image(file, kind, stem, may_be_bare=may_be_bare),)
    if belongs_to_stack(file):
        return (file,)
    if lower.endswith(".npz"):
        return (find_npz(file),)
    if archive_kind(lower) or lower.endswith(OTHERS):
        what = "an archive in an archive, or packed in a way that cannot be read in place"
        mend = "unpack it, or pack it as .zip, .tar or .tar.gz, if there are scans in it"
        return (Refused(file.name, "archive", what, mend, 1),)
    with file.open() as stream:
        start = stream.read(START_BYTES)
    magics = {start[at : at + 4] for at in NIFTI_MAGIC_OFFSETS}
    if magics & NIFTI_MAGIC:
        return (find_image(file, "nifti", file.basename, may_be_bare=may_be_bare),)
    if magics & NIFTI_PAIR_MAGIC:
        what = "a NIfTI header whose voxels are in a file of their own"
        return (Refused(file.name, "detached", what, "save them as one file, .nii", 1),)
    headers = read_headers(file) if looks_like_dicom(start) else ()
    if not headers:
        return (Refused(file.name, "not-a-scan", "no format of a scan", "nothing to do", 1),)
    fault = next((fault for fault in map(fault_of, headers) if fault is not None), None)
    if fault is None:
        return headers
    # A file counts once, so a frame that is no slice refuses its whole object.
    return (Refused(file.name, fault.verdict, fault.what, fault.mend, 1),)
