"""Pseudonyms are stable under one key, unlike under another, and the key is kept well."""

import hashlib
import hmac
from pathlib import Path

import pytest

from ctprep.pseudonym import KeyFileError, load_key, patient_pseudonym, scan_pseudonym

KEY = b"0123456789abcdef"


def test_pseudonyms_are_the_keyed_hash() -> None:
    """By hand from RFC 2104: the first 80 bits of HMAC-SHA256."""
    digest = hmac.new(KEY, b"1.2.840.1", hashlib.sha256).hexdigest()

    assert scan_pseudonym(KEY, "1.2.840.1") == "ct-" + digest[:20]
    assert patient_pseudonym(KEY, "1.2.840.1") == "p-" + digest[:20]
    assert scan_pseudonym(KEY + b"!", "1.2.840.1") != scan_pseudonym(KEY, "1.2.840.1")


def test_a_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    """The second run finds the key of the first, in a file of mode 0600."""
    first = load_key(store=tmp_path / "deep" / "hifi.zarr", env={})
    again = load_key(store=tmp_path / "deep" / "hifi.zarr", env={})

    (made,) = (tmp_path / "deep").iterdir()
    assert first == again
    assert len(first) == 64
    assert made.name == "hifi.key"
    assert made.stat().st_mode & 0o777 == 0o600


def test_each_corpus_has_its_own_key(tmp_path: Path) -> None:
    """Two stores do not share pseudonyms unless they are told to."""
    assert load_key(store=tmp_path / "a", env={}) != load_key(store=tmp_path / "b", env={})


def test_file_goes_before_variable_before_the_one_beside_the_store(tmp_path: Path) -> None:
    """What is asked for most directly is taken."""
    store, given = tmp_path / "hifi.zarr", tmp_path / "given.key"
    given.write_text("from-the-given-file\n")
    beside = load_key(store=store, env={})
    env = {"CTPREP_PSEUDONYM_KEY": "from-the-environment"}

    assert load_key(given, store=store, env=env) == b"from-the-given-file"
    assert load_key(store=store, env=env) == b"from-the-environment"
    assert load_key(store=store, env={}) == beside


def test_a_dry_run_leaves_no_key(tmp_path: Path) -> None:
    """A key for one run is not written."""
    assert len(load_key(store=tmp_path / "hifi.zarr", env={}, create=False)) == 64
    assert list(tmp_path.iterdir()) == []


def test_a_short_or_absent_key_is_an_error_with_a_mend(tmp_path: Path) -> None:
    """A key that can be guessed protects nobody; the error does not show the key."""
    short = tmp_path / "short.key"
    short.write_text("hunter2\n")

    with pytest.raises(KeyFileError, match="7 bytes") as caught:
        load_key(short, store=tmp_path / "hifi.zarr", env={})
    assert "openssl" in caught.value.mend
    assert "hunter2" not in str(caught.value)
    with pytest.raises(KeyFileError, match="No such file"):
        load_key(tmp_path / "none.key", store=tmp_path / "hifi.zarr", env={})
    with pytest.raises(KeyFileError, match="0 bytes"):
        load_key(store=tmp_path / "hifi.zarr", env={"CTPREP_PSEUDONYM_KEY": " "})
