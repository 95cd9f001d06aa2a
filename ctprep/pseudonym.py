"""Pseudonyms: what stands for a series or a patient, under a key that only the user holds."""

import fcntl
import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from ctprep.report import beside
from ctprep.store.disk import writing
from ctprep.store.errors import CtError
from ctprep.store.names import name_bytes
from ctprep.store.place import Where, find_place

KEY_VARIABLE = "CTPREP_PSEUDONYM_KEY"
KEY_BYTES_MIN = 16
PSEUDONYM_DIGITS = 20


class KeyFileError(CtError, ValueError):
    """The key of the pseudonyms cannot be used."""


def scan_pseudonym(key: bytes, identifier: str) -> str:
    """Give the scan id of a DICOM series.

    Args:
        key: secret of the corpus.
        identifier: the SeriesInstanceUID, and what else sets the volume apart.

    Returns:
        `ct-` and 80 bits of the keyed hash, in hexadecimal.

    Source:
        RFC 2104 (HMAC) with SHA-256.
    """
    return "ct-" + _keyed_hash(key, identifier)


def patient_pseudonym(key: bytes, identifier: str) -> str:
    """Give what stands for a patient: `p-` and 80 bits of the keyed hash, in hexadecimal."""
    return "p-" + _keyed_hash(key, identifier)


def origin_pseudonym(key: bytes, place: Path) -> str:
    """Give what stands for where a scan lies: `o-` and 80 bits of the keyed hash."""
    return "o-" + _keyed_hash(key, str(place))


def _keyed_hash(key: bytes, identifier: str) -> str:
    return hmac.new(key, name_bytes(identifier), hashlib.sha256).hexdigest()[:PSEUDONYM_DIGITS]


def load_key(
    key_file: Path | None = None,
    *,
    store: Where,
    env: Mapping[str, str] = os.environ,
    create: bool = True,
) -> bytes:
    """Find the key of a corpus, or make one.

    The file given comes first, then the variable `CTPREP_PSEUDONYM_KEY`, then the file that an
    earlier run left beside the store; else a key is made and left there, readable by its owner.
    For a store in a bucket the key must be given: whoever reads the bucket must not find it there.

    Args:
        key_file: text file with the key; blanks at its ends are dropped.
        store: the store, with whose name the file beside it begins.
        env: environment to look into.
        create: False writes nothing, and gives a key for this run alone (dry runs).

    Raises:
        KeyFileError: the file is not there, the key is shorter than 16 bytes, or the store is in
            a bucket and none is given.
        PlaceError: the key cannot be written.
    """
    if key_file is not None:
        return _read_key(key_file)
    if KEY_VARIABLE in env:
        return _check_key(env[KEY_VARIABLE].strip().encode(), KEY_VARIABLE)
    place = find_place(store)
    if place.path is None:
        raise KeyFileError(
            "the key of the pseudonyms is never kept in a bucket, and none was given",
            mend=f"give --key-file FILE, or set {KEY_VARIABLE}, the same for every run into this "
            "store; `openssl rand -hex 32` makes one",
            where=place.name,
        )
    beside_store = beside(place, ".key")
    if beside_store.exists():
        return _read_key(beside_store)
    if not create:
        return secrets.token_hex(32).encode()
    with writing(beside_store.name):
        return _make_key(beside_store)


def _make_key(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Always the same name, so that a killed run's is used up by the next.
    draft = path.with_name(f".{path.name}.partial")
    # Made unreadable to others from its first byte, not after it was written.
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_RDWR, 0o600), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if path.exists():
            # Another run was faster.
            draft.unlink(missing_ok=True)
            return _read_key(path)
        file.truncate()
        key = secrets.token_hex(32)
        file.write(key + "\n")
        file.flush()
        os.fsync(file.fileno())
        draft.replace(path)
    return key.encode()


def _read_key(path: Path) -> bytes:
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise KeyFileError(
            f"the key file cannot be read: {error.strerror}",
            mend="give the key file of the earlier runs, or leave --key-file out to have one made",
            where=path.name,
        ) from error
    return _check_key(key, path.name)


def _check_key(key: bytes, where: str) -> bytes:
    if len(key) < KEY_BYTES_MIN:
        raise KeyFileError(
            f"the key has {len(key)} bytes, too few to resist guessing",
            mend=f"use at least {KEY_BYTES_MIN}, for example from `openssl rand -hex 32`",
            where=where,
        )
    return key
