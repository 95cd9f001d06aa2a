"""A corpus: volumes of one grid in a Zarr group, each written whole or not at all."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Shaped

from ctprep.store.attributes import Kind, StoreAttributes, VolumeAttributes
from ctprep.store.catalog import CATALOG_MEND, read_catalog
from ctprep.store.cataloging import write_catalog
from ctprep.store.documents import check_same, read_group, read_store_attributes, validated
from ctprep.store.errors import StoreError, StoreMismatchError, located
from ctprep.store.layout import (
    ARRAY,
    CATALOG,
    METADATA,
    OURS,
    TWO_WRITERS,
    check_scan_id,
    chunk_slices,
    group_document,
    is_bound,
    is_scan_id,
)
from ctprep.store.place import Place, Where, find_place
from ctprep.store.reader import read_volume
from ctprep.store.writer import SHARD_FILE, Describe, volume_files

REPLACED_WAIT_S = 0.02
"""How long a reader waits for a volume that is just being replaced."""


class VolumeStore:
    """A corpus in a folder or a bucket; threads and processes may read and write it at once.

    Args:
        place: where the store lives.
        attributes: what holds for every volume.
    """

    def __init__(self, place: Place, attributes: StoreAttributes) -> None:
        self.place = place
        self.attributes = attributes
        self._known: set[str] = set()
        """Volumes that were there when last looked for, which saves looking at each reading."""

    def __reduce__(self) -> tuple[type["VolumeStore"], tuple[Place, StoreAttributes]]:
        # Which volumes are there may be long, and another process finds out for itself.
        return VolumeStore, (self.place, self.attributes)

    @classmethod
    def create(cls, where: Where, attributes: StoreAttributes) -> "VolumeStore":
        """Make a store, or open the one that is there if its parameters are the same.

        What killed writers have left in it is removed.

        Args:
            where: folder to make, with its parents, or URL of a bucket that exists and the path in
                it.
            attributes: of the store; `versions` may differ from those of an existing one.

        Raises:
            StoreError: the path is a file, or a folder with something else in it.
            StoreMismatchError: the store there differs; each differing field is named.
            StoreVersionError: the store there is of another format version.
            PlaceError: the bucket cannot be reached.
        """
        chunk_slices(attributes.grid.shape)
        document = group_document({OURS: attributes.model_dump(mode="json")})
        place = find_place(where)
        made = False
        with located(place.name):
            if not place.has(METADATA):
                _check_free(place)
                made = place.create(METADATA, document)
        store = cls(place, attributes) if made else cls.open(place)
        with located(place.name):
            check_same(store.attributes, attributes)
        # Also where it is new: an earlier run may have been killed before there was a store.
        place.clean()
        return store

    @classmethod
    def look(cls, where: Where, attributes: StoreAttributes) -> "VolumeStore | None":
        """Open what `create` would open, and write nothing.

        Returns:
            The store; None where `create` would make it.

        Raises:
            StoreError: as `create`.
        """
        place = find_place(where)
        with located(place.name):
            if not place.has(METADATA):
                if place.exists():
                    _check_free(place)
                return None
        store = cls.open(place)
        with located(place.name):
            check_same(store.attributes, attributes)
        return store

    @classmethod
    def open(cls, where: Where, *, kind: Kind | None = None) -> "VolumeStore":
        """Open a store.

        Args:
            where: its folder, or its URL in a bucket.
            kind: what the store must hold.

        Raises:
            StoreError: there is no store.
            StoreVersionError: it is of another format version.
            StoreMismatchError: it is of the other kind.
            PlaceError: the bucket cannot be reached.
        """
        place = find_place(where)
        with located(place.name):
            attributes = read_store_attributes(place)
            if kind is not None and attributes.kind != kind:
                raise StoreMismatchError(
                    f"a {attributes.kind} store where a {kind} store is needed",
                    mend=f"give the path of a {kind} store",
                )
        return cls(place, attributes)

    @property
    def name(self) -> str:
        """The last part of where the store lives, as errors show it."""
        return self.place.name

    @property
    def url(self) -> str:
        """What the store can be opened by again: its path as given, or its URL."""
        return self.place.url

    @property
    def path(self) -> Path:
        """Its folder.

        Raises:
            StoreError: it lives in a bucket.
        """
        if self.place.path is None:
            raise StoreError(
                "a store in a bucket is no folder",
                mend="copy it to a disk first",
                where=self.name,
            )
        return self.place.path

    def scan_ids(self) -> tuple[str, ...]:
        """Give the ids of all volumes, sorted; none of them is opened."""
        self._known = {name for name in self.place.volumes() if is_scan_id(name)}
        return tuple(sorted(self._known))

    def __contains__(self, scan_id: str) -> bool:
        """Tell whether a volume is there."""
        return is_scan_id(scan_id) and self.place.has(f"{scan_id}/{METADATA}")

    def write(
        self,
        scan_id: str,
        voxels: Shaped[np.ndarray, "slice row column"],
        attributes: VolumeAttributes | Describe,
    ) -> int:
        """Write a volume, in place of one of the same id.

        Args:
            scan_id: slug of the volume.
            voxels: uint8 gray levels for a JPEG store, int16 HU for a hi-fi store, on its grid.
            attributes: of the volume; or a function that gives them, once it is told what a
                reader will decode and the bytes of the shard.

        Returns:
            Bytes of the volume's shard.

        Raises:
            StoreError: the id is not allowed, or the voxels or attributes do not fit the store.
        """
        with located(scan_id):
            check_scan_id(scan_id)
            files = volume_files(scan_id, voxels, attributes, self.attributes)
            self.place.write_volume(scan_id, files)
        return len(files[SHARD_FILE])

    def read(
        self,
        scan_id: str,
        *,
        slices: tuple[int, int] | None = None,
        out: Shaped[np.ndarray, "slice row column"] | None = None,
        threads: int = 1,
    ) -> Shaped[np.ndarray, "slice row column"]:
        """Read the voxels of a volume, every chunk that is read checked against its checksum.

        Args:
            scan_id: of the volume.
            slices: begin and end of the slices to read, and no more of the shard than holds them;
                all of them by default.
            out: contiguous array of the shape of what is read, to fill; a new one by default.
            threads: that decode at once.

        Returns:
            `out`: uint8 gray levels of a JPEG store, or int16 HU of a hi-fi store.

        Raises:
            StoreError: there is no such volume, it is damaged, or `slices` or `out` do not fit.
            PlaceError: the bucket cannot be reached.
        """
        with located(scan_id):
            try:
                return self._read(scan_id, slices, out, threads)
            except StoreError:
                # A writer may have put a new volume in place between two of our reads.
                time.sleep(REPLACED_WAIT_S)
                self._known.discard(scan_id)
                return self._read(scan_id, slices, out, threads)

    def _read(
        self,
        scan_id: str,
        slices: tuple[int, int] | None,
        out: Shaped[np.ndarray, "slice row column"] | None,
        threads: int,
    ) -> Shaped[np.ndarray, "slice row column"]:
        self._check_there(scan_id)
        expected = self.attributes.grid.shape
        return read_volume(
            self.place, scan_id, expected=expected, slices=slices, out=out, threads=threads
        )

    def read_attributes(self, scan_id: str) -> VolumeAttributes:
        """Read what a volume says about itself.

        Raises:
            StoreError: there is no such volume, or its attributes are damaged.
            PlaceError: the bucket cannot be reached.
        """
        with located(scan_id):
            try:
                group = read_group(self.place, f"{check_scan_id(scan_id)}/{METADATA}")
            except (FileNotFoundError, NotADirectoryError) as error:
                raise _absent() from error
            return validated(VolumeAttributes, group[OURS])

    def each_attributes(
        self, scan_ids: Sequence[str]
    ) -> Iterator[tuple[str, VolumeAttributes | StoreError]]:
        """Read what some volumes say about themselves, as many at once as the place is worth.

        Yields:
            Each scan id with its attributes, or with what `read_attributes` raises.

        Raises:
            PlaceError: the bucket cannot be reached.
        """

        def read(scan_id: str) -> VolumeAttributes | StoreError:
            try:
                return self.read_attributes(scan_id)
            except StoreError as error:
                return error

        if self.place.at_once == 1:
            yield from zip(scan_ids, map(read, scan_ids), strict=True)
            return
        with ThreadPoolExecutor(self.place.at_once) as executor:
            yield from zip(scan_ids, executor.map(read, scan_ids), strict=True)

    def check_bound(self, scan_id: str) -> None:
        """Check that what a volume says about itself was written with its voxels.

        Together with the checksums that `read` checks, it tells of every mixture of two writers.

        Raises:
            StoreError: there is no such volume, it is damaged, or it is of two writers.
        """
        with located(scan_id):
            try:
                group = read_group(self.place, f"{check_scan_id(scan_id)}/{METADATA}")
                array = self.place.read(f"{scan_id}/{ARRAY}/{METADATA}")
            except (FileNotFoundError, NotADirectoryError) as error:
                raise _absent() from error
            if is_bound(group, array) is False:
                raise StoreError(TWO_WRITERS, mend="make it again")

    def shard_bytes(self, scan_ids: Sequence[str]) -> list[int]:
        """Give the bytes of the shards of some volumes.

        Raises:
            StoreError: a volume has none.
        """
        try:
            return self.place.sizes([f"{scan_id}/{SHARD_FILE}" for scan_id in scan_ids])
        except FileNotFoundError as error:
            raise StoreError(
                "a volume has no shard", mend="make it again", where=self.name
            ) from error

    def remove(self, scan_id: str) -> None:
        """Remove a volume; the catalog is not rebuilt.

        Raises:
            StoreError: there is no such volume.
        """
        with located(scan_id):
            self._known.discard(scan_id)
            try:
                self.place.remove_volume(check_scan_id(scan_id))
            except FileNotFoundError as error:
                raise _absent() from error

    def write_catalog(self) -> tuple[StoreError, ...]:
        """Build the catalog from the volumes, and write it whole or not at all.

        It has a row a volume, sorted by scan id; the columns of `CATALOG_SCHEMA`.

        Returns:
            What is wrong with volumes that it cannot list, each with its scan id as `where`.
        """
        return write_catalog(self.place, self.each_attributes)

    def catalog(self) -> pa.Table:
        """Read the catalog.

        Raises:
            StoreError: it is missing or damaged.
        """
        with located(self.name):
            try:
                return read_catalog(self.place.read(CATALOG))
            except FileNotFoundError as error:
                raise StoreError("the store has no catalog", mend=CATALOG_MEND) from error

    def current_catalog(self) -> pa.Table:
        """Read the catalog, which has a row a volume, sorted by scan id.

        Raises:
            StoreError: it is missing, damaged, or not that of the volumes.
        """
        with located(self.name):
            catalog = self.catalog()
            if catalog.column("scan_id").to_pylist() != list(self.scan_ids()):
                raise StoreError(
                    "the catalog is not that of the volumes",
                    mend="run `ctprep ingest` or `ctprep compress` again: it is rebuilt at their "
                    "end",
                )
            return catalog

    def _check_there(self, scan_id: str) -> None:
        if scan_id in self._known:
            return
        if not self.place.has(f"{check_scan_id(scan_id)}/{METADATA}"):
            raise _absent()
        self._known.add(scan_id)


def _absent() -> StoreError:
    return StoreError(
        "the store has no such volume", mend="choose one of the store's scan ids, or ingest it"
    )


def _check_free(place: Place) -> None:
    # Listed before asking for metadata: another process may just be making the same store.
    others = [name for name in place.make() if not name.startswith(".")]
    if others and not place.has(METADATA):
        raise StoreError(
            f"the folder holds other things, such as {min(others)!r}",
            mend="choose an empty folder, or a new one",
        )
