"""Disturb ingest or compress at one of its steps on the disk after the other.

A step is a file opened for writing, or anything made, renamed, linked or removed below the folder
of the store. Python's audit hooks tell of each before it happens; there the process is killed, or
the step fails. A process of its own, because hooks cannot be taken back and because it forks:

    python -m tests.faults.steps WORKDIR VERB ACTION STRIDE

prints a line of JSON a disturbed step.
"""

import errno
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from ctprep.compress import compress_store
from ctprep.ingest import ingest
from ctprep.store.attributes import Grid
from ctprep.store.errors import PlaceError
from ctprep.verify.verify import verify_store
from tests.faults.scans import HALFWAY, write_scans

GRID = Grid(name="tiny", spacing_mm=(4.0, 4.0, 4.0), shape=(16, 24, 24))
SHAPE = (40, 60, 60)
EVENTS = {"open", "os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir"}
DONE, REFUSED_BY_DISK, FAILED, BROKEN = 0, 10, 11, 12


def make(verb: str, work: Path, folder: Path) -> None:
    """Make or finish a store of the newer scans."""
    if verb == "ingest":
        statuses = ingest(work / "newer", folder / "ingest.zarr", grid=GRID, key=b"k" * 16)
    else:
        statuses = compress_store(work / "clean/ingest.zarr", folder / "compress.zarr")
    refused = [item for item in statuses if item.status == "refused"]
    if refused:
        raise AssertionError(refused)


def disturb(below: Path, step: int, action: str) -> None:
    """Kill this process at a step below a folder, or let this step and all later ones fail."""
    count, place = 0, str(below)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event not in EVENTS or not str(arguments[0]).startswith(place):
            return
        if event == "open" and not int(arguments[2]) & (os.O_WRONLY | os.O_RDWR):  # type: ignore[call-overload]
            return
        count += 1
        if count == step and action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if count >= step and event not in ("os.remove", "os.rmdir"):
            raise OSError(getattr(errno, action), os.strerror(getattr(errno, action)))

    sys.addaudithook(hook)


def in_child(work: Callable[[], int]) -> int:
    """Do some work in a forked process, and give its exit status; negative if it was killed."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = FAILED
        try:
            status = work()
        except BaseException:  # told, and then the process must not go on
            traceback.print_exc()
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def disturbed(verb: str, work: Path, folder: Path, step: int, action: str) -> int:
    """Make a store with a disturbance."""
    disturb(folder, step, action)
    try:
        make(verb, work, folder)
    except PlaceError:
        return REFUSED_BY_DISK
    return DONE


def rerun(verb: str, work: Path, folder: Path) -> int:
    """Check what the disturbance has left, and finish the store."""
    store = folder / f"{verb}.zarr"
    if (store / "zarr.json").exists():
        found = {finding.verdict for finding in verify_store(store)}
        if not found <= HALFWAY:
            sys.stderr.write(f"{found}\n")
            return BROKEN
    make(verb, work, folder)
    return DONE


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def sweep(work: Path, verb: str, action: str, stride: int) -> Iterator[dict[str, object]]:
    """Disturb one step after the other, each time on a fresh copy, until a run has no more."""
    expected = files_of(work / f"clean/{verb}.zarr")
    step, status = 1, BROKEN
    while status != DONE:
        # Every other time each volume is there already, and is replaced.
        folder = work / f"disturbed-{step}"
        folder.mkdir()
        if step // stride % 2:
            shutil.copytree(work / f"older/{verb}.zarr", folder / f"{verb}.zarr")
            # Which knows that the newer scans are these, changed.
            shutil.copy(work / "older/ingest.fingerprints.jsonl", folder)
        status = in_child(lambda: disturbed(verb, work, folder, step, action))  # noqa: B023
        after = in_child(lambda: rerun(verb, work, folder))  # noqa: B023
        beside = [path.name for path in folder.iterdir() if path.name.startswith(".")]
        yield {
            "step": step,
            "status": status,
            "after": after,
            "equal": files_of(folder / f"{verb}.zarr") == expected,
            "beside": beside,
        }
        shutil.rmtree(folder)
        step += stride


def prepare(work: Path, name: str) -> int:
    """Make both stores of the source, as it is now, without a disturbance."""
    (work / name).mkdir()
    if name == "older":
        list(ingest(work / "newer", work / "older/ingest.zarr", grid=GRID, key=b"k" * 16))
        list(compress_store(work / "older/ingest.zarr", work / "older/compress.zarr"))
    else:
        make("ingest", work, work / name)
        make("compress", work, work / name)
    return DONE


def main() -> None:
    """Print what became of each disturbed step."""
    work, verb, action, stride = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    for seed, name in ((1, "older"), (0, "clean")):
        write_scans(work / "newer", seed, count=2, shape=SHAPE)
        # Forked as well: threads that a library starts here would be missing in later children.
        in_child(lambda: prepare(work, name))  # noqa: B023
    for row in sweep(work, verb, action, stride):
        sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
