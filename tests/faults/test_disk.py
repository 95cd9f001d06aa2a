"""A disk that is full or read-only ends a run with three lines, and nothing is half there."""

import errno
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.ctprep import app
from ctprep.store import commit
from ctprep.store.errors import PlaceError
from ctprep.store.store import VolumeStore
from ctprep.verify.verify import verify_store

GRID = 'name = "tiny"\nspacing_mm = [4.0, 4.0, 4.0]\nshape = [16, 24, 24]\n'
SCANS = 4


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def arguments(inputs: Path, store: Path, workers: int = 1) -> list[str]:
    """Give the ingest of the tiny scans into a store."""
    options = ["--grid", str(inputs / "grid.toml"), "--key-file", str(inputs / "key")]
    return ["ingest", str(inputs / "source"), str(store), *options, "--workers", str(workers)]


def ingest(inputs: Path, store: Path, workers: int = 1) -> tuple[int, list[str]]:
    """Run it; give the exit code and the lines on standard error."""
    return command(*arguments(inputs, store, workers))


def command(*words: str) -> tuple[int, list[str]]:
    """Run any command; likewise."""
    result = CliRunner().invoke(app, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stderr.splitlines()


def check_told(outcome: tuple[int, list[str]], what: str, mend: str) -> None:
    """Exit code 1, and what, where, how to mend: three lines, no traceback, no refusals."""
    code, lines = outcome

    assert code == 1
    assert [line.strip().split(":")[0] for line in lines] == ["error", "where", "mend"]
    assert what in lines[0]
    assert mend in lines[2]


def check_nothing_half(store: Path) -> None:
    """Every visible volume is sound, and only the catalog is behind."""
    if (store / "zarr.json").exists():
        found = {finding.verdict for finding in verify_store(store)}
        assert found <= {"sound", "no-catalog", "unlisted"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """Tiny scans, grid and key, and the store of an undisturbed run."""
    folder = tmp_path_factory.mktemp("disk")
    (folder / "source").mkdir()
    for number in range(SCANS):
        hu = np.full((40, 60, 60), -1000)
        hu[:, 6:-6, 6:-6] = 40
        hu += np.random.default_rng(number).integers(-20, 21, hu.shape)
        np.savez_compressed(folder / f"source/scan-{number}.npz", ct=hu.astype(np.int16))
    (folder / "grid.toml").write_text(GRID)
    (folder / "key").write_text("0123456789abcdef\n")
    assert ingest(folder, folder / "clean/hifi.zarr")[0] == 0
    return folder


Mount = Callable[..., Path]


@pytest.fixture
def mount(tmp_path) -> Iterator[Mount]:
    """Mount a file system in memory: `mount("size=60k")`, again with `mount("remount,ro")`."""
    place = tmp_path / "mounted"
    place.mkdir()
    state = []

    def call(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if shutil.which("mount") is None or os.geteuid() != 0:
            pytest.skip("only root may mount a small disk")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"a small disk may not be mounted here: {done.stderr.strip()}")
        state.append(place)
        return place

    yield call
    if state:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize(
    ("number", "what", "mend"),
    [
        (errno.ENOSPC, "the disk is full", "free space, then run the same command again"),
        (errno.EDQUOT, "quota", "raise the quota"),
        (errno.EROFS, "read-only", "mount it for writing"),
        (errno.EACCES, "not permitted", "get write permission"),
        (errno.EFBIG, "may not grow", "ulimit -f"),
        (errno.EIO, "Input/output error", "check the disk"),
    ],
)
def test_what_the_disk_refuses_is_told(
    inputs, tmp_path, monkeypatch: pytest.MonkeyPatch, number, what, mend
) -> None:
    """From the second volume on; a rerun completes the store, byte for byte."""
    written = []
    write = commit._write_synced

    def failing(path: Path, data: bytes) -> None:
        written.append(path)
        if len(written) > 6:
            raise OSError(number, os.strerror(number))
        write(path, data)

    store = tmp_path / "hifi.zarr"
    with monkeypatch.context() as context:
        context.setattr(commit, "_write_synced", failing)
        outcome = ingest(inputs, store)

    check_told(outcome, what, mend)
    # No fault of the scans: none of them is refused.
    report = (tmp_path / "hifi.report.jsonl").read_text().splitlines()
    assert [json.loads(line)["status"] for line in report] == ["stored"]
    assert VolumeStore.open(store).scan_ids() == ("scan-0",)
    check_nothing_half(store)
    assert ingest(inputs, store)[0] == 0
    assert files_of(store) == files_of(inputs / "clean/hifi.zarr")


@pytest.mark.parametrize(
    "words",
    [
        "export {store} {out} --workers 1 --format nifti",
        "export {store} {out} --workers 1 --format ome-zarr",
        "preview {store} --out {out}",
    ],
)
def test_a_full_disk_ends_what_looks_at_a_store(
    inputs, tmp_path, monkeypatch: pytest.MonkeyPatch, words
) -> None:
    """One error and not one for every volume; the next run writes what is missing."""
    monkeypatch.setattr("ctprep.look.plotting.DPI", 25)
    words = words.format(store=inputs / "clean/hifi.zarr", out=tmp_path / "out").split()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as context:
        context.setattr(os, "fsync", full)
        outcome = command(*words)

    check_told(outcome, "the disk is full", "free space")
    assert list((tmp_path / "out").iterdir()) == []
    assert command(*words)[0] == 0


def test_a_folder_that_may_not_be_made(inputs, mount) -> None:
    """To export into."""
    folder = mount("size=40k")
    mount("remount,ro")
    words = ("export", str(inputs / "clean/hifi.zarr"), str(folder / "out"), "--format", "nifti")

    check_told(command(*words), "read-only", "mount it for writing")


def test_a_full_disk(inputs, mount) -> None:
    """A real one, with room for two volumes and a half; then a larger one."""
    folder = mount("size=40k")

    check_told(ingest(inputs, folder / "hifi.zarr"), "the disk is full", "free space")
    check_nothing_half(folder / "hifi.zarr")
    mount("remount,size=10m")
    assert ingest(inputs, folder / "hifi.zarr")[0] == 0
    assert files_of(folder / "hifi.zarr") == files_of(inputs / "clean/hifi.zarr")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_disk_full_at_any_size(inputs, mount, workers) -> None:
    """Page by page: metadata, shard, report, fingerprints, catalog, whatever comes last."""
    full = 0
    for kilobytes in range(4, 120, 4 if workers == 1 else 32):
        folder = mount(f"size={kilobytes}k")
        outcome = ingest(inputs, folder / "hifi.zarr", workers)
        if outcome[0] != 0:
            full += 1
            check_told(outcome, "the disk is full", "free space")
            check_nothing_half(folder / "hifi.zarr")
        mount("remount,size=10m")
        assert ingest(inputs, folder / "hifi.zarr")[0] == 0
        assert files_of(folder / "hifi.zarr") == files_of(inputs / "clean/hifi.zarr")
        subprocess.run(["umount", str(folder)], check=True)
    mount("size=4k")

    assert full > 1


def test_a_read_only_disk(inputs, mount) -> None:
    """A new store and a started one; verifying it needs no writing."""
    folder = mount("size=10m")
    assert ingest(inputs, folder / "hifi.zarr")[0] == 0
    # So that there is something to repair.
    (folder / "hifi.zarr/catalog.parquet").unlink()
    mount("remount,ro")

    check_told(ingest(inputs, folder / "hifi.zarr"), "read-only", "mount it for writing")
    check_told(ingest(inputs, folder / "other.zarr"), "read-only", "mount it for writing")
    verdicts = {finding.verdict for finding in verify_store(folder / "hifi.zarr")}
    assert verdicts == {"sound", "no-catalog"}
    repair = CliRunner().invoke(
        app, ["verify", str(folder / "hifi.zarr"), "--repair", "--workers", "1"]
    )
    assert repair.exit_code == 1
    assert "read-only" in repair.stderr


@pytest.mark.slow
def test_a_limit_on_the_size_of_files(inputs, tmp_path) -> None:
    """Of a real process, as `ulimit -f` sets it: no shard fits."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    store = tmp_path / "hifi.zarr"
    command = [sys.executable, "-c", "from cli.ctprep import main; main()"]
    done = subprocess.run(
        [*command, *arguments(inputs, store)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
    )

    check_told((done.returncode, done.stderr.splitlines()), "may not grow", "ulimit -f")
    check_nothing_half(store)
    assert ingest(inputs, store)[0] == 0
    assert files_of(store) == files_of(inputs / "clean/hifi.zarr")


def test_a_worker_sends_the_error_back_whole() -> None:
    """What a worker raises is pickled on its way."""
    error = PlaceError("the disk is full", mend="free space", where="hifi.zarr")
    back = pickle.loads(pickle.dumps(error))

    assert (type(back), str(back)) == (PlaceError, str(error))
