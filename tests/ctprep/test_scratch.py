"""What a killed run has left among the temporary files is gone after the next one."""

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest

from ctprep.engine import run
from ctprep.jobs import Item, VolumeJob
from ctprep.scratch import PREFIX, scratch_folder

HOLD = """
import sys
from ctprep.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "worker").write_text("something")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, for this process and those that it starts."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def hold() -> tuple[subprocess.Popen[str], Path]:
    """Start a process with a scratch folder, and wait until it has one."""
    command = [sys.executable, "-c", HOLD]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def end(process: subprocess.Popen[str]) -> None:
    """Close what the process was started with, and wait for it."""
    process.communicate()


def nothing(job: VolumeJob, what: str) -> Item:
    """Do no work."""
    return Item("stored", job.name, job.scan_id, what=what)


def test_a_folder_goes_with_its_process(temporary: Path) -> None:
    """At its end; after a kill with the next one, which leaves those of the living alone."""
    with scratch_folder() as folder:
        assert folder.parent == temporary
    assert not folder.exists()
    (killed, abandoned), (living, held) = hold(), hold()
    killed.kill()
    end(killed)
    other = temporary / "ctprep-notes"
    other.mkdir()
    (temporary / f"{PREFIX}link").symlink_to(other)
    assert (abandoned / "worker").exists()

    with scratch_folder():
        assert not abandoned.exists()
        assert (held / "worker").exists()
    end(living)
    assert not held.exists()
    assert other.is_dir()


def test_workers_keep_their_files_there(temporary: Path) -> None:
    """A run with several workers removes what a killed one has left, and leaves nothing."""
    killed, abandoned = hold()
    killed.kill()
    end(killed)
    jobs = [VolumeJob(str(number), 1) for number in range(2)]

    items = list(run(partial(nothing, what="done"), jobs, workers=2))

    assert len(items) == 2
    assert not abandoned.exists()
    assert not list(temporary.glob("ctprep-*"))


def test_a_process_looks_once_before_its_small_folders(temporary: Path) -> None:
    """Each member of an archive has one, and the temporary folder may hold many files."""
    (killed, first) = hold()
    killed.kill()
    end(killed)
    with scratch_folder(is_of_run=False):
        assert not first.exists()
    (killed, second) = hold()
    killed.kill()
    end(killed)

    with scratch_folder(is_of_run=False) as folder:
        assert second.exists()
    assert not folder.exists()
    with scratch_folder():
        assert not second.exists()
