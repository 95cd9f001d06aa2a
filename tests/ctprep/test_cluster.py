"""A cluster of somebody else's: used as it is, checked at the start, and survived when it fails."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

import ctprep.cluster
import ctprep.dispatch
from ctprep.compress import compress_store
from ctprep.engine import run
from ctprep.ingest import ingest
from ctprep.jobs import Item
from ctprep.store.errors import ClusterError

KEY = b"0123456789abcdef"
START_S = 120
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def task(name: str, peak_bytes: int = 0) -> SimpleNamespace:
    """Make a job that other processes can unpickle without this module."""
    return SimpleNamespace(name=name, scan_id=name, peak_bytes=peak_bytes)


class Cluster:
    """A scheduler and workers as separate processes on the loopback, with dask's own defaults."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start(
            "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"
        )
        self.address = self._told("dask_scheduler-0", r"Scheduler at:\s+(tcp://\S+)")

    def add_worker(self, *options: str, env: dict[str, str] | None = None) -> subprocess.Popen:
        """Start a worker, and wait until the scheduler has it."""
        options = (*options, "--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard")
        name = f"dask_worker-{len(self._processes)}"
        process = self._start("dask_worker", self.address, *options, env=env)
        self._told(name, r"(Registered to)")
        return process

    def _start(self, module: str, *options: str, env: dict[str, str] | None = None):
        log = self._folder / f"{module}-{len(self._processes)}"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", *options],
                stdout=file,
                stderr=file,
                cwd=self._folder,
                env={**ENVIRONMENT, **(env or {})},
            )
        self._processes.append(process)
        return process

    def _told(self, log: str, pattern: str) -> str:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            found = re.search(pattern, (self._folder / log).read_text())
            if found:
                return found[1]
            time.sleep(0.05)
        raise TimeoutError((self._folder / log).read_text())

    def close(self) -> None:
        """End every process, with those that they have started."""
        for process in reversed(self._processes):
            if process.poll() is None:
                family = [*psutil.Process(process.pid).children(recursive=True)]
                for member in [*family, psutil.Process(process.pid)]:
                    member.kill()
            process.wait()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Cluster]]:
    """Start clusters, and end them after the test."""
    clusters = []

    def started() -> Cluster:
        folder = tmp_path / f"cluster-{len(clusters)}"
        folder.mkdir()
        clusters.append(Cluster(folder))
        return clusters[-1]

    yield started
    for cluster in clusters:
        cluster.close()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less than a user would be asked to."""
    monkeypatch.setattr(ctprep.cluster, "CONNECT_S", 1.0)
    monkeypatch.setattr(ctprep.dispatch, "WORKERS_WAIT_S", 1.0)
    monkeypatch.setattr(ctprep.dispatch, "POLL_S", 0.2)


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_no_scheduler_is_told_in_time(hasty: None) -> None:
    """Neither a closed port, nor one that never answers, nor an address that is none hangs."""
    with socket.socket() as mute, socket.socket() as closed:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        closed.bind(("127.0.0.1", 0))
        ports = [mute.getsockname()[1], closed.getsockname()[1]]
        for address in [*(f"tcp://127.0.0.1:{port}" for port in ports), "nonsense://x"]:
            with pytest.raises(ClusterError, match="no dask scheduler answers") as caught:
                list(run(lambda job: Item("stored", job.name), [task("a")], scheduler=address))
            assert len(str(caught.value).splitlines()) == 3
            assert caught.value.where == address


def test_workers_come_late_die_and_are_replaced(
    start: Callable[[], Cluster], tmp_path: Path, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None for a while, then one without a nanny that is killed by a job, then another.

    The cluster keeps dask's own `allowed-failures`: still a deadly job costs two workers.
    """
    cluster = start()
    tries = tmp_path / "tries"

    with pytest.raises(ClusterError, match="has had no worker"):
        list(run(lambda job: Item("stored", job.name), [task("a")], scheduler=cluster.address))

    def work(job):
        if job.name == "deadly":
            with tries.open("a") as file:
                file.write("x")
            os.kill(os.getpid(), signal.SIGKILL)
        return Item("stored", job.name)

    monkeypatch.setattr(ctprep.dispatch, "WORKERS_WAIT_S", 60.0)
    first = cluster.add_worker("--no-nanny")
    second = cluster.add_worker("--no-nanny")
    jobs = [task("a"), task("deadly"), task("b"), task("too-large", 2**50)]
    items = run(work, jobs, scheduler=cluster.address)
    found = {}
    for item in items:
        found[item.name] = item
        # What else its batch had done may have died untold, and is then done again.
        if item.name == "deadly":
            cluster.add_worker("--no-nanny")

    assert {name: item.verdict or item.status for name, item in found.items()} == {
        "a": "stored",
        "b": "stored",
        "deadly": "worker-killed",
        "too-large": "too-large",
    }
    assert tries.read_text() == "xx"
    assert first.wait(10)
    assert second.wait(10)


