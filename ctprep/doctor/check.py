"""One check of what works on this machine, and how it comes out."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from ctprep.store.errors import CtError

PREP = "pip install 'ct-lite[prep]'"
"""Mends whatever preparing needs."""


@dataclass(frozen=True)
class Check:
    """What came of one check.

    Args:
        group: what it belongs to: DICOM, files, stores, extras or machine.
        name: what was tried.
        status: `ok`; `missing` when something is not installed; `broken` when it is, and fails.
        required: whether preparing needs it.
        detail: versions and numbers, or the reason why not.
        mend: a command, where it does not work.
    """

    group: str
    name: str
    status: Literal["ok", "missing", "broken"]
    required: bool
    detail: str
    mend: str = ""


def attempt(
    group: str, name: str, work: Callable[[], str], *, mend: str, required: bool = True
) -> Check:
    """Try something, whatever it may raise.

    Args:
        group: as in `Check`.
        name: as in `Check`.
        work: does it, checks the result, and tells the detail.
        mend: a command that installs what it needs.
        required: as in `Check`.
    """
    try:
        return Check(group, name, "ok", required, work())
    except ImportError as error:
        return Check(group, name, "missing", required, f"no module {error.name}", mend)
    except CtError as error:
        return Check(group, name, "broken", required, error.what, mend)
    except Exception as error:  # a broken library fails in any way, which is what is asked here
        detail = f"{type(error).__name__}: {error}".splitlines()[0]
        return Check(group, name, "broken", required, detail, mend)


def tell_versions(*packages: str) -> str:
    """Name packages with their versions, those that are installed."""
    told = []
    for package in packages:
        try:
            told.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(told)
