"""Errors a user can mend: what happened, where, and what to do about it.

CtError
├── StoreError             a store or a volume in it cannot be used
│   ├── StoreVersionError      written by another format version
│   └── StoreMismatchError     exists with other parameters, or of another kind
├── PlaceError             where a store lives cannot be reached, or refuses
├── SourceError            a scan cannot be read (becomes a refusal row in `ingest`)
│   └── NotFiniteError         voxels are NaN or infinite
├── ClusterError           workers or their scheduler cannot be reached or used
├── TableError             a table or manifest breaks its schema
├── BackendError           a language model cannot be loaded, reached or used
├── RecipeError            a recipe asks for something impossible
└── CheckpointError        a checkpoint does not fit the model
"""

from collections.abc import Iterator
from contextlib import contextmanager

from ctprep.store.names import printable


class CtError(Exception):
    """A fault in the input, told in three lines.

    Args:
        what: one sentence with the offending value.
        mend: what the user can do about it.
        where: file, scan id or key; usually added by `located`.
    """

    def __init__(self, what: str, *, mend: str, where: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.mend = mend
        self.where = where

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions pickle by positional arguments; workers must send ours back whole.
        return _rebuild, (type(self), self.what, self.mend, self.where)

    def __str__(self) -> str:
        # Some faults are a list.
        lines = list(map(printable, self.what.split("\n")))
        if self.where is not None:
            lines.append(f"  where: {printable(self.where)}")
        lines.append(f"  mend:  {printable(self.mend)}")
        return "\n".join(lines)


def _rebuild(kind: type[CtError], what: str, mend: str, where: str | None) -> CtError:
    return kind(what, mend=mend, where=where)


class StoreError(CtError, ValueError):
    """A store, or a volume in it, cannot be used."""


class StoreVersionError(StoreError):
    """A store was written by another version of the format."""


class StoreMismatchError(StoreError):
    """A store exists, but with other parameters or of another kind than asked for."""


class PlaceError(CtError, OSError):
    """Where a store lives cannot be reached, or refuses: nothing is known about what is in it."""


class SourceError(CtError, ValueError):
    """A scan cannot be used.

    Args:
        what: one sentence with the offending value.
        verdict: the short, stable name of the reason, such as `no-spacing`.
        mend: what the user can do about it.
        where: file relative to the source, or scan id.
    """

    def __init__(
        self, what: str, *, verdict: str = "unreadable", mend: str, where: str | None = None
    ) -> None:
        super().__init__(what, mend=mend, where=where)
        self.verdict = verdict

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_source, (type(self), self.what, self.verdict, self.mend, self.where)


def _rebuild_source(
    kind: type[SourceError], what: str, verdict: str, mend: str, where: str | None
) -> SourceError:
    return kind(what, verdict=verdict, mend=mend, where=where)


class NotFiniteError(SourceError):
    """Voxels are NaN or infinite."""


class ClusterError(CtError, RuntimeError):
    """Workers or their scheduler cannot be reached or used."""


class TableError(CtError, ValueError):
    """A table or a manifest breaks its schema."""


class BackendError(CtError, RuntimeError):
    """A language model that answers about reports cannot be loaded, reached or used."""


class RecipeError(CtError, ValueError):
    """A recipe asks for something impossible."""


class CheckpointError(CtError, ValueError):
    """A checkpoint does not fit the model, or is damaged."""


@contextmanager
def located(where: object) -> Iterator[None]:
    """Add where it happened to any `CtError` that has no place yet.

    Args:
        where: scan id, or path relative to the source.
    """
    try:
        yield
    except CtError as error:
        if error.where is None:
            error.where = str(where)
        raise
