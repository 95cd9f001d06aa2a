"""What a path leads to, asked without errors: where access is denied or links circle, it is no."""

import os
import stat
from pathlib import Path


def leads_somewhere(path: Path) -> bool:
    """Tell whether there is anything that can be reached."""
    return _mode(path) is not None


def is_folder(path: Path) -> bool:
    """Tell whether it is a folder, or a link to one."""
    return stat.S_ISDIR(_mode(path) or 0)


def is_file(path: Path) -> bool:
    """Tell whether it is a regular file, or a link to one."""
    return stat.S_ISREG(_mode(path) or 0)


def real_path(path: Path) -> Path:
    """Follow the links in a path as far as they lead."""
    return Path(os.path.realpath(path))


def _mode(path: Path) -> int | None:
    # Those of pathlib raise on denied access, and on links in a circle.
    try:
        return path.stat().st_mode
    except OSError:
        return None
