"""Where a command is to write: told to be wrong before the work that makes it, not behind it."""

import os
import stat
import tempfile
from collections.abc import Collection
from pathlib import Path

from ctprep.store.disk import partial_path, writing
from ctprep.store.errors import PlaceError, TableError


def check_outputs(*outs: Path | None, inputs: Collection[Path | None] = ()) -> None:
    """Refuse files that could not be written, before hours of work are lost to them.

    Args:
        outs: files to write; their missing folders may be made later.
        inputs: files that the outputs are made of.

    Raises:
        TableError: an output is one of the inputs, by another name or through a link, too, or two
            outputs are one file.
        PlaceError: an output is a folder or a device, or its folder takes no file.
    """
    given = [out for out in outs if out is not None]
    # Not `Path.resolve`, which raises what no user can read where links lead in a circle.
    sources = {os.path.realpath(path) for path in inputs if path is not None}
    if own := next((out for out in given if os.path.realpath(out) in sources), None):
        raise TableError(
            "the output would replace its own input",
            mend="give the output another name",
            where=own.name,
        )
    if len({os.path.realpath(out) for out in given}) < len(given):
        raise TableError(
            "two outputs would be written to one file",
            mend="give each another name",
            where=given[-1].name,
        )
    for out in given:
        _check_file(out)


def _check_file(out: Path) -> None:
    if not out.name:
        raise PlaceError("it is a folder", mend="name a file in it", where=str(out))
    with writing(out.name):
        # A name that is too long with what a half-written file is called is told here, too.
        modes = [_mode(partial_path(out)), _mode(out)]
    if modes[1] is not None and not stat.S_ISREG(modes[1]):
        what = "a folder" if stat.S_ISDIR(modes[1]) else "a device, and no file"
        raise PlaceError(f"it is {what}", mend="name a file to write", where=out.name)
    check_folder(out.parent, where=out.name)


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def check_folder(folder: Path, *, where: str | None = None) -> None:
    """Refuse a folder that could not be made or takes no file; it stays as it is.

    Args:
        folder: to write files in; it need not be there.
        where: name of what is written; that of the folder where left out.

    Raises:
        PlaceError: a file is in the way, or the folder or the one to make it in takes no file.
    """
    there = folder.absolute()
    with writing(where or folder.name):
        while not os.path.lexists(there):
            there = there.parent
        # Tried and not asked for: network disks answer what they do not keep. The file has no
        # name where the system knows such files, so that not even a kill leaves it behind.
        with tempfile.TemporaryFile(dir=there):
            pass


def beside(out: Path, end: str) -> Path:
    """Give the name of what belongs to an output: its own, with more behind it."""
    return out.with_name(out.name + end)


def check_suffix(out: Path, suffixes: Collection[str], what: str) -> None:
    """Refuse a file whose name does not tell what is in it.

    Args:
        out: file to write.
        suffixes: that it may have, in lower case.
        what: is written, as a subject: `labels are`.

    Raises:
        TableError: it ends in something else.
    """
    if out.suffix.lower() not in suffixes:
        first, *others = suffixes
        raise TableError(
            f"{what} written as {' or '.join(suffixes)}, and {out.name!r} does not say so",
            mend=f"call it {out.stem}{first}" + "".join(f" or {out.stem}{end}" for end in others),
            where=out.name,
        )
