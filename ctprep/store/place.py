"""Where a store lives: a folder or a bucket, behind the few things that a store asks of either."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol, runtime_checkable

from ctprep.store.errors import StoreError, located
from ctprep.store.folder import FolderPlace
from ctprep.store.layout import METADATA
from ctprep.store.listing import Leftover, Seen

SCHEMES = ("s3", "gs", "az", "memory")
"""Of the URLs that name a bucket."""

Content = bytes | memoryview


@runtime_checkable
class Place(Protocol):
    """Where a store lives. Keys are relative to the store and use `/`.

    A volume is a folder of the store with a `zarr.json`; it is there whole or not at all. A place
    can be pickled, used by threads at once, and put in front of another one, as a cache would be.
    """

    @property
    def name(self) -> str:
        """The last part of where it is, as errors show it."""

    @property
    def url(self) -> str:
        """What `find_place` finds it by: a path, or a URL without secrets."""

    @property
    def path(self) -> Path | None:
        """Its folder; None in a bucket."""

    @property
    def at_once(self) -> int:
        """How many requests are worth having under way at once."""

    def exists(self) -> bool:
        """Tell whether something is there already."""

    def make(self) -> Sequence[str]:
        """Make it where it is not there yet, and name what is in it.

        Raises:
            StoreError: something else is in the way.
        """

    def has(self, key: str) -> bool:
        """Tell whether a file is there."""

    def read(self, key: str) -> Content:
        """Read a whole file.

        Raises:
            FileNotFoundError: there is none.
        """

    def read_end(self, key: str, nbytes: int) -> tuple[Content, int]:
        """Read the last bytes of a file, all of a shorter one, and tell how many it has.

        Raises:
            FileNotFoundError: there is none.
        """

    def read_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[Content]:
        """Read parts of a file.

        Args:
            key: of the file.
            ranges: begin and end of each part, inside the file and none empty.

        Raises:
            FileNotFoundError: there is none.
        """

    def sizes(self, keys: Sequence[str]) -> list[int]:
        """Give the bytes of some files.

        Raises:
            FileNotFoundError: one is not there.
        """

    def create(self, key: str, data: bytes) -> bool:
        """Make a file with its whole content, unless it exists; tell whether this call did."""

    def replace(self, key: str, data: bytes) -> None:
        """Write a whole file or nothing, in place of one that may be there."""

    def volumes(self) -> list[str]:
        """Name the volumes, in any order, without opening them."""

    def survey(self) -> dict[str, Seen]:
        """Name the volumes, without opening them, with what tells whether one was replaced."""

    def names(self) -> list[str]:
        """Name what lies in it, files and folders, in any order."""

    def below(self, name: str) -> list[str]:
        """Give the keys of all files of a folder, or of the one file of that name.

        Folders below it that are not files' are among them, with a `/` at their end.
        """

    def write_volume(self, name: str, files: Mapping[str, bytes | memoryview]) -> None:
        """Write a volume as one step, in place of one that may be there.

        Args:
            name: of the volume.
            files: content by key relative to the volume; the last one is its `zarr.json`.
        """

    def remove_volume(self, name: str) -> None:
        """Remove a volume as one step.

        Raises:
            FileNotFoundError: there is none.
        """

    def clean(self) -> None:
        """Remove what writers have left that are gone for certain."""

    def leftovers(self) -> list[Leftover]:
        """Tell what `clean` would remove or put back, where that lies beside the volumes."""

    def is_in_work(self, name: str) -> bool:
        """Tell whether a volume without metadata may be of a writer that still lives."""

    def set_aside(self, key: str) -> str:
        """Move a file or a folder out of the store, into the quarantine beside it.

        Returns:
            Where it is now, such as `q90.quarantine/scan-0~1`.
        """

    def remove_empty(self, name: str) -> None:
        """Remove a folder without a file."""


Where = Place | Path | str
"""What a user may give for a store."""


def find_place(where: Where) -> Place:
    """Tell where a store lives from what a user typed.

    Args:
        where: a folder, or a URL such as `s3://bucket/corpora/q90.zarr`; a place is given back.

    Raises:
        StoreError: the URL names no bucket, or is of an unknown scheme.
        PlaceError: what is needed to reach a bucket is not installed.
    """
    if isinstance(where, Path):
        return FolderPlace(where)
    if not isinstance(where, str):
        return where
    scheme, is_url, _ = where.partition("://")
    if not is_url:
        return FolderPlace(Path(where))
    if scheme not in SCHEMES:
        raise StoreError(
            f"stores are not kept at {scheme}://",
            mend=f"give a folder, or a URL that begins with {', '.join(SCHEMES)}",
        )
    # Late: a folder needs none of it.
    open_bucket: Callable[[str], Place] = import_module("ctprep.store.bucket").BucketPlace
    return open_bucket(where)


def check_apart(place: Place) -> None:
    """Refuse a path for a store at which a file is, or that lies inside another store.

    Raises:
        StoreError: one of these holds; there it would count as damage to the other store.
    """
    if place.path is None:
        return
    with located(place.name):
        if place.path.is_file():
            raise StoreError("a file is in the way", mend="choose another path")
        if any((parent / METADATA).is_file() for parent in place.path.resolve().parents):
            raise StoreError(
                "the store would lie inside another store",
                mend="put the store beside the other one, not into it",
            )


def is_same_place(one: Place, other: Place) -> bool:
    """Tell whether two places are one, also where their paths are spelled differently."""
    if one.path is not None and other.path is not None:
        return one.path.resolve() == other.path.resolve()
    return one == other


def absolute(place: Place) -> Place:
    """Give the same place for processes that are in other folders."""
    return place if place.path is None else FolderPlace(place.path.absolute())


def paths_of(*places: Place) -> list[Path]:
    """Give the folders of those places that are folders."""
    return [place.path for place in places if place.path is not None]
