"""The fuzzer: `python -m tests.fuzz.run --inputs 20000 --seed 0`; see docs/fuzzing.md."""

import argparse
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import LIMIT_S, Result

GRACE_S = 5
"""How much later than its own alarm a worker is killed: native code hears no alarm."""
START_S = 120
INPUTS_A_WORKER = 2000
"""Then a fresh one takes over, so that a leak does not pass for an input's doing."""
Task = tuple[str, int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz, and print a table; 1 where an input failed."""
    options = _options().parse_args(arguments)
    names = options.target or list(TARGETS)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    log = out / f"results-{options.seed}.jsonl"
    results = _known(log)
    tasks = [(names[n % len(names)], n // len(names)) for n in range(options.inputs)]
    missing = [task for task in tasks if task not in results]
    began = time.monotonic()
    with log.open("a", encoding="utf-8") as file:
        for done, result in enumerate(fuzz(missing, options.seed, options.jobs), 1):
            results[result.target, result.number] = result
            file.write(json.dumps(asdict(result)) + "\n")
            if result.failure:
                _save(out, options.seed, result)
            if done % 500 == 0:
                rate = done / (time.monotonic() - began)
                sys.stderr.write(f"{done} of {len(missing)}, {rate:.0f} a second\n")
    wanted = [results[task] for task in tasks]
    sys.stdout.write(table(wanted))
    return int(any(result.failure for result in wanted))


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 1) // 2))
    parser.add_argument("--out", default="fuzz-out", help="results and failing inputs")
    parser.add_argument("--target", action="append", choices=sorted(TARGETS))
    return parser


def fuzz(tasks: Sequence[Task], seed: int, jobs: int) -> Iterator[Result]:
    """Read inputs in worker processes, and yield what became of each.

    Args:
        tasks: target and number of each input.
        seed: of the run.
        jobs: workers at once.
    """
    parts = [tasks[begin : begin + 100] for begin in range(0, len(tasks), 100)]
    crews = [Crew(seed) for _ in range(jobs)]
    try:
        with ThreadPoolExecutor(jobs) as executor:
            idle = list(crews)

            def work(part: Sequence[Task]) -> list[Result]:
                crew = idle.pop()
                try:
                    return [crew.examine(task) for task in part]
                finally:
                    idle.append(crew)

            for finished in executor.map(work, parts):
                yield from finished
    finally:
        for crew in crews:
            crew.dismiss()


class Crew:
    """One worker after the other; the next is started when one dies.

    Args:
        seed: of the run.
        worker: module to run, another in a test.
    """

    def __init__(self, seed: int, worker: str = "tests.fuzz.worker") -> None:
        self._seed, self._worker = seed, worker
        self._process: subprocess.Popen[str] | None = None
        self._folder, self._left = "", 0

    def examine(self, task: Task) -> Result:
        """Have an input read, at the price of a worker if need be."""
        if self._process is None or self._left <= 0:
            self.dismiss()
            self._start()
        self._left -= 1
        process = self._process
        assert process is not None
        began = time.monotonic()
        process.stdin.write(json.dumps([task[0], self._seed, task[1]]) + "\n")
        process.stdin.flush()
        answer = _line(process, LIMIT_S + GRACE_S)
        if answer:
            return _result(json.loads(answer))
        hung = process.poll() is None and answer is None
        code = self.dismiss()
        failure = "hang" if hung else "crash"
        reason = "killed" if hung else _signal_name(code)
        detail = f"{reason}\n{self._said[-3000:]}"
        return Result(task[0], task[1], (), failure, detail, time.monotonic() - began, 0)

    def _start(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the worker
        self._process = subprocess.Popen(
            [sys.executable, "-m", self._worker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        )
        self._folder = (_line(self._process, START_S) or "").strip()
        if not self._folder:
            self.dismiss()
            raise RuntimeError(f"the worker does not start: {self._said}")
        self._left = INPUTS_A_WORKER

    def dismiss(self) -> int:
        """End the worker; gives its exit status."""
        if self._process is None:
            return 0
        process, self._process = self._process, None
        if process.poll() is None:
            process.kill()
        process.stdin.close()
        process.stdout.close()
        code = process.wait()
        self._log.seek(0)
        self._said = self._log.read().decode("utf-8", "replace")
        self._log.close()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
        return code


def _line(process: "subprocess.Popen[str]", seconds: float) -> str | None:
    """Read a line; empty when the worker has died, None when it does not answer."""
    ready, _, _ = select.select([process.stdout], [], [], seconds)
    if not ready:
        return None
    line = process.stdout.readline()
    if not line:
        process.wait()
    return line


def _signal_name(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"


def _result(values: dict[str, Any]) -> Result:
    return Result(**{**values, "verdicts": tuple(values["verdicts"])})


def _known(log: Path) -> dict[Task, Result]:
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    found = [_result(json.loads(line)) for line in lines if line.endswith("}")]
    return {(result.target, result.number): result for result in found}


def _save(out: Path, seed: int, result: Result) -> None:
    stem = out / f"{result.failure}-{result.target}-{seed}-{result.number}"
    stem.with_suffix(".input").write_bytes(TARGETS[result.target].input(seed, result.number))
    stem.with_suffix(".txt").write_text(result.detail, encoding="utf-8")


def table(results: Iterable[Result]) -> str:
    """Lay out a row a target, as Markdown.

    Args:
        results: of the whole run.
    """
    rows: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        rows[result.target].append(result)
    lines = [
        "| target | inputs | accepted | refused | failed | slowest s | most MiB | verdicts |",
        "|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    lines += [_row(name, group) for name, group in rows.items()]
    everything = [result for group in rows.values() for result in group]
    return "\n".join([*lines, _row("**all**", everything)]) + "\n"


def _row(name: str, group: list[Result]) -> str:
    failures = Counter(result.failure for result in group if result.failure)
    whole = [result for result in group if not result.failure]
    accepted = sum(set(result.verdicts) <= {"accepted"} for result in whole)
    verdicts = Counter(v for r in whole for v in set(r.verdicts) if v != "accepted")
    failed = ", ".join(f"{count} {kind}" for kind, count in failures.most_common()) or "0"
    told = ", ".join(f"{verdict} {count}" for verdict, count in verdicts.most_common())
    slowest = max(result.seconds for result in group)
    most = max(result.peak_bytes for result in group) / 2**20
    return (
        f"| {name} | {len(group)} | {accepted} | {len(whole) - accepted} | {failed} "
        f"| {slowest:.2f} | {most:.0f} | {told} |"
    )


if __name__ == "__main__":
    sys.exit(main())
