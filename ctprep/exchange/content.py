"""What a store holds, in one SHA-256: of what its volumes say of themselves and of their voxels."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

from ctprep.store.errors import StoreError
from ctprep.store.layout import ARRAY, METADATA
from ctprep.store.store import VolumeStore


def digest_volumes(store: VolumeStore) -> str:
    """Hash the metadata of all volumes, in the order of their ids.

    An array's metadata hold the CRC-32C of each of its chunks, so another voxel is another digest,
    as far as a CRC can tell: it guards against mistakes, not against forgery. No voxel is read.

    Args:
        store: in a folder or a bucket.

    Returns:
        SHA-256 of a line a volume: its id, and the SHA-256 of its two `zarr.json`, of the group and
        of the array.

    Raises:
        StoreError: a volume lacks its metadata.
    """

    def line(scan_id: str) -> bytes:
        try:
            parts = [store.place.read(f"{scan_id}/{key}") for key in KEYS]
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StoreError(
                "the volume is damaged", mend="run `ctprep verify` on the store", where=scan_id
            ) from error
        digests = [hashlib.sha256(part).hexdigest() for part in parts]
        return f"{' '.join([scan_id, *digests])}\n".encode()

    whole = hashlib.sha256()
    with ThreadPoolExecutor(store.place.at_once) as executor:
        for own in executor.map(line, store.scan_ids()):
            whole.update(own)
    return whole.hexdigest()


KEYS = (METADATA, f"{ARRAY}/{METADATA}")
