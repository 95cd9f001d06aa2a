"""A store in a bucket is the store of a folder, key by key and byte by byte."""

import pickle
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import obstore
import pytest
import zarr
from obstore.exceptions import GenericError, PermissionDeniedError
from zarr.storage import ObjectStore

from ctprep.store.attributes import Kind
from ctprep.store.bucket_faults import told
from ctprep.store.errors import CtError, PlaceError, StoreError, StoreMismatchError
from ctprep.store.place import find_place, is_same_place
from ctprep.store.store import VolumeStore

KINDS = pytest.mark.parametrize("kind", ["jpeg", "hifi"])


def objects_of(url: str) -> dict[str, bytes]:
    """Every object below a URL by its relative key."""
    store = obstore.store.from_url(url)
    return {
        meta["path"]: bytes(store.get(meta["path"]).bytes())
        for batch in store.list()
        for meta in batch
    }


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@KINDS
def test_it_holds_what_a_folder_holds(bucket, tmp_path, bench, kind: Kind) -> None:
    """The same keys and bytes, through writing, replacing, removing and the catalog."""
    stores = [
        VolumeStore.create(where, bench.store_attributes(kind))
        for where in (f"{bucket}/deep/s.zarr", tmp_path / "s.zarr")
    ]
    for store in stores:
        for seed, scan_id in enumerate(("b", "a", "c", "a")):
            voxels = bench.voxels(kind, seed=seed)
            store.write(scan_id, voxels, bench.volume_attributes(scan_id))
        store.remove("c")
        store.write_catalog()
    there, here = stores

    assert objects_of(there.url) == files_of(tmp_path / "s.zarr")
    assert there.scan_ids() == here.scan_ids() == ("a", "b")
    assert ("a" in there, "c" in there, ".." in there) == (True, False, False)
    assert there.catalog().equals(here.catalog())
    assert there.read_attributes("a") == here.read_attributes("a")
    assert VolumeStore.open(there.url, kind=kind).attributes == here.attributes
    np.testing.assert_array_equal(there.read("a"), here.read("a", threads=2))
    for action in (there.read, there.read_attributes, there.remove):
        with pytest.raises(StoreError, match="no such volume"):
            action("c")


@KINDS
def test_plain_zarr_reads_it(bucket, bench, kind: Kind) -> None:
    """Through zarr's own object store, bit for bit what the fast reader gives."""
    store = VolumeStore.create(f"{bucket}/s.zarr", bench.store_attributes(kind))
    store.write("a", bench.voxels(kind), bench.volume_attributes("a"))
    plain = ObjectStore(obstore.store.from_url(store.url), read_only=True)

    group = zarr.open_group(plain, mode="r")

    np.testing.assert_array_equal(group["a/0"][:], store.read("a"))
    np.testing.assert_array_equal(group["a/0"][3:5], store.read("a", slices=(3, 5)))


def test_what_reading_asks_for(bucket, requests, bench) -> None:
    """A listing for all ids, two requests a volume, and parts of a shard by their range."""
    store = VolumeStore.create(f"{bucket}/s.zarr", bench.store_attributes("hifi", (40, 24, 20)))
    voxels = bench.voxels("hifi", (40, 24, 20))
    for scan_id in ("a", "b", "c"):
        store.write(scan_id, voxels, bench.volume_attributes(scan_id))

    def verbs(act: Callable[[], object]) -> list[str]:
        return [line.split(" ")[0] for line in requests.of(act)]

    store = VolumeStore.open(store.url)
    assert verbs(lambda: store.read("a")) == ["HEAD", "GET", "GET"]
    (listing,) = requests.of(store.scan_ids)
    assert "list-type=2" in listing
    assert verbs(lambda: store.read("a")) == ["GET", "GET"]
    # Array, index, and chunks 1 to 3, which lie side by side.
    assert verbs(lambda: store.read("b", slices=(9, 30))) == ["GET"] * 3
    # Three attributes, a listing before and after them, and the catalog that was there.
    assert sorted(verbs(store.write_catalog)) == ["GET"] * 6 + ["PUT"]
    assert verbs(store.write_catalog) == ["GET"] * 5
    assert sorted(verbs(lambda: store.shard_bytes("abc"))) == ["HEAD"] * 3
    store.place.at_once = 2
    assert verbs(lambda: store.shard_bytes("abc")) == ["GET"]


