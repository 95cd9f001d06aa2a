"""Fingerprints spare a second reading, and never claim what they do not know."""

import hashlib
import os
from pathlib import Path

import pytest

from ctprep.fingerprints import Fingerprints, fingerprint_files, hash_files
from ctprep.sources.files import SourceFile
from ctprep.store.errors import SourceError


def _files(*paths: Path) -> list[SourceFile]:
    return [SourceFile(path.name, path) for path in paths]


def test_a_change_of_size_or_time_changes_the_fingerprint(tmp_path: Path) -> None:
    """Untouched files keep it, in any order; a touched or grown file does not."""
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"one")
    b.write_bytes(b"two")
    before = fingerprint_files(_files(a, b))

    assert fingerprint_files(_files(b, a)) == before
    os.utime(a, ns=(1, 1))
    touched = fingerprint_files(_files(a, b))
    assert touched != before
    b.write_bytes(b"longer")
    assert fingerprint_files(_files(a, b)) not in (before, touched)


def test_what_was_remembered_matches_in_the_next_run(tmp_path: Path) -> None:
    """Also when the run was killed in the middle of a line."""
    store = tmp_path / "hifi.zarr"
    known = Fingerprints(store)
    known.remember("scan-1", "print", ["aa", "bb"], "o-1")
    with (tmp_path / "hifi.fingerprints.jsonl").open("a") as file:
        file.write('["scan-2", "pri')

    later = Fingerprints(store)

    assert later.match("scan-1", "print", ["aa", "bb"])
    assert not later.match("scan-1", "other", ["aa", "bb"])
    assert not later.match("scan-1", "print", ["aa", "cc"])
    assert not later.match("scan-2", "pri", [])


def test_tidy_leaves_a_line_a_volume(tmp_path: Path) -> None:
    """The file does not grow with the number of runs."""
    known = Fingerprints(tmp_path / "hifi.zarr")
    for number in range(5):
        known.remember("scan-1", str(number), ["aa"], None)
    known.tidy()

    assert len((tmp_path / "hifi.fingerprints.jsonl").read_text().splitlines()) == 1
    assert Fingerprints(tmp_path / "hifi.zarr").match("scan-1", "4", ["aa"])


def test_hashes_are_sha256_in_the_order_given(tmp_path: Path) -> None:
    """By hand from the content; a file that is gone is an error of the source."""
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"one")
    b.write_bytes(b"two")
    expected = tuple(hashlib.sha256(content).hexdigest() for content in (b"two", b"one"))

    assert hash_files(_files(b, a)) == expected
    with pytest.raises(SourceError, match="No such file"):
        hash_files(_files(tmp_path / "gone"))
    with pytest.raises(SourceError, match="No such file"):
        fingerprint_files(_files(tmp_path / "gone"))
