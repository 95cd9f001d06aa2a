"""Which reports an audit draws from; light, since the command line's help reads it, too."""

from typing import Literal

Only = Literal[
    "all",
    "disagreeing",
    "flagged",
    "nothing-abnormal",
    "answered-by-rules",
    "rewritten",
    "rewrite-refused",
    "identifiers-removed",
]
"""`flagged` is any flag but nothing-abnormal; the last five are flags of the report table."""
