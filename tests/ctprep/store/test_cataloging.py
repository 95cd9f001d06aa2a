"""The catalog is written with all sound volumes, and of those that are there at its end."""

import errno
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.ctprep import app
from ctprep.store.cataloging import ROUNDS
from ctprep.store.folder import FolderPlace
from ctprep.store.store import VolumeStore


def listed(store: VolumeStore) -> list[str]:
    """The scan ids of the catalog."""
    return store.catalog()["scan_id"].to_pylist()


def break_metadata(store: VolumeStore) -> None:
    """Cut the metadata of a volume short."""
    (store.path / "b/zarr.json").write_text("{")


def lose_shard(store: VolumeStore) -> None:
    """Remove the voxels of a volume."""
    (store.path / "b/0/c/0/0/0").unlink()


def copy_over(store: VolumeStore) -> None:
    """Put another volume in its place."""
    shutil.copy(store.path / "a/zarr.json", store.path / "b/zarr.json")


def outgrow(store: VolumeStore) -> None:
    """Give a volume a shape that no column takes."""
    text = (store.path / "b/zarr.json").read_text()
    shape = '"shape": [\n          8,'
    assert shape in text
    (store.path / "b/zarr.json").write_text(text.replace(shape, f'"shape": [\n          {2**40},'))


def halve_a_character(store: VolumeStore) -> None:
    """Give a volume a fact that JSON can spell and no text can hold."""
    text = (store.path / "b/zarr.json").read_text()
    changed = re.sub(r'("patient_id": )"[^"]*"', r'\1"\\ud800"', text)
    assert changed != text
    (store.path / "b/zarr.json").write_text(changed)


DAMAGES = {
    break_metadata: "not JSON",
    lose_shard: "shard is missing",
    copy_over: "it is scan 'a'",
    outgrow: "do not fit",
    halve_a_character: "do not fit",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_volume_is_left_out_and_told(
    make_small_store: Callable[..., VolumeStore], damage
) -> None:
    """All others are listed; it was the whole catalog that was not written."""
    store = make_small_store("hifi", "a", "b", "c")
    damage(store)

    (fault,) = store.write_catalog()

    assert fault.where == "b"
    assert DAMAGES[damage] in fault.what
    assert listed(store) == ["a", "c"]


def test_a_failing_disk_leaves_its_volume_out(
    make_small_store: Callable[..., VolumeStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where metadata are there and cannot be read."""
    store = make_small_store("hifi", "a", "b", "c")
    read = FolderPlace.read

    def fail(place: FolderPlace, key: str) -> memoryview:
        if key == "b/zarr.json":
            raise OSError(errno.EIO, "Input/output error")
        return read(place, key)

    monkeypatch.setattr(FolderPlace, "read", fail)
    (fault,) = store.write_catalog()

    assert (fault.where, listed(store)) == ("b", ["a", "c"])
    assert "cannot be read" in fault.what


@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_what_changes_meanwhile_is_listed_as_it_is_at_the_end(
    where, bucket, tmp_path: Path, bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A volume that is replaced, one that comes and one that goes, while the rows are made."""
    place = tmp_path / "s.zarr" if where == "folder" else f"{bucket}/s.zarr"
    store = VolumeStore.create(place, bench.store_attributes("hifi"))
    other = VolumeStore.open(place)
    for scan_id in ("a", "b"):
        store.write(scan_id, bench.voxels("hifi"), bench.volume_attributes(scan_id))
    plain = store.read_attributes

    def disturbed(scan_id: str):
        attributes = plain(scan_id)
        if scan_id == "b" and "b" in other:
            changed = bench.volume_attributes("a").model_copy(update={"patient_id": "another"})
            other.write("a", bench.voxels("hifi", seed=1), changed)
            other.write("c", bench.voxels("hifi"), bench.volume_attributes("c"))
            other.remove("b")
        return attributes

    monkeypatch.setattr(store, "read_attributes", disturbed)

    assert store.write_catalog() == ()
    rows = store.catalog().to_pylist()
    assert [(row["scan_id"], row["patient_id"]) for row in rows] == [
        ("a", "another"),
        ("c", "patient-of-c"),
    ]
    assert [row["nbytes"] for row in rows] == store.shard_bytes(("a", "c"))


def test_writers_that_never_rest_do_not_keep_it(
    make_small_store: Callable[..., VolumeStore], bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They write the catalog when they end."""
    store = make_small_store("hifi", "a")
    replaced: list[int] = []
    plain = store.read_attributes

    def restless(scan_id: str):
        attributes = bench.volume_attributes("a")
        changed = attributes.model_copy(update={"patient_id": f"p{len(replaced)}"})
        replaced.append(store.write("a", bench.voxels("hifi"), changed))
        return plain(scan_id)

    monkeypatch.setattr(store, "read_attributes", restless)

    assert store.write_catalog() == ()
    assert len(replaced) == ROUNDS


def test_a_catalog_that_is_right_is_left_alone(
    make_small_store: Callable[..., VolumeStore],
) -> None:
    """Nothing is written where nothing has changed."""
    store = make_small_store("hifi", "a", "b")
    store.write_catalog()
    catalog = store.path / "catalog.parquet"
    before = catalog.stat()
    store.write_catalog()

    assert (catalog.stat().st_ino, catalog.stat().st_mtime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
    )


def test_a_run_refuses_what_its_catalog_leaves_out(tmp_path: Path, tiny) -> None:
    """A row in the report, and exit code 3, for a volume that the run had no other reason for."""
    tiny.nifti(tmp_path / "source/scan.nii.gz")
    grid = tmp_path / "grid.toml"
    grid.write_text('name = "tiny"\nspacing_mm = [4.0, 4.0, 4.0]\nshape = [16, 24, 24]\n')
    hifi, jpeg = tmp_path / "hifi.zarr", tmp_path / "q90.zarr"
    runs = {
        hifi: ["ingest", str(tmp_path / "source"), str(hifi), "--grid", str(grid)],
        jpeg: ["compress", str(hifi), str(jpeg)],
    }
    for arguments in runs.values():
        assert CliRunner().invoke(app, [*arguments, "--workers", "1"]).exit_code == 0
    (jpeg / "lost").mkdir()
    (jpeg / "lost/zarr.json").write_text("{")

    told = CliRunner().invoke(app, runs[jpeg])

    assert told.exit_code == 3
    assert "refused q90.zarr/lost: damaged-volume" in told.stdout
    assert "ctprep verify q90.zarr --repair" in told.stdout
    assert "damaged-volume" in (tmp_path / "q90.report.jsonl").read_text()
    shutil.copytree(jpeg / "lost", hifi / "lost")
    told = CliRunner().invoke(app, runs[hifi])
    assert told.exit_code == 3
    assert "refused hifi.zarr/lost: damaged-volume" in told.stdout


def test_a_link_to_itself_is_no_volume(make_small_store: Callable[..., VolumeStore]) -> None:
    """It is a stray, which ends nothing."""
    store = make_small_store("hifi", "a")
    (store.path / "loop").symlink_to("loop")

    assert not store.write_catalog()
    assert listed(store) == ["a"]
