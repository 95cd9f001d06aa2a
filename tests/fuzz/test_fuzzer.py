"""The fuzzer finds what is planted, and says it; equal seeds give equal inputs."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest

from ctprep.store.errors import SourceError
from tests.fuzz import run, worker
from tests.fuzz.bench import Bench
from tests.fuzz.mutations import mutate
from tests.fuzz.targets import CANARY, TARGETS, Target
from tests.fuzz.worker import Watch, examine


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Where inputs are read."""
    return Bench(tmp_path_factory.mktemp("fuzz"))


@pytest.fixture(scope="module")
def watch(bench: Bench) -> Watch:
    """What looks for code that runs; an audit hook cannot be taken away again."""
    return Watch(bench.folder)


def test_every_target_reads_some_mutated_inputs(bench: Bench, watch: Watch) -> None:
    """Its valid input and a mutation of it, each with a verdict or read."""
    for target in TARGETS.values():
        for number in range(2):
            result = examine(target, target.input(0, number), bench, watch, number)

            assert result.failure is None, result.detail
            assert result.verdicts


def test_equal_seeds_give_equal_inputs() -> None:
    """So a failing input is found again by its number, and another seed gives others."""
    for target in TARGETS.values():
        assert target.input(3, 1) == target.input(3, 1)
    assert len({mutate(bytes(100), Random(seed)) for seed in range(50)}) > 30


def _planted(run_it: Callable[[], object]) -> Target:
    def read(content: bytes, bench: Bench) -> tuple[str, ...]:
        run_it()
        return ("accepted",)

    return Target("planted", lambda: b"x", lambda content, random: content, read)


def _fail() -> None:
    raise ValueError("planted")


def _fill_memory() -> None:
    np.ones(300 << 20, np.uint8).sum()


@pytest.mark.parametrize(
    ("bug", "failure"),
    [
        (_fail, "traceback"),
        (_fill_memory, "memory"),
        (lambda: np.empty(2**60, np.uint8), "memory"),
        (lambda: time.sleep(30), "hang"),
        (lambda: Path(CANARY).mkdir(), "execution"),
        (lambda: os.system("true"), "execution"),
        (lambda: os.write(2, b"Doe^Jane"), "output"),
    ],
)
def test_a_planted_bug_is_found(
    bench: Bench,
    watch: Watch,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bug: Callable[[], object],
    failure: str,
) -> None:
    """Of every kind that a worker survives."""
    if failure == "hang":
        monkeypatch.setattr(worker, "LIMIT_S", 1)
    monkeypatch.chdir(tmp_path)

    assert examine(_planted(bug), b"x", bench, watch).failure == failure


def test_a_verdict_is_no_failure(bench: Bench, watch: Watch) -> None:
    """A reader that refuses does what it must; one that lets its error out does not."""
    target = TARGETS["nifti-1"]

    result = examine(target, b"junk", bench, watch)
    escaped = examine(_planted(_refuse), b"x", bench, watch)

    assert (result.failure, result.verdicts) == (None, ("truncated",))
    assert escaped.failure == "traceback"


def _refuse() -> None:
    raise SourceError("planted", mend="none")


DYING_WORKER = """
import json, os, sys, time
print("folder-that-is-none", flush=True)
for line in sys.stdin:
    name, seed, number = json.loads(line)
    if number == 1:
        os.abort()
    if number == 2:
        time.sleep(60)
    print(json.dumps({"target": name, "number": number, "verdicts": ["accepted"], "failure": None,
                      "detail": "", "seconds": 0.0, "peak_bytes": 0}), flush=True)
"""


def test_a_worker_that_dies_or_hangs_is_a_failure_and_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: it aborts on input 1 and sleeps on input 2; input 3 is read by another."""
    (tmp_path / "dying_worker.py").write_text(DYING_WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(run, "LIMIT_S", 0.5)
    monkeypatch.setattr(run, "GRACE_S", 0.5)
    crew = run.Crew(0, "dying_worker")
    try:
        results = [crew.examine(("planted", number)) for number in range(4)]
    finally:
        crew.dismiss()

    assert [result.failure for result in results] == [None, "crash", "hang", None]
    assert "SIGABRT" in results[1].detail
    assert "| planted | 4 | 2 | 0 | 1 crash, 1 hang |" in run.table(results)


def test_a_run_takes_up_where_it_was_left(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """What is in the results is not read again."""
    arguments = ["--inputs", "2", "--target", "grid-toml", "--out", str(tmp_path)]
    known = '{"target": "grid-toml", "number": %d, "verdicts": ["known"], "failure": null, '
    known += '"detail": "", "seconds": 0.0, "peak_bytes": 0}\n'
    (tmp_path / "results-0.jsonl").write_text(known % 0 + known % 1)

    assert run.main(arguments) == 0
    assert "| grid-toml | 2 | 0 | 2 | 0 |" in capsys.readouterr().out
