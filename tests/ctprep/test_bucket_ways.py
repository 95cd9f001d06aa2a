"""Ingest and compress into a bucket give what they give in a folder."""

import threading
from pathlib import Path

import obstore
import pytest
from typer.testing import CliRunner

from cli.ctprep import app
from ctprep.compress import compress_store
from ctprep.ingest import ingest
from ctprep.pseudonym import KeyFileError, load_key
from ctprep.store.bucket import BucketPlace
from ctprep.store.errors import PlaceError, StoreError

KEY = b"0123456789abcdef"


def contents(where: str | Path) -> dict[str, bytes]:
    """Every file of a store by its key."""
    if isinstance(where, Path):
        files = (path for path in where.rglob("*") if path.is_file())
        return {path.relative_to(where).as_posix(): path.read_bytes() for path in files}
    store = obstore.store.from_url(where)
    keys = [meta["path"] for batch in store.list() for meta in batch]
    return {key: bytes(store.get(key).bytes()) for key in keys}


@pytest.fixture
def source(tmp_path, tiny, monkeypatch) -> Path:
    """Three scans in two formats; the current folder is another one."""
    tiny.nifti(tmp_path / "source" / "one.nii.gz", 1)
    tiny.nifti(tmp_path / "source" / "two.nii", 2)
    tiny.dicom(tmp_path / "source" / "series", 3)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "source"


def test_from_source_to_jpeg_in_a_bucket(source, bucket, tmp_path, tiny_grid) -> None:
    """Byte for byte, all keys; again, all is unchanged; reports lie in the current folder."""
    hifi, jpeg = f"{bucket}/x/hifi.zarr", f"{bucket}/x/q90.zarr"
    there = list(ingest(source, hifi, grid=tiny_grid, key=KEY))
    there += compress_store(hifi, jpeg)
    here = list(ingest(source, tmp_path / "hifi.zarr", grid=tiny_grid, key=KEY))
    here += compress_store(tmp_path / "hifi.zarr", tmp_path / "q90.zarr")

    assert [item.status for item in there] == ["stored"] * 6
    assert sorted(item.name for item in there) == sorted(item.name for item in here)
    assert contents(hifi) == contents(tmp_path / "hifi.zarr")
    assert contents(jpeg) == contents(tmp_path / "q90.zarr")
    again = [*ingest(source, hifi, grid=tiny_grid, key=KEY), *compress_store(hifi, jpeg)]
    assert [item.status for item in again] == ["unchanged"] * 6
    assert sorted(path.name for path in Path.cwd().iterdir()) == [
        "hifi.fingerprints.jsonl",
        "hifi.report.jsonl",
        "q90.report.jsonl",
    ]


def test_a_run_that_was_killed_is_finished(source, bucket, tmp_path, tiny_grid) -> None:
    """A volume without its metadata is stored again, and no other."""
    hifi = f"{bucket}/hifi.zarr"
    list(ingest(source, hifi, grid=tiny_grid, key=KEY))
    whole = contents(hifi)
    obstore.store.from_url(hifi).delete(["one/zarr.json", "one/0/zarr.json", "catalog.parquet"])

    items = {item.scan_id: item.status for item in ingest(source, hifi, grid=tiny_grid, key=KEY)}

    assert items.pop("one") == "stored"
    assert set(items.values()) == {"unchanged"}
    assert contents(hifi) == whole


def test_a_rerun_asks_for_its_volumes_at_once(source, bucket, tiny_grid, monkeypatch) -> None:
    """One request after the other would take as long as all of them together."""
    hifi, jpeg = f"{bucket}/x/hifi.zarr", f"{bucket}/x/q90.zarr"
    assert len(list(ingest(source, hifi, grid=tiny_grid, key=KEY))) == 3
    list(compress_store(hifi, jpeg))
    plain, all_asked = BucketPlace.read, threading.Barrier(3, timeout=10)

    def read_together(place: BucketPlace, key: str) -> memoryview:
        if key.endswith("/zarr.json"):
            all_asked.wait()
        return plain(place, key)

    monkeypatch.setattr(BucketPlace, "read", read_together)

    again = [*ingest(source, hifi, grid=tiny_grid, key=KEY), *compress_store(hifi, jpeg)]

    assert [item.status for item in again] == ["unchanged"] * 6


def test_a_bucket_is_not_compressed_into_itself(bucket) -> None:
    """However its URL is spelled."""
    with pytest.raises(StoreError, match="store to write"):
        list(compress_store(f"{bucket}/hifi.zarr", f"{bucket}/hifi.zarr/"))


@pytest.mark.slow
def test_from_bucket_to_folder_by_worker_processes(source, bucket, tmp_path, tiny_grid) -> None:
    """Workers find the bucket by its URL."""
    list(ingest(source, f"{bucket}/hifi.zarr", grid=tiny_grid, key=KEY))

    items = list(compress_store(f"{bucket}/hifi.zarr", tmp_path / "q90.zarr", workers=2))

    assert [item.status for item in items] == ["stored"] * 3


def test_the_key_never_goes_into_a_bucket(bucket, tmp_path) -> None:
    """Without one there is no run; with one nothing else is written."""
    url = f"{bucket}/hifi.zarr"
    for create in (True, False):
        with pytest.raises(KeyFileError, match="never kept in a bucket") as caught:
            load_key(store=url, env={}, create=create)
        assert "--key-file" in caught.value.mend
    (tmp_path / "key").write_text("0123456789abcdef\n")
    assert load_key(tmp_path / "key", store=url, env={}) == KEY
    assert load_key(store=url, env={"CTPREP_PSEUDONYM_KEY": KEY.decode()}) == KEY
    assert contents(bucket) == {}


def test_the_command_takes_urls(source, bucket, tmp_path, monkeypatch) -> None:
    """As typed, with both slashes; a dry run writes nothing."""
    (tmp_path / "grid.toml").write_text(
        'name = "tiny"\nspacing_mm = [4.0, 4.0, 4.0]\nshape = [8, 16, 16]\n'
    )
    options = ["--grid", str(tmp_path / "grid.toml"), "--workers", "1"]
    url = f"{bucket}/hifi.zarr"
    refused = CliRunner().invoke(app, ["ingest", str(source), url, *options])
    assert refused.exit_code == 1
    assert "mend:  give --key-file" in refused.output
    monkeypatch.setenv("CTPREP_PSEUDONYM_KEY", KEY.decode())

    planned = CliRunner().invoke(app, ["ingest", str(source), url, *options, "--dry-run"])
    assert "3 planned" in planned.output, planned.output
    assert contents(bucket) == {}
    stored = CliRunner().invoke(app, ["ingest", str(source), url, *options])
    assert "3 stored" in stored.output, stored.output
    small = CliRunner().invoke(app, ["compress", url, f"{bucket}/q90.zarr", "--workers", "1"])
    assert "3 stored" in small.output, small.output


def test_a_bucket_that_goes_away_is_told(source, tiny_grid, bucket) -> None:
    """Not as damage that is repaired, but as what it is."""
    with pytest.raises(PlaceError, match="bucket does not exist"):
        list(ingest(source, "s3://no-such-bucket/hifi.zarr", grid=tiny_grid, key=KEY))
