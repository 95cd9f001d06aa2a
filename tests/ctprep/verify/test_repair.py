"""Repair loses nothing, and brings the store back."""

import json
import shutil
from pathlib import Path

import pytest

from ctprep.ingest import ingest
from ctprep.store.errors import StoreError, StoreMismatchError
from ctprep.store.store import VolumeStore
from ctprep.verify.verify import verify_store
from tests.ctprep.verify.damage import KEY, SHARD, files_of, flip, verdicts


def ingest_again(place: Path, tiny_grid) -> None:
    """Run the ingest that made the hi-fi store."""
    list(ingest(place / "source", place / "hifi.zarr", grid=tiny_grid, key=KEY))


def test_whatever_does_not_belong_there_is_found_and_moved(place) -> None:
    """Nothing of it is lost, and nothing of the store is touched."""
    store, before = place / "hifi.zarr", files_of(place / "hifi.zarr")
    (store / "notes.txt").write_text("mine")
    (store / "scan-0/0/c/0/0/1").write_text("stray")
    (store / "scan-1/sub").mkdir()
    (store / "void/deep").mkdir(parents=True)
    (store / ".partial/scan-5~0123~new").mkdir(parents=True)
    (store / ".partial/scan-5~0123~new/zarr.json").write_text("half")

    found = list(verify_store(store))
    assert sorted(f.verdict for f in found if f.verdict != "sound") == [
        "empty",
        "leftover",
        "unknown",
        "unknown-file",
        "unknown-file",
    ]
    assert all(finding.settled for finding in verify_store(store, repair=True))
    assert files_of(store) == before
    assert verdicts(verify_store(store)) == {}
    moved = files_of(place / "hifi.quarantine")
    assert moved["notes.txt~1"] == b"mine"
    assert moved["scan-0~0~c~0~0~1~1"] == b"stray"


def test_the_only_copy_of_a_volume_is_put_back(place) -> None:
    """A writer was killed between two renames: the old volume lies aside."""
    store, before = place / "hifi.zarr", files_of(place / "hifi.zarr")
    (store / ".partial").mkdir()
    (store / "scan-1").rename(store / ".partial/scan-1~0123~old")

    found = verdicts(verify_store(store))
    assert found == {None: "leftover", "scan-1": "missing"}
    assert all(finding.settled for finding in verify_store(store, repair=True))
    assert files_of(store) == before


def damage(store: Path) -> None:
    """One volume with a flipped byte, one without a file, one gone, and the catalog cut short."""
    flip(store / "scan-0" / SHARD, 5)
    (store / "scan-1/zarr.json").unlink()
    shutil.rmtree(store / "scan-2")
    catalog = store / "catalog.parquet"
    catalog.write_bytes(catalog.read_bytes()[:-1])


def test_after_repair_ingest_makes_a_clean_store(place, made, tiny_grid) -> None:
    """Byte for byte, and the damaged volumes are still there beside it."""
    damage(place / "hifi.zarr")

    findings = {f.scan_id: f for f in verify_store(place / "hifi.zarr", repair=True)}
    ingest_again(place, tiny_grid)

    assert findings["scan-0"].mended == "moved to hifi.quarantine/scan-0~1"
    # It is moved already, so only the making is left to do.
    assert str(findings["scan-0"].mend).startswith("run `ctprep ingest ")
    assert "ctprep ingest SOURCE hifi.zarr" in findings["scan-1"].mend
    assert not findings["scan-0"].settled
    assert files_of(place / "hifi.zarr") == files_of(made / "hifi.zarr")
    assert (place / "hifi.quarantine/scan-1~1/0/zarr.json").is_file()
    lines = (place / "hifi.quarantine/findings.jsonl").read_text().splitlines()
    assert [json.loads(line)["scan_id"] for line in lines][:2] == ["scan-1", "scan-0"]


def test_repair_makes_jpeg_volumes_again(place, made) -> None:
    """From the hi-fi store, byte for byte; also one that only the catalog still knows."""
    change_back = (place / "jpeg.zarr/catalog.parquet").read_bytes()
    damage(place / "jpeg.zarr")
    (place / "jpeg.zarr/catalog.parquet").write_bytes(change_back)

    findings = list(verify_store(place / "jpeg.zarr", repair=True, hifi=place / "hifi.zarr"))

    assert all(finding.settled for finding in findings)
    assert files_of(place / "jpeg.zarr") == files_of(made / "jpeg.zarr")


def test_repair_makes_again_only_what_was_lost(place) -> None:
    """A patient deleted from the JPEG store alone does not come back."""
    store = VolumeStore.open(place / "jpeg.zarr")
    store.remove("scan-2")
    store.write_catalog()
    flip(store.path / "scan-0" / SHARD)

    list(verify_store(store.path, repair=True, hifi=place / "hifi.zarr"))

    assert store.scan_ids() == ("scan-0", "scan-1")


def test_what_cannot_be_made_again_is_left_open(place) -> None:
    """The hi-fi volume is damaged itself."""
    flip(place / "jpeg.zarr/scan-0" / SHARD)
    flip(place / "hifi.zarr/scan-0" / SHARD)

    findings = verify_store(place / "jpeg.zarr", repair=True, hifi=place / "hifi.zarr")
    (finding,) = [f for f in findings if not f.settled]

    assert finding.scan_id == "scan-0"
    assert finding.mended.startswith("moved to jpeg.quarantine/scan-0~1; but")


def test_a_store_to_restore_from_must_fit(place) -> None:
    """A hi-fi store is not made from another, and restoring is a repair."""
    with pytest.raises(StoreMismatchError, match="not made from"):
        list(verify_store(place / "hifi.zarr", repair=True, hifi=place / "hifi.zarr"))
    with pytest.raises(StoreMismatchError, match="jpeg store where a hifi"):
        list(verify_store(place / "jpeg.zarr", repair=True, hifi=place / "jpeg.zarr"))
    with pytest.raises(StoreError, match="no repair"):
        list(verify_store(place / "jpeg.zarr", hifi=place / "hifi.zarr"))
