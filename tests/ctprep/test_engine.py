"""The engine gives an item for every job, whatever happens to its worker."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dask
import pytest
from distributed import LocalCluster

import ctprep.dispatch
from ctprep.cluster import CLUSTER_SETTINGS
from ctprep.engine import run
from ctprep.jobs import Item, memory_budget, refused
from ctprep.store.errors import SourceError


@dataclass(frozen=True)
class Task:
    """A job of a test."""

    name: str
    peak_bytes: int = 0

    @property
    def scan_id(self) -> str:
        """The same as the name."""
        return self.name


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """Address of a running cluster of two workers, which does not take a second to start."""
    with (
        dask.config.set(CLUSTER_SETTINGS),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            dashboard_address=None,
            memory_limit=2**30,
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        yield cluster.scheduler_address


def test_one_worker_stays_in_this_process_and_in_order() -> None:
    """No process is started for one worker."""
    items = run(lambda job: Item("stored", job.name, str(os.getpid())), map(Task, "abc"))

    assert [(item.name, item.scan_id) for item in items] == [(n, str(os.getpid())) for n in "abc"]


def test_one_job_starts_no_cluster() -> None:
    """Eight workers for one job are not worth their start."""
    items = list(
        run(lambda job: Item("stored", job.name, str(os.getpid())), [Task("a")], workers=8)
    )

    assert items[0].scan_id == str(os.getpid())


def test_no_jobs_give_no_items() -> None:
    """Nothing to do is not an error."""
    assert list(run(lambda job: Item("stored", job.name), [], workers=2)) == []


def test_jobs_are_taken_as_they_are_needed() -> None:
    """A long list of jobs is never held in memory."""
    taken = []

    def tasks():
        for number in range(100):
            taken.append(number)
            yield Task(str(number))

    next(run(lambda job: Item("stored", job.name), tasks()))

    assert len(taken) <= 3


@pytest.mark.parametrize("cluster", [False, True])
def test_a_job_larger_than_the_budget_is_refused(cluster: bool, scheduler: str) -> None:
    """It is told how much it needs, and the other jobs are done."""

    def work(job):
        return Item("stored", job.name)

    address = scheduler if cluster else None
    jobs = [Task("small", 10), Task("large", 2**40), Task("also-small", 10)]
    items = {item.name: item for item in run(work, jobs, scheduler=address, budget_bytes=2**30)}

    assert {name: item.status for name, item in items.items()} == {
        "small": "stored",
        "large": "refused",
        "also-small": "stored",
    }
    assert items["large"].verdict == "too-large"
    assert "1024.00 GiB" in str(items["large"].what)


def test_a_killed_worker_costs_one_retry_then_a_refusal(tmp_path: Path) -> None:
    """The deadly job is tried twice and refused, the flaky one is tried twice and stored."""

    def work(job):
        tries = tmp_path / job.name
        tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
        if job.name == "deadly" or (job.name == "flaky" and tries.read_text() == "x"):
            os.kill(os.getpid(), signal.SIGKILL)
        return Item("stored", job.name)

    jobs = [Task("deadly"), Task("good"), Task("flaky")]
    items = {item.name: item for item in run(work, jobs, workers=2, budget_bytes=2**30)}

    assert items["deadly"].verdict == "worker-killed"
    assert items["good"].status == items["flaky"].status == "stored"
    assert (tmp_path / "deadly").read_text() == (tmp_path / "flaky").read_text() == "xx"


def test_small_jobs_share_a_trip_and_die_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed batch keeps what was told; each other job of it is tried once more, alone."""
    batches = []
    submit = ctprep.dispatch._Dispatch._submit

    def counted(self, address, jobs, *, alone):
        batches.append((alone, [job.name for job in jobs]))
        submit(self, address, jobs, alone=alone)

    monkeypatch.setattr(ctprep.dispatch._Dispatch, "_submit", counted)

    def work(job):
        with (tmp_path / job.name).open("a") as file:
            file.write("x")
        if job.name == "60":
            # Long enough for what is done to be told.
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGKILL)
        return Item("stored", job.name)

    jobs = [Task(str(number)) for number in range(100)]
    items = list(run(work, jobs, workers=2, budget_bytes=2**30))

    (deadly,) = [names for alone, names in batches if "60" in names and not alone]
    assert sorted(item.name for item in items) == sorted(job.name for job in jobs)
    assert [item.name for item in items if item.verdict == "worker-killed"] == ["60"]
    assert {item.status for item in items if item.name != "60"} == {"stored"}
    assert [names for alone, names in batches if alone] == [
        [name] for name in deadly[deadly.index("60") :]
    ]
    assert max(len(names) for _, names in batches) > 4
    assert (tmp_path / "60").read_text() == "xx"
    assert all((tmp_path / job.name).read_text() == "x" for job in jobs if job.name != "60")


