"""A process that reads inputs and tells of each what became of it; it may die of any."""

import faulthandler
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.fuzz.bench import Bench
from tests.fuzz.memory import status_bytes
from tests.fuzz.targets import CANARY, TARGETS, Target

ADDRESS_SPACE = 3 << 30
"""Bytes that reading may map, beyond what the program itself has."""
MOST_BYTES = 256 << 20
"""Resident memory that reading one input may take; inputs are 1 MiB at most."""
LIMIT_S = 60
"""Seconds an input may take; the one who started this process kills it a little later."""
FORBIDDEN = (
    *("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen"),
    *("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "pickle.find_class"),
)
"""Events of Python's audit hooks that reading an input never causes."""


@dataclass(frozen=True)
class Result:
    """What became of one input.

    Args:
        target: its name.
        number: of the input.
        verdicts: what the reader said; empty after a failure.
        failure: None, or `traceback`, `memory`, `hang`, `crash`, `execution` or `output`.
        detail: a traceback, or what was seen.
        seconds: it took.
        peak_bytes: resident memory it took, beyond what was there before.
    """

    target: str
    number: int
    verdicts: tuple[str, ...]
    failure: str | None
    detail: str
    seconds: float
    peak_bytes: int


class HangError(BaseException):
    """Time is up; no reader's `except Exception` may hide it."""


class Watch:
    """Sees what no reader should cause: code run, network used, files written elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.seen: list[str] = []
        self._folder = str(folder)
        sys.addaudithook(self._audit)

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen" and "ctprep.sources.dicom_helper" in str(args[1]):
            return  # our own helper
        if event in FORBIDDEN:
            self.seen.append(f"{event} {args[:2]!r}"[:200])
        elif event == "open" and isinstance(args[0], str) and isinstance(args[1], str):
            elsewhere = not args[0].startswith((self._folder, "/proc/self/"))
            if elsewhere and os.path.isabs(args[0]) and set(args[1]) & set("wax+"):
                self.seen.append(f"wrote to {args[0]!r}")


def examine(target: Target, content: bytes, bench: Bench, watch: Watch, number: int = 0) -> Result:
    """Read one input.

    Args:
        target: decides how.
        content: the input.
        bench: where.
        watch: of this process.
        number: of the input, for the result.
    """
    watch.seen.clear()
    verdicts: tuple[str, ...] = ()
    failure, detail = None, ""
    before = _start_of_peak()
    began = time.perf_counter()
    with _noise() as noise:
        try:
            with _time_limit():
                verdicts = target.run(content, bench)
        except HangError:
            failure, detail = "hang", traceback.format_exc()
        except MemoryError:
            failure, detail = "memory", traceback.format_exc()
        except BaseException:  # a bug, and what this is all about
            failure, detail = "traceback", traceback.format_exc()
    seconds = time.perf_counter() - began
    peak_bytes = max(0, status_bytes("VmHWM") - before)
    if Path(CANARY).exists():
        watch.seen.append("the canary was made")
        Path(CANARY).rmdir()
    if watch.seen:
        failure, detail = "execution", "\n".join(watch.seen)
    elif failure is None and peak_bytes > MOST_BYTES:
        failure, detail = "memory", f"{peak_bytes >> 20} MiB of memory for {len(content)} bytes"
    elif failure is None and noise:
        failure, detail = "output", noise[0]
    return Result(target.name, number, verdicts, failure, detail, seconds, peak_bytes)


@contextmanager
def _time_limit() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise HangError

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)


@contextmanager
def _noise() -> Iterator[list[str]]:
    """Collect what is printed meanwhile, by native code too: it may quote a patient's data."""
    written: list[str] = []
    begin = os.lseek(2, 0, os.SEEK_END)
    try:
        yield written
    finally:
        sys.stderr.flush()
        end = os.lseek(2, 0, os.SEEK_END)
        if end > begin:
            written.append(os.pread(2, 4000, begin).decode("utf-8", "replace"))


def _start_of_peak() -> int:
    Path("/proc/self/clear_refs").write_text("5")
    return status_bytes("VmHWM")


def main() -> None:
    """Answer every line of standard input, `[target, seed, number]`, by a line with a result."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    # Both in one file, so that whatever is printed shows.
    os.dup2(2, 1)
    faulthandler.enable()
    warnings.simplefilter("always")
    folder = Path(tempfile.mkdtemp(prefix="ctprep-fuzz-", dir=_quick_folder()))
    try:
        bench, watch = Bench(folder), Watch(folder)
        os.chdir(folder)
        used = status_bytes("VmSize")
        resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESS_SPACE, used + ADDRESS_SPACE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        answers.write(f"{folder}\n")
        for line in sys.stdin:
            name, seed, number = json.loads(line)
            content = TARGETS[name].input(seed, number)
            result = examine(TARGETS[name], content, bench, watch, number)
            answers.write(json.dumps(asdict(result)) + "\n")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _quick_folder() -> str | None:
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and os.access(memory, os.W_OK) else None


if __name__ == "__main__":
    main()