def test_a_dead_writer_leaves_no_volume(bucket, bench, monkeypatch) -> None:
    """Without its metadata there is nothing to see or to read; writing again completes it."""
    store = VolumeStore.create(f"{bucket}/s.zarr", bench.store_attributes("hifi"))
    store.write("a", bench.voxels("hifi"), bench.volume_attributes("a"))
    raw = obstore.store.from_url(store.url)
    raw.delete("a/zarr.json")

    for fresh in (store, VolumeStore.create(store.url, store.attributes)):
        assert fresh.scan_ids() == ()
        assert "a" not in fresh
        with pytest.raises(StoreError, match="no such volume"):
            fresh.read("a")
    # A writer that may still live is left alone.
    assert "a/0/zarr.json" in objects_of(store.url)
    store.write("a", bench.voxels("hifi", seed=1), bench.volume_attributes("a"))
    np.testing.assert_array_equal(store.read("a"), bench.voxels("hifi", seed=1))


def test_a_reader_looks_again_when_a_volume_is_replaced(bucket, bench, monkeypatch) -> None:
    """Between the two requests of a reader: it gets the new volume, whole."""
    store = VolumeStore.create(f"{bucket}/s.zarr", bench.store_attributes("hifi"))
    old, new = bench.voxels("hifi"), bench.voxels("hifi", seed=1)
    store.write("a", old, bench.volume_attributes("a"))
    reader, read = VolumeStore.open(store.url), []

    def read_then_replace(key: str) -> memoryview:
        content = plain(key)
        read.append(key)
        if len(read) == 1:
            store.write("a", new, bench.volume_attributes("a"))
        return content

    plain = reader.place.read
    monkeypatch.setattr(reader.place, "read", read_then_replace)

    np.testing.assert_array_equal(reader.read("a"), new)
    assert len(read) == 4


def test_volumes_of_two_writers_are_told(bucket, bench) -> None:
    """Where voxels, their metadata and their provenance are not of one writer."""
    store = VolumeStore.create(f"{bucket}/s.zarr", bench.store_attributes("hifi"))
    for scan_id, seed in (("a", 0), ("b", 1)):
        store.write(scan_id, bench.voxels("hifi", seed=seed), bench.volume_attributes(scan_id))
    store.check_bound("a")
    raw = obstore.store.from_url(store.url)
    raw.copy("b/0/c/0/0/0", "a/0/c/0/0/0")
    with pytest.raises(StoreError, match="does not match its checksum"):
        store.read("a")
    raw.copy("b/0/zarr.json", "a/0/zarr.json")
    store.read("a")
    with pytest.raises(StoreError, match="of two writers"):
        store.check_bound("a")


def test_creating_in_a_bucket(bucket, bench) -> None:
    """Equal parameters open it, others are named, other things under the prefix are in the way."""
    store = VolumeStore.create(f"{bucket}/s.zarr", bench.store_attributes("jpeg"))
    assert VolumeStore.create(store.url + "/", store.attributes).url == store.url
    with pytest.raises(StoreMismatchError, match="quality is 90, not 50"):
        VolumeStore.create(store.url, bench.store_attributes("jpeg", quality=50))
    obstore.store.from_url(bucket).put("full/thesis.txt", b"mine")
    with pytest.raises(StoreError, match=r"thesis\.txt"):
        VolumeStore.create(f"{bucket}/full", store.attributes)
    with pytest.raises(StoreError, match=r"there is no store here"):
        VolumeStore.open(f"{bucket}/none")
    with pytest.raises(StoreError, match="is no folder"):
        _ = store.path


