"""Doctor: what works on this machine, tried and not assumed."""

from collections.abc import Iterator
from pathlib import Path

from ctprep.doctor.check import Check
from ctprep.doctor.machine import check_extras, check_machine
from ctprep.doctor.sources import check_sources
from ctprep.doctor.stores import check_stores


def examine(folder: Path) -> Iterator[Check]:
    """Try every decoder, codec and library.

    Args:
        folder: whose disk is looked at.

    Yields:
        A check each; preparing works here if all that are required are `ok`.
    """
    yield from check_sources()
    yield from check_stores()
    yield from check_extras()
    yield from check_machine(folder)


def fails(check: Check) -> bool:
    """Tell whether a check is one that preparing cannot do without, and did not come out well."""
    return check.required and check.status != "ok"
