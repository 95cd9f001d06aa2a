"""A storm of kills: `ctprep ingest` and `compress` ended by SIGKILL at random instants.

After each kill every visible volume must be whole; after a rerun the store must equal, byte for
byte, one made without an accident.

    python -m tests.faults.storm --kills 100 --seed 0
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ctprep.store.errors import StoreError
from ctprep.verify.verify import verify_store
from tests.faults.scans import HALFWAY, write_scans

SCANS = 6
KEY = "0123456789abcdef\n"
GRID = 'name = "tiny"\nspacing_mm = [4.0, 4.0, 4.0]\nshape = [16, 24, 24]\n'
COMMAND = [sys.executable, "-c", "from cli.ctprep import main; main()"]
WORKER_MARK = b"spawn_main"
LONGEST_WAIT_S = 120


@dataclass(frozen=True)
class Life:
    """One folder with one store, from its first command to the rerun that completes it."""

    verb: str
    folder: Path
    inputs: Path
    """Folder with the hi-fi store to compress, grid and key, beside the source."""

    @property
    def store(self) -> Path:
        """The store that is written."""
        return self.folder / ("hifi.zarr" if self.verb == "ingest" else "jpeg.zarr")

    def start(self, workers: int) -> "subprocess.Popen[bytes]":
        """Start the command that makes or finishes the store."""
        arguments = [self.verb, str(self.inputs / "hifi.zarr"), str(self.store)]
        if self.verb == "ingest":
            arguments[1] = str(self.inputs.parent / "source")
            arguments += ["--grid", str(self.inputs / "grid.toml")]
            arguments += ["--key-file", str(self.inputs / "key")]
        return subprocess.Popen(
            [*COMMAND, *arguments, "--workers", str(workers)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def finish(self) -> tuple[int, str]:
        """Run the command to its end; give exit status and output."""
        with self.start(1) as process:
            output, _ = process.communicate(timeout=LONGEST_WAIT_S)
        return process.returncode, output.decode()


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def workers_of(process: int) -> list[int]:
    """Give the worker processes of a coordinator, by their parent and their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == process and WORKER_MARK in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def wait_for_the_instant(life: Life, process: "subprocess.Popen[bytes]", rng: random.Random) -> str:
    """Wait until so many writes have been seen, and a moment longer; name the phase."""
    writes, began = rng.randint(0, 2 * SCANS + 2), time.monotonic()
    states: set[tuple[str, ...]] = set()
    while len(states) < writes and process.poll() is None:
        with contextlib.suppress(OSError):
            names = [p.name for p in life.store.iterdir()]
            inside = [p.name for p in (life.store / ".partial").glob("*")]
            states.add((*sorted(names), *sorted(inside)))
        if time.monotonic() - began > LONGEST_WAIT_S:
            break
        time.sleep(0.0005)
    time.sleep(rng.uniform(0, 1.5 if writes == 0 else 0.02))
    return "while starting" if writes == 0 else "while writing"


def kill_once(life: Life, rng: random.Random) -> tuple[str, ...]:
    """Start the command and kill it, or one of its workers; say what was hit."""
    workers = rng.choice([1, 2])
    process = life.start(workers)
    try:
        phase = wait_for_the_instant(life, process, rng)
        victims = workers_of(process.pid) if workers > 1 and rng.random() < 0.7 else []
        if process.poll() is not None:
            return ("missed",)
        if victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(victims), signal.SIGKILL)
            output, _ = process.communicate(timeout=LONGEST_WAIT_S)
            # A worker that is gone costs a retry, and never the run.
            if process.returncode != 0:
                raise AssertionError(f"exit {process.returncode}: {output.decode()}")
            return life.verb, "worker", phase
        process.kill()
        return life.verb, "coordinator", phase
    finally:
        process.kill()
        process.communicate()


def left_by_the_kill(life: Life) -> Counter[str]:
    """Verify the store as the kill has left it."""
    try:
        found = Counter(finding.verdict for finding in verify_store(life.store))
    except StoreError:
        # There was no time to make one.
        return Counter()
    if not found.keys() <= HALFWAY:
        raise AssertionError(f"a kill has left {found}")
    return found


def make_inputs(folder: Path) -> None:
    """Make the source, and the stores of unbroken runs on it and on what it was before."""
    for age, seed in (("older", 1), ("newer", 0)):
        inputs = folder / age
        inputs.mkdir()
        write_scans(folder / "source", seed, count=SCANS, shape=(60, 100, 100))
        (inputs / "grid.toml").write_text(GRID)
        (inputs / "key").write_text(KEY)
        for verb in ("ingest", "compress"):
            status, output = Life(verb, inputs, inputs).finish()
            if status != 0:
                raise AssertionError(output)


def storm(folder: Path, kills: int, seed: int) -> Iterator[tuple[tuple[str, ...], Counter[str]]]:
    """Kill so many times; yield what each kill has hit and left.

    Args:
        folder: an empty one.
        kills: that hit a living process.
        seed: of the instants, as far as the machine allows.

    Raises:
        AssertionError: something was half written, or a rerun differs from an unbroken run.
    """
    rng = random.Random(seed)
    make_inputs(folder)
    done = number = 0
    while done < kills:
        number += 1
        life = Life(rng.choice(["ingest", "compress"]), folder / f"life-{number}", folder / "newer")
        life.folder.mkdir()
        if rng.random() < 0.5:
            # Every volume is there already, and is replaced.
            shutil.copytree(folder / "older" / life.store.name, life.store)
            # Which knows that the scans are these, changed.
            shutil.copy(folder / "older/hifi.fingerprints.jsonl", life.folder)
        for _ in range(rng.randint(1, 3)):
            hit = kill_once(life, rng)
            done += hit != ("missed",)
            yield hit, left_by_the_kill(life)
        status, output = life.finish()
        expected = folder / "newer" / life.store.name
        if status != 0 or files_of(life.store) != files_of(expected):
            raise AssertionError(f"life {number} of seed {seed} differs in the end: {output}")
        hidden = [path.name for path in life.folder.iterdir() if path.name.startswith(".")]
        if hidden:
            raise AssertionError(f"life {number} of seed {seed} leaves {hidden} beside the store")
        shutil.rmtree(life.folder)


def main() -> None:
    """Run a storm and print what was hit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    hits: Counter[tuple[str, ...]] = Counter()
    left: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="ctprep-storm-") as folder:
        for hit, found in storm(Path(folder), arguments.kills, arguments.seed):
            hits[hit] += 1
            left.update(set(found))
            sys.stderr.write(f"\r{sum(hits.values())} kills")
    lines = [f"{count:5} {' '.join(hit)}" for hit, count in sorted(hits.items())]
    lines += [f"{count:5} kills left: {verdict}" for verdict, count in sorted(left.items())]
    sys.stdout.write("\n" + "\n".join(lines) + "\nevery rerun equals an unbroken run\n")


if __name__ == "__main__":
    main()
