"""What verifying a store finds."""

from dataclasses import dataclass
from typing import Literal

from ctprep.verify.catalog import CatalogVerdict
from ctprep.verify.volume import BrokenVerdict

Verdict = (
    Literal["sound", "leftover", "unknown", "empty", "store-altered", "not-verified"]
    | BrokenVerdict
    | CatalogVerdict
)


@dataclass(frozen=True)
class Finding:
    """What was found about one volume, or about one other thing in the store."""

    scan_id: str | None
    """None where it is not about one volume."""
    verdict: Verdict
    what: str | None = None
    mend: str | None = None
    mended: str | None = None
    """What `repair` has done about it."""
    settled: bool = False
    """Whether nothing is left to do about it: sound from the start, or mended."""
