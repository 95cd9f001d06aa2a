"""A corpus on disk: volumes of one grid in a Zarr group, each written whole or not at all."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from jaxtyping import Shaped
from pydantic import BaseModel, ValidationError

from ctprep.store.attributes import FORMAT_VERSION, Kind, StoreAttributes, VolumeAttributes
from ctprep.store.catalog import build_catalog, read_catalog
from ctprep.store.chunks import decode_chunks, encode_chunks
from ctprep.store.columns import write_atomically
from ctprep.store.commit import clean, create_file, remove_folder, write_folder
from ctprep.store.errors import StoreError, StoreMismatchError, StoreVersionError, located
from ctprep.store.layout import (
    ARRAY,
    CATALOG,
    DTYPE,
    METADATA,
    OURS,
    SHARD,
    array_document,
    check_scan_id,
    chunk_slices,
    group_document,
    volume_document,
)
from ctprep.store.reader import read_layout, read_volume
from ctprep.store.shard import checksum, join_chunks

Model = TypeVar("Model", bound=BaseModel)
Describe = Callable[[Shaped[np.ndarray, "slice row column"], int], VolumeAttributes]
"""Gives the attributes of a volume, from its voxels as decoded and the bytes of its shard."""

REPLACED_WAIT_S = 0.02
"""How long a reader waits for a volume that is just being replaced."""


class VolumeStore:
    """A corpus on disk; threads and processes may read and write it at once.

    Args:
        path: folder of the store.
        attributes: what holds for every volume.
    """

    def __init__(self, path: Path, attributes: StoreAttributes) -> None:
        self.path = path
        self.attributes = attributes

    @classmethod
    def create(cls, path: Path, attributes: StoreAttributes) -> "VolumeStore":
        """Make a store, or open the one that is there if its parameters are the same.

        What killed writers have left in it is removed.

        Args:
            path: folder to make; its parents are made too.
            attributes: of the store; `versions` may differ from those of an existing one.

        Raises:
            StoreError: the path is a file, or a folder with something else in it.
            StoreMismatchError: the store there differs; each differing field is named.
            StoreVersionError: the store there is of another format version.
        """
        chunk_slices(attributes.grid.shape)
        document = group_document({OURS: attributes.model_dump(mode="json")})
        with located(path.name):
            _make_folder(path)
            if create_file(path / METADATA, document):
                return cls(path, attributes)
        store = cls.open(path)
        with located(path.name):
            _check_same(store.attributes, attributes)
        clean(path)
        return store

    @classmethod
    def open(cls, path: Path, *, kind: Kind | None = None) -> "VolumeStore":
        """Open a store.

        Args:
            path: its folder.
            kind: what the store must hold.

        Raises:
            StoreError: there is no store.
            StoreVersionError: it is of another format version.
            StoreMismatchError: it is of the other kind.
        """
        with located(path.name):
            attributes = _read_attributes(path)
            if kind is not None and attributes.kind != kind:
                raise StoreMismatchError(
                    f"a {attributes.kind} store where a {kind} store is needed",
                    mend=f"give the path of a {kind} store",
                )
        return cls(path, attributes)

    def scan_ids(self) -> tuple[str, ...]:
        """Give the ids of all volumes, sorted."""
        return tuple(sorted(entry.name for entry in self.path.iterdir() if entry.name in self))

    def __contains__(self, scan_id: str) -> bool:
        """Tell whether a volume is there."""
        try:
            return (self._volume(scan_id) / METADATA).is_file()
        except StoreError:
            return False

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
            target = self._volume(scan_id)
            self._check_voxels(voxels)
            kind, grid, quality = (
                self.attributes.kind,
                self.attributes.grid,
                self.attributes.quality,
            )
            chunks = encode_chunks(voxels, kind, chunk_slices(grid.shape), quality)
            checksums = [None if chunk is None else checksum(chunk) for chunk in chunks]
            shard = join_chunks(chunks)
            if not isinstance(attributes, VolumeAttributes):
                decoded = np.empty(grid.shape, DTYPE[kind])
                decode_chunks(chunks, kind, decoded)
                attributes = attributes(decoded, len(shard))
            _check_own(scan_id, attributes)
            files = {
                f"{ARRAY}/{SHARD}": shard,
                f"{ARRAY}/{METADATA}": array_document(kind, grid, quality, checksums),
                METADATA: volume_document(attributes, self.attributes),
            }
            write_folder(self.path, target.name, files)
        return len(shard)

    def _check_voxels(self, voxels: Shaped[np.ndarray, "..."]) -> None:
        kind, shape = self.attributes.kind, self.attributes.grid.shape
        if voxels.dtype != DTYPE[kind] or voxels.shape != shape:
            raise StoreError(
                f"voxels of shape {voxels.shape} and type {voxels.dtype} do not fit a {kind} store "
                f"of {shape} and {DTYPE[kind]}",
                mend="bring the volume to the store's grid and type first",
            )

    def read(
        self,
        scan_id: str,
        *,
        out: Shaped[np.ndarray, "slice row column"] | None = None,
        threads: int = 1,
    ) -> Shaped[np.ndarray, "slice row column"]:
        """Read the voxels of a volume, every chunk checked against its checksum.

        Args:
            scan_id: of the volume.
            out: contiguous array of the grid's shape to fill; a new one by default.
            threads: that decode at once.

        Returns:
            `out`: uint8 gray levels of a JPEG store, or int16 HU of a hi-fi store.

        Raises:
            StoreError: there is no such volume, it is damaged, or `out` does not fit.
        """
        before = self._identity(scan_id)
        try:
            return self._read(scan_id, out, threads)
        except StoreError:
            # A writer may have put a new volume in place between two of our reads.
            time.sleep(REPLACED_WAIT_S)
            if self._identity(scan_id) == before:
                raise
            return self._read(scan_id, out, threads)

    def _read(
        self, scan_id: str, out: Shaped[np.ndarray, "slice row column"] | None, threads: int
    ) -> Shaped[np.ndarray, "slice row column"]:
        volume = self._existing(scan_id)
        with located(scan_id):
            shape = read_layout(volume).shape
            # Before memory is asked for: a damaged shape may be any.
            if shape != self.attributes.grid.shape:
                raise StoreError(
                    f"its array is of shape {shape}, the store's grid {self.attributes.grid.shape}",
                    mend="the volume is damaged: make it again",
                )
        return read_volume(volume, out=out, threads=threads)

    def read_attributes(self, scan_id: str) -> VolumeAttributes:
        """Read what a volume says about itself.

        Raises:
            StoreError: there is no such volume, or its attributes are damaged.
        """
        with located(scan_id):
            ours = _read_ours(self._existing(scan_id))
            return _validated(VolumeAttributes, ours)

    def remove(self, scan_id: str) -> None:
        """Remove a volume; the catalog is not rebuilt.

        Raises:
            StoreError: there is no such volume.
        """
        with located(scan_id):
            try:
                remove_folder(self.path, self._existing(scan_id).name)
            except FileNotFoundError as error:
                raise _absent() from error

    def write_catalog(self) -> pa.Table:
        """Build the catalog from the volumes, and write it whole or not at all.

        Returns:
            The catalog, a row a volume, sorted by scan id; the columns of `CATALOG_SCHEMA`.
        """
        table, encoded = build_catalog(
            (self.read_attributes(scan_id), (self.path / scan_id / ARRAY / SHARD).stat().st_size)
            for scan_id in self.scan_ids()
        )
        write_atomically(self.path / CATALOG, encoded)
        return table

    def catalog(self) -> pa.Table:
        """Read the catalog.

        Raises:
            StoreError: it is missing or damaged.
        """
        return read_catalog(self.path / CATALOG)

    def _volume(self, scan_id: str) -> Path:
        return self.path / check_scan_id(scan_id)

    def _existing(self, scan_id: str) -> Path:
        with located(scan_id):
            volume = self._volume(scan_id)
            if not volume.is_dir():
                raise _absent()
        return volume

    def _identity(self, scan_id: str) -> int | None:
        with located(scan_id):
            try:
                return self._volume(scan_id).stat().st_ino
            except FileNotFoundError:
                return None


def _check_own(scan_id: str, attributes: VolumeAttributes) -> None:
    if attributes.scan_id != scan_id:
        raise StoreError(
            f"the attributes are those of scan {attributes.scan_id!r}",
            mend="write a volume with its own attributes",
        )


def _absent() -> StoreError:
    return StoreError(
        "the store has no such volume", mend="choose one of the store's scan ids, or ingest it"
    )


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise StoreError("a file is in the way", mend="choose another path") from error
    # Listed before asking for metadata: another process may just be making the same store.
    others = [entry.name for entry in path.iterdir() if not entry.name.startswith(".")]
    if others and not (path / METADATA).is_file():
        raise StoreError(
            f"the folder holds other things, such as {min(others)!r}",
            mend="choose an empty folder, or a new one",
        )


def _read_ours(folder: Path) -> dict[str, Any]:
    try:
        document = json.loads((folder / METADATA).read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreError(f"there is no {METADATA} here", mend="check the path") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"its {METADATA} is not JSON", mend="make it again") from error
    attributes = document.get("attributes") if isinstance(document, dict) else None
    ours = attributes.get(OURS) if isinstance(attributes, dict) else None
    if not isinstance(ours, dict):
        raise StoreError("not a ctprep store", mend="give a store that ctprep has written")
    return ours


def _read_attributes(path: Path) -> StoreAttributes:
    ours = _read_ours(path)
    version = ours.get("format_version")
    if version is not None and version != FORMAT_VERSION:
        raise StoreVersionError(
            f"format version {version!r}, where this program knows {FORMAT_VERSION!r}",
            mend="install the ctprep that wrote it, or make the store again",
        )
    return _validated(StoreAttributes, ours)


def _validated(model: type[Model], values: dict[str, Any]) -> Model:
    try:
        return model.model_validate_json(json.dumps(values))
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
        )
        raise StoreError(f"its attributes are not valid: {faults}", mend="make it again") from error


def _check_same(found: StoreAttributes, wanted: StoreAttributes) -> None:
    here, there = _flat(wanted.model_dump()), _flat(found.model_dump())
    differing = [
        f"{name} is {there.get(name)!r}, not {here.get(name)!r}"
        for name in here | there
        if here.get(name) != there.get(name)
    ]
    if differing:
        raise StoreMismatchError(
            f"a store with other parameters is there: {'; '.join(differing)}",
            mend="use the same parameters, or write to another store",
        )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if name == "versions":
            continue
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