@pytest.mark.slow
def test_a_killed_worker_leaves_the_store_of_a_local_run(
    start: Callable[[], Cluster], tmp_path: Path, tiny, tiny_grid, monkeypatch
) -> None:
    """Ingest and compress, from relative paths, byte for byte with the catalog; a row a scan."""
    source = tmp_path / "source"
    for number in range(60):
        tiny.nifti(source / f"scan-{number}.nii.gz", number)
    tiny.dicom(source / "series", 99)
    monkeypatch.chdir(tmp_path)
    list(ingest(source, tmp_path / "local.zarr", grid=tiny_grid, key=KEY))
    list(compress_store(tmp_path / "local.zarr", tmp_path / "local-q90.zarr"))
    cluster = start()
    nannies = [cluster.add_worker() for _ in range(3)]

    def killing(items: Iterator[Item], nanny: subprocess.Popen) -> list[Item]:
        done = []
        for item in items:
            done.append(item)
            if len(done) == 10:
                (worker,) = [
                    child
                    for child in psutil.Process(nanny.pid).children(recursive=True)
                    if "spawn_main" in " ".join(child.cmdline())
                ]
                worker.kill()
        return done

    address = cluster.address
    items = killing(
        ingest(Path("source"), Path("far.zarr"), grid=tiny_grid, key=KEY, scheduler=address),
        nannies[0],
    )
    compressed = killing(
        compress_store(Path("far.zarr"), Path("far-q90.zarr"), scheduler=address), nannies[1]
    )

    assert len({item.name for item in items}) == len(items) == 61
    assert len({item.name for item in compressed}) == len(compressed) == 61
    assert {item.status for item in [*items, *compressed]} <= {"stored", "unchanged"}
    assert files_of(tmp_path / "far.zarr") == files_of(tmp_path / "local.zarr")
    assert files_of(tmp_path / "far-q90.zarr") == files_of(tmp_path / "local-q90.zarr")


@pytest.mark.slow
def test_a_lost_scheduler_is_told_and_a_rerun_finishes(
    start: Callable[[], Cluster], tmp_path: Path, tiny, tiny_grid, hasty: None
) -> None:
    """The error comes in time, and what was stored is not done again."""
    source = tmp_path / "source"
    for number in range(20):
        tiny.nifti(source / f"scan-{number}.nii.gz", number)
    cluster, store = start(), tmp_path / "far.zarr"
    cluster.add_worker()

    items = ingest(source, store, grid=tiny_grid, key=KEY, scheduler=cluster.address)
    done = [next(items), next(items)]
    cluster.scheduler.kill()
    with pytest.raises(ClusterError, match="scheduler is gone") as caught:
        done += items
    again = list(ingest(source, store, grid=tiny_grid, key=KEY))

    assert caught.value.where == cluster.address
    assert {item.status for item in done} == {"stored"}
    unchanged = {item.name for item in again if item.status == "unchanged"}
    assert unchanged >= {item.name for item in done}
    assert len(again) == 20


@pytest.mark.slow
def test_unfit_workers_are_refused_by_name(
    start: Callable[[], Cluster], tmp_path: Path, hasty: None
) -> None:
    """Other versions, no package, and a place that the worker does not see."""

    def answer(*places: Path) -> str:
        jobs = [task("a")]
        work = run(lambda job: Item("stored", job.name), jobs, scheduler=address, places=places)
        with pytest.raises(ClusterError) as caught:
            list(work)
        return str(caught.value)

    cluster = start()
    address = cluster.address
    # Metadata of another version, found before the installed one.
    info = tmp_path / "other" / "simplejpeg-0.0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: simplejpeg\nVersion: 0.0.1\n")
    path = os.pathsep.join([str(info.parent), os.environ.get("PYTHONPATH", "")])
    other = cluster.add_worker("--no-nanny", env={"PYTHONPATH": path})
    told = answer()
    other.kill()
    broken = tmp_path / "broken" / "ctprep"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ModuleNotFoundError('ctprep')\n")
    other = cluster.add_worker("--no-nanny", env={"PYTHONPATH": str(broken.parent)})
    missing = answer()
    other.kill()
    cluster.add_worker("--no-nanny")
    unseen = answer(tmp_path / "elsewhere")

    assert "simplejpeg 0.0.1, here" in told
    assert "cannot import ctprep" in missing
    assert "does not see elsewhere" in unseen


@pytest.mark.slow
def test_a_worker_does_not_grow_with_the_jobs_it_has_done(
    start: Callable[[], Cluster], tmp_path: Path
) -> None:
    """Its memory after 2,000 jobs is that after 200, within 16 MiB."""

    def work(job):
        return Item("stored", job.name, nbytes=psutil.Process().memory_info().rss)

    cluster = start()
    cluster.add_worker()
    rss = [
        item.nbytes or 0
        for item in run(work, (task(str(n)) for n in range(2000)), scheduler=cluster.address)
    ]

    assert len(rss) == 2000
    assert 0 < max(rss[-100:]) < max(rss[100:200]) + 16 * 2**20


def test_an_interrupt_meets_no_worker_that_is_starting() -> None:
    """Workers are started with the signal blocked, and this thread hears it again."""
    with ctprep.cluster.connect(1, None, 2**30) as client:
        (blocked,) = client.run(signal.pthread_sigmask, signal.SIG_BLOCK, ()).values()

        assert signal.SIGINT in blocked
        assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
