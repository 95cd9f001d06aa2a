"""Stores fit for loading: of the right kind, on one grid, with every scan; and one scan of them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped

from ctprep.store.errors import (
    PlaceError,
    RecipeError,
    StoreError,
    StoreMismatchError,
    located,
)
from ctprep.store.store import VolumeStore

Volume = Shaped[np.ndarray, "slice row column"]


def stores_by_kind(
    scan_ids: Sequence[str], gray_store: VolumeStore | None, hu_store: VolumeStore | None
) -> dict[str, VolumeStore]:
    """Check the stores a loader is given.

    Args:
        scan_ids: the scans that are to be loaded.
        gray_store: JPEG store.
        hu_store: hi-fi store.

    Returns:
        The stores that were given, by kind.

    Raises:
        RecipeError: there is none.
        StoreError: scans are missing from a store.
        StoreMismatchError: a store is of the wrong kind, or the two differ in their grid.
    """
    given = (("jpeg", gray_store), ("hifi", hu_store))
    stores = {kind: store for kind, store in given if store is not None}
    if not stores:
        raise RecipeError("there is no store to load from", mend="name a JPEG or a hi-fi store")
    for kind, store in stores.items():
        if store.attributes.kind != kind:
            raise StoreMismatchError(
                f"{store.name} is a {store.attributes.kind} store, wanted is {kind}",
                mend="exchange the two stores, or name the other one",
            )
        present = set(store.scan_ids())
        missing = [scan_id for scan_id in scan_ids if scan_id not in present]
        if missing:
            raise StoreError(
                f"{len(missing)} of {len(scan_ids)} scans are not in the {kind} store, the first "
                f"are {', '.join(missing[:5])}",
                mend=f"finish that store (ctprep {'compress' if kind == 'jpeg' else 'ingest'}), "
                "or take these scans out of the scan table",
                where=store.name,
            )
    if gray_store is not None and hu_store is not None:
        _check_same_grid(gray_store, hu_store)
    return stores


def _check_same_grid(gray_store: VolumeStore, hu_store: VolumeStore) -> None:
    gray, hu = gray_store.attributes.grid, hu_store.attributes.grid
    if (gray.shape, gray.spacing_mm) != (hu.shape, hu.spacing_mm):
        raise StoreMismatchError(
            f"the JPEG store has {gray.shape} voxels of {gray.spacing_mm} mm, the hi-fi store "
            f"{hu.shape} of {hu.spacing_mm} mm",
            mend="make the JPEG store from this hi-fi store: ctprep compress",
            where=f"{gray_store.name}, {hu_store.name}",
        )


def read_scan(scan_id: str, targets: Sequence[tuple[VolumeStore, Volume]]) -> None:
    """Read a scan's volumes.

    Args:
        scan_id: the scan.
        targets: each store with the array to fill.

    Raises:
        StoreError: a volume is damaged, or its disk fails.
        PlaceError: the bucket of a store cannot be reached.
    """
    try:
        with located(scan_id):
            for store, out in targets:
                store.read(scan_id, out=out)
    except PlaceError:
        raise
    except OSError as error:
        raise StoreError(
            f"it cannot be read: {error.strerror or error}",
            mend="look at the disk, and at the store: ctprep verify",
            where=scan_id,
        ) from error
    except Exception as error:
        error.add_note(f"while reading scan {scan_id}")
        raise