@pytest.mark.parametrize("cluster", [False, True])
def test_what_needs_no_work_is_passed_on(cluster: bool, scheduler: str) -> None:
    """Items among the jobs come out as they are, once each."""
    address = scheduler if cluster else None
    entries = [Item("unchanged", "a"), Task("b"), Item("unchanged", "c"), Task("d"), Task("e")]
    entries.append(Item("refused", "f"))

    items = run(lambda job: Item("stored", job.name), entries, scheduler=address)

    assert sorted((item.name, item.status) for item in items) == [
        ("a", "unchanged"),
        ("b", "stored"),
        ("c", "unchanged"),
        ("d", "stored"),
        ("e", "stored"),
        ("f", "refused"),
    ]


def test_a_bug_keeps_its_traceback(scheduler: str) -> None:
    """What is no fault of the input comes out of the worker as it was raised."""

    def work(job):
        raise ZeroDivisionError(job.name)

    with pytest.raises(ZeroDivisionError, match=r"a|b"):
        list(run(work, [Task("a"), Task("b")], scheduler=scheduler))


def test_memory_admits_one_large_job_at_a_time(scheduler: str) -> None:
    """Two small jobs run together, two that do not fit together never do."""

    def work(job):
        began = time.time()
        time.sleep(0.2)
        return Item("stored", job.name, what=f"{began} {time.time()}")

    large = 600 * 2**20
    jobs = [Task("a", 10), Task("b", 10), Task("c", large), Task("d", large)]
    items = run(work, jobs, scheduler=scheduler, budget_bytes=1000 * 2**20)
    spans = {item.name: tuple(map(float, str(item.what).split())) for item in items}

    assert spans["a"][0] < spans["b"][1]
    assert spans["b"][0] < spans["a"][1]
    assert spans["d"][0] >= spans["c"][1] or spans["c"][0] >= spans["d"][1]


@pytest.mark.slow
def test_interrupt_leaves_nothing_behind(tmp_path: Path) -> None:
    """Ctrl-C ends the workers, prints nothing of dask's, and leaves no folder where one works."""
    script = tmp_path / "script.py"
    script.write_text(
        "import signal, sys, time\n"
        "from dataclasses import dataclass\n"
        "from ctprep.engine import run\n"
        "from ctprep.jobs import Item\n"
        "@dataclass(frozen=True)\n"
        "class Task:\n"
        "    name: str\n"
        "    scan_id: str = 'x'\n"
        "    peak_bytes: int = 0\n"
        "def work(job):\n"
        "    time.sleep(0 if job.name == 'first' else 60)\n"
        "    return Item('stored', job.name)\n"
        # A shell has what it puts in the background ignore the signal, and so what that starts.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "if __name__ == '__main__':\n"
        "    try:\n"
        "        for item in run(work, [Task('first'), Task('b'), Task('c')], workers=2):\n"
        "            print(item.name, flush=True)\n"
        "    except KeyboardInterrupt:\n"
        "        sys.exit(130)\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "first\n"
        # As a terminal does it: the workers are in the group, too.
        os.killpg(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=30)

    assert process.returncode == 130
    assert told == ""
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]


def test_refused_tells_where_inside_the_input() -> None:
    """A fault in one file of a series names that file, not the series twice."""
    error = SourceError("no pixels", verdict="unreadable", mend="export again", where="a/1.dcm")

    item = refused("a", error, scan_id="ct-1")

    assert (item.verdict, item.what) == ("unreadable", "no pixels (in a/1.dcm)")


def test_budget_is_less_than_the_machine_has() -> None:
    """Some memory is left to others."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    assert 0 < memory_budget() < total
