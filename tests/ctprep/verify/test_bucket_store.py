"""A store in a bucket is verified and repaired like one in a folder."""

from datetime import timedelta
from pathlib import Path

import obstore
import pytest
from typer.testing import CliRunner

from cli.ctprep import app
from ctprep.jobs import VolumeJob
from ctprep.store import bucket_commit
from ctprep.store.bucket import BucketPlace
from ctprep.store.errors import PlaceError
from ctprep.store.store import VolumeStore
from ctprep.verify.finding import Finding
from ctprep.verify.verify import verify_store
from ctprep.verify.volume import verify_volume
from tests.ctprep.verify.damage import SHARD, files_of, verdicts


def objects_of(url: str) -> dict[str, bytes]:
    """Every object below a URL by its relative key."""
    store = obstore.store.from_url(url)
    return {
        meta["path"]: bytes(store.get(meta["path"]).bytes())
        for batch in store.list()
        for meta in batch
    }


@pytest.fixture
def there(place, bucket, tmp_path, monkeypatch) -> str:
    """URL below which both stores are, as they are in the folder; the current folder is another."""
    for name in ("hifi.zarr", "jpeg.zarr"):
        raw = obstore.store.from_url(f"{bucket}/x/{name}")
        for key, content in files_of(place / name).items():
            raw.put(key, content)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return f"{bucket}/x"


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every object be older than a writer may live."""
    monkeypatch.setattr(bucket_commit, "LEFTOVER_AGE", timedelta(days=-1))


def change(there: str, place: Path, name: str, changes: dict[str, bytes | None]) -> None:
    """Write or remove the same keys in the bucket and in the folder."""
    raw = obstore.store.from_url(f"{there}/{name}")
    for key, content in changes.items():
        file = place / name / key
        if content is None:
            raw.delete(key)
            file.unlink()
            # A bucket has no empty folders.
            for folder in file.parents:
                if any(folder.iterdir()):
                    break
                folder.rmdir()
        else:
            raw.put(key, content)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)


def told(finding: Finding) -> tuple[str | None, str, str | None, str | None]:
    """What does not depend on where the store is."""
    return finding.scan_id, finding.verdict, finding.what, finding.mended


def damages(place: Path) -> dict[str, bytes | None]:
    """A damaged shard, lost metadata, stray files of two kinds, a lost volume, and a catalog."""
    shard = (place / "jpeg.zarr/scan-0" / SHARD).read_bytes()
    gone = [f"scan-2/{key}" for key in files_of(place / "jpeg.zarr/scan-2")]
    return {
        f"scan-0/{SHARD}": shard[:-1],
        "scan-1/zarr.json": None,
        "scan-0/0/notes.txt": b"mine",
        "notes.txt": b"mine",
        "No Scan/notes.txt": b"mine",
        **dict.fromkeys(gone),
    }


@pytest.mark.parametrize("name", ["hifi.zarr", "jpeg.zarr"])
def test_a_store_as_it_was_written_is_sound(there, requests, name) -> None:
    """Every volume is told, and nothing else; a listing and four readings a volume."""
    findings: list[Finding] = []
    lines = requests.of(lambda: findings.extend(verify_store(f"{there}/{name}")))

    assert [(f.scan_id, f.verdict) for f in findings] == [(f"scan-{n}", "sound") for n in range(3)]
    volume = [line for line in lines if "scan-1" in line]
    assert all(line.startswith("GET ") for line in volume)
    # Its attributes once more, for the catalog.
    assert len(volume) == 6


def test_damage_is_told_as_in_a_folder(there, old, place) -> None:
    """Verdict by verdict and word by word, and nothing is changed."""
    change(there, place, "jpeg.zarr", damages(place))
    before = objects_of(there)

    found = {told(finding) for finding in verify_store(f"{there}/jpeg.zarr")}

    assert found == {told(finding) for finding in verify_store(place / "jpeg.zarr")}
    assert {verdict for _, verdict, _, _ in found} == {"damaged", "unknown", "missing"}
    assert objects_of(there) == before


def test_repair_does_what_it_does_in_a_folder(there, old, place) -> None:
    """Store and quarantine hold the same afterwards, and what was found is noted here."""
    change(there, place, "jpeg.zarr", damages(place))

    found = {told(finding) for finding in verify_store(f"{there}/jpeg.zarr", repair=True)}

    assert found == {told(finding) for finding in verify_store(place / "jpeg.zarr", repair=True)}
    assert objects_of(f"{there}/jpeg.zarr") == files_of(place / "jpeg.zarr")
    aside = files_of(place / "jpeg.quarantine")
    assert aside.pop("findings.jsonl")
    assert objects_of(f"{there}/jpeg.quarantine") == aside
    assert Path("jpeg.quarantine/findings.jsonl").is_file()
    assert verdicts(verify_store(f"{there}/jpeg.zarr")) == {}


def test_lost_volumes_are_made_again_from_a_bucket(there, old, place, made) -> None:
    """From its hi-fi store, byte for byte; a stray in a sound volume is moved away, twice."""
    change(there, place, "jpeg.zarr", damages(place))
    for _ in range(2):
        change(there, place, "jpeg.zarr", {"scan-1/notes.txt": b"mine"})
        findings = list(verify_store(f"{there}/jpeg.zarr", repair=True, hifi=f"{there}/hifi.zarr"))
        assert all(finding.settled for finding in findings)

    assert objects_of(f"{there}/jpeg.zarr") == files_of(made / "jpeg.zarr")
    assert "scan-1~notes.txt~1" in objects_of(f"{there}/jpeg.quarantine")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"catalog.parquet": None}, "no-catalog"),
        ({"catalog.parquet": b"PAR1"}, "catalog-damaged"),
        ({"zarr.json": b"{}"}, "store-altered"),
    ],
)
def test_what_is_of_the_store_itself(there, place, changes, expected) -> None:
    """The catalog is rebuilt; by altered metadata nothing can be judged."""
    if expected == "store-altered":
        document = (place / "hifi.zarr/zarr.json").read_bytes()
        changes = {"zarr.json": document.replace(b'"tiny"', b'"teny"')}
    change(there, place, "hifi.zarr", changes)
    store = f"{there}/hifi.zarr"

    assert verdicts(verify_store(store)) == {None: expected}
    settled = [f.settled for f in verify_store(store, repair=True) if f.verdict != "sound"]
    assert settled == [expected != "store-altered"]


def test_a_volume_of_a_writer_that_may_live_is_left_alone(there, place) -> None:
    """It is neither sound nor damaged, whether listing or reading has met it."""
    change(there, place, "hifi.zarr", {"scan-1/zarr.json": None})
    before = objects_of(f"{there}/hifi.zarr/scan-1")

    for repair in (False, True):
        found = verdicts(verify_store(f"{there}/hifi.zarr", repair=repair))
        assert found == {"scan-1": "not-verified"}
    assert objects_of(f"{there}/hifi.zarr/scan-1") == before
    item = verify_volume(VolumeJob("scan-1", 0), VolumeStore.open(f"{there}/hifi.zarr"))
    assert (item.verdict, item.mend) == ("in-work", "verify again when nobody writes to the store")


@pytest.mark.parametrize("key", [f"scan-1/{SHARD}", "catalog.parquet"])
def test_what_cannot_be_reached_is_not_damaged(there, monkeypatch, key) -> None:
    """The run ends with it; a repair would move every volume away."""
    plain = BucketPlace.read

    def lost(place: BucketPlace, asked: str) -> memoryview:
        if asked == key:
            raise PlaceError("the object store does not answer", mend="wait")
        return plain(place, asked)

    monkeypatch.setattr(BucketPlace, "read", lost)
    before = objects_of(f"{there}/hifi.zarr")

    with pytest.raises(PlaceError, match="does not answer"):
        list(verify_store(f"{there}/hifi.zarr", repair=True))
    assert objects_of(f"{there}/hifi.zarr") == before


def test_the_command_takes_a_bucket(there, old, place) -> None:
    """Exit codes 0 and 3, and the command that makes the volume again."""
    store = f"{there}/hifi.zarr"
    assert CliRunner().invoke(app, ["verify", store, "--workers", "1"]).exit_code == 0
    change(there, place, "hifi.zarr", {f"scan-1/{SHARD}": b"short"})

    result = CliRunner().invoke(app, ["verify", store, "--repair"])

    assert result.exit_code == 3
    assert "mended: moved to hifi.quarantine/scan-1~1" in result.stdout
    assert f"run `ctprep ingest SOURCE {store} " in result.stdout
