"""What is seen of a store without opening anything in it, and names for what is moved out."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count


@dataclass(frozen=True)
class Seen:
    """What is seen of a volume from outside."""

    state: str
    """Of its metadata, which a writer leaves last: another one after each writing."""
    nbytes: int | None
    """Of its shard; None where that is missing."""


@dataclass(frozen=True)
class Leftover:
    """What a writer has left that is gone."""

    name: str
    """Key of it."""
    put_back: bool
    """Whether cleaning puts it back, since it is the only copy of a volume."""


def quarantine_of(name: str) -> str:
    """Name what lies beside a store and takes what is moved out of it."""
    return name.removesuffix(".zarr") + ".quarantine"


def free_name(key: str, is_taken: Callable[[str], bool]) -> str:
    """Give a name in the quarantine to something of a store: its key on one level, and a number.

    Args:
        key: such as `scan-0/0/notes.txt`, which becomes `scan-0~0~notes.txt~1`.
        is_taken: whether there is something of a name already.
    """
    flat = key.replace("/", "~")
    return next(name for n in count(1) if not is_taken(name := f"{flat}~{n}"))
