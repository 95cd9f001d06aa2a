"""A volume is there whole or not at all, whoever is killed and whoever writes beside."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr

from ctprep.store import commit
from ctprep.store.commit import PARTIAL, clean, create_file, remove_folder, write_folder
from ctprep.store.errors import StoreError
from ctprep.store.store import VolumeStore

HANG = """
import sys, time
from pathlib import Path
from ctprep.store import commit
step = sys.argv[2]
def hang(*arguments):
    print("here", flush=True)
    time.sleep(60)
if step == "sync":
    commit._sync_folder = hang
else:
    rename, count = Path.rename, []
    def second(self, target):
        count.append(1)
        # First the new folder fails to move in, then the old one moves aside, then this.
        return rename(self, target) if len(count) < 3 else hang()
    Path.rename = second
commit.write_folder(Path(sys.argv[1]), "a", {"file": b"new", "sub/file": b"new"})
"""


def kill_writer(store: Path, step: str) -> None:
    """Run a writer of folder `a` that hangs at a step, and kill it there."""
    with subprocess.Popen(
        [sys.executable, "-c", HANG, store, step], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"here\n"
        writer.send_signal(signal.SIGKILL)


def test_a_killed_writer_leaves_the_old_folder(tmp_path: Path) -> None:
    """Killed before the renames: the old content stays, the rest is cleaned up."""
    write_folder(tmp_path, "a", {"file": b"old"})
    kill_writer(tmp_path, "sync")

    assert (tmp_path / "a" / "file").read_bytes() == b"old"
    assert len(list((tmp_path / PARTIAL).iterdir())) == 1
    clean(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a" / "file").read_bytes() == b"old"


def test_a_writer_killed_between_the_renames(tmp_path: Path) -> None:
    """The old folder is moved aside and none is there: cleaning puts it back."""
    write_folder(tmp_path, "a", {"file": b"old"})
    kill_writer(tmp_path, "rename")

    assert not (tmp_path / "a").exists()
    clean(tmp_path)
    assert (tmp_path / "a" / "file").read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_cleaning_spares_living_writers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder under construction stays while its writer lives, also in this process."""
    seen = []

    def clean_meanwhile(path: Path, data: bytes) -> None:
        write(path, data)
        clean(tmp_path)
        seen.append(path.exists())

    write = commit._write_synced
    monkeypatch.setattr(commit, "_write_synced", clean_meanwhile)
    write_folder(tmp_path, "a", {"file": b"new"})

    assert seen == [True]
    assert (tmp_path / "a" / "file").read_bytes() == b"new"


def test_a_killed_writer_is_invisible(make_small_store: Callable[..., VolumeStore], bench) -> None:
    """Neither the store nor zarr see what it left, until `create` removes it."""
    store = make_small_store("jpeg", "b")
    kill_writer(store.path, "sync")

    assert store.scan_ids() == ("b",)
    with pytest.warns(UserWarning, match="not recognized"):
        assert list(zarr.open_group(store.path, mode="r").group_keys()) == ["b"]
    VolumeStore.open(store.path)
    assert (store.path / PARTIAL).exists()
    VolumeStore.create(store.path, bench.store_attributes("jpeg"))
    assert not (store.path / PARTIAL).exists()


def test_writers_of_one_volume_do_not_mix(
    make_small_store: Callable[..., VolumeStore], bench
) -> None:
    """Many replace one volume while it is read: each read is one of theirs, whole."""
    store = make_small_store("hifi", "a")
    versions = [bench.voxels("hifi", seed=seed) for seed in range(4)]
    until = time.monotonic() + 1

    def write(seed: int) -> int:
        count = 0
        while time.monotonic() < until:
            store.write("a", versions[seed], bench.volume_attributes("a"))
            count += 1
        return count

    def read() -> int:
        count = 0
        while time.monotonic() < until:
            try:
                voxels = store.read("a")
            except StoreError:
                # Replaced twice within one read: told, where a mixture would be returned.
                continue
            assert any(np.array_equal(voxels, version) for version in versions)
            count += 1
        return count

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, seed) for seed in (1, 2)]
        readers = [pool.submit(read) for _ in range(2)]
    assert all(task.result() > 0 for task in [*writers, *readers])
    assert store.scan_ids() == ("a",)
    assert not (store.path / PARTIAL).exists()


def test_removing_what_is_absent(tmp_path: Path) -> None:
    """It is an error and leaves nothing."""
    with pytest.raises(FileNotFoundError):
        remove_folder(tmp_path, "a")

    assert list(tmp_path.iterdir()) == []


def test_a_file_is_made_once(tmp_path: Path) -> None:
    """The second call changes nothing."""
    assert create_file(tmp_path / "f", b"one")
    assert not create_file(tmp_path / "f", b"two")

    assert (tmp_path / "f").read_bytes() == b"one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]
