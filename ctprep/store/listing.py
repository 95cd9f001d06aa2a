"""What a listing tells of a store, without opening anything in it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Seen:
    """What is seen of a volume from outside."""

    state: str
    """Of its metadata, which a writer leaves last: another one after each writing."""
    nbytes: int | None
    """Of its shard; None where that is missing."""