def test_places(bucket, tmp_path, monkeypatch) -> None:
    """What a user types is a folder or a bucket; a bucket travels to workers by its URL."""
    place = find_place(f"{bucket}/corpora/q90.zarr/")
    monkeypatch.chdir(tmp_path)

    assert (place.name, place.path) == ("q90.zarr", None)
    assert not place.exists()
    assert pickle.loads(pickle.dumps(place)) == place == find_place(place)
    assert find_place("corpora/q90.zarr").path == Path("corpora/q90.zarr")
    assert is_same_place(find_place("a"), find_place(tmp_path / "b" / ".." / "a"))
    assert not is_same_place(find_place("a"), place)
    assert is_same_place(place, find_place(place.url))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("ftp://host/s.zarr", "not kept at ftp://"),
        ("s3://bucket", "names no store"),
        ("s3:///s.zarr", "names no store"),
        ("s3://key:hidden@bucket/s.zarr", "no credentials"),
        ("s3://bucket/s.zarr?token=hidden", "no options"),
        ("az://container/s.zarr", "no credentials"),
    ],
)
def test_urls_that_cannot_be_used(url: str, told: str, monkeypatch) -> None:
    """What is wrong, and no secret out of the URL."""
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(CtError, match=told) as caught:
        VolumeStore.open(url)
    assert "hidden" not in str(caught.value)


def test_what_keeps_us_from_a_bucket_is_told(bucket, bench, monkeypatch) -> None:
    """No bucket, no credentials, no server: three lines, and nothing secret in them."""
    from ctprep.store import bucket as module

    attributes = bench.store_attributes("jpeg")
    for act in (VolumeStore.open, lambda url: VolumeStore.create(url, attributes)):
        with pytest.raises(PlaceError, match="bucket does not exist"):
            act("s3://no-such-bucket/s.zarr")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "false")
    with pytest.raises(PlaceError, match="plain HTTP"):
        VolumeStore.open(f"{bucket}/s.zarr")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setitem(module.RETRIES, "max_retries", 0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(PlaceError, match="does not answer") as caught:
        VolumeStore.open(f"{bucket}/s.zarr")
    assert len(str(caught.value).splitlines()) == 3
    assert "secret" not in str(caught.value)
    # Half of them, then none: the client would ask the cloud that it runs in.
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
        with pytest.raises(PlaceError, match="no credentials"):
            VolumeStore.open(f"{bucket}/s.zarr")


def test_a_server_that_ignores_conditions_is_refused() -> None:
    """Two writers could mix there; it is found out when the store is made."""

    class Careless:
        def __getattr__(self, name: str):
            return getattr(plain, name)

        def put(self, key: str, data: bytes, **how: object):
            return plain.put(key, data)

    place = find_place("memory://careless/s.zarr")
    plain = place._store
    place.__dict__["_store"] = Careless()

    with pytest.raises(PlaceError, match="cannot write on a condition"):
        place.create("zarr.json", b"{}")


def test_no_error_shows_what_a_server_quotes() -> None:
    """Servers quote key ids and signatures; neither the message nor its causes keep them."""
    quoted = "403 Forbidden: <Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>AKIA123"
    for fault in (GenericError(quoted), PermissionDeniedError(quoted), FileNotFoundError(quoted)):
        with pytest.raises(PlaceError, match="refuses these credentials") as caught, told("s3://b"):
            raise fault
        assert "AKIA" not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(PlaceError, match="do not know: GenericError"), told("s3://b"):
        raise GenericError("AKIA123")
    with pytest.raises(FileNotFoundError) as absent, told("s3://b"):
        raise FileNotFoundError("404 AKIA123")
    assert "AKIA" not in "".join(traceback.format_exception(absent.value))


def test_a_missing_package_is_told(monkeypatch) -> None:
    """With the command that installs it; a folder needs none."""
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.delitem(sys.modules, "ctprep.store.bucket", raising=False)

    assert find_place("folder").path == Path("folder")
    with pytest.raises(PlaceError, match="obstore") as caught:
        find_place("s3://bucket/s.zarr")
    assert caught.value.mend == "pip install 'ct-lite[s3]'"
