"""A killed ingest leaves nothing to clean up, and a rerun ends where an unbroken run does."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ctprep.ingest import ingest

KEY = b"0123456789abcdef"
SCRIPT = """
import os, signal, sys
from pathlib import Path
from ctprep.ingest import ingest
from ctprep.store.attributes import Grid

source, store, kill_after = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
grid = Grid(name="tiny", spacing_mm=(4.0, 4.0, 4.0), shape=(16, 24, 24))
rename = os.replace
calls = 0

def dying(*places, **options):
    global calls
    calls += 1
    if calls == kill_after:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(*places, **options)

os.replace = os.rename = dying
Path.rename = Path.replace = lambda self, target: dying(self, target)
for item in ingest(source, store, grid=grid, key=sys.argv[4].encode()):
    print(item.status)
"""


def run(source: Path, store: Path, kill_after: int) -> int:
    """Ingest in a process of its own that is killed at the nth rename; give its exit status."""
    command = [sys.executable, "-c", SCRIPT, str(source), str(store), str(kill_after), KEY.decode()]
    return subprocess.run(command, capture_output=True, check=False).returncode


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def names_in(folder: Path) -> list[str]:
    """What lies directly in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def source(tmp_path_factory, tiny) -> Path:
    """Three tiny scans."""
    folder = tmp_path_factory.mktemp("killed") / "source"
    for number in range(3):
        tiny.nifti(folder / f"scan-{number}.nii.gz", number)
    return folder


@pytest.fixture(scope="module")
def unbroken(source, tiny_grid) -> Path:
    """The store that a run without a kill makes."""
    store = source.parent / "unbroken" / "hifi.zarr"
    list(ingest(source, store, grid=tiny_grid, key=KEY))
    return store


@pytest.mark.parametrize("kill_after", [2, 5])
def test_a_rerun_after_a_kill_equals_an_unbroken_run(
    source, unbroken, tmp_path, tiny_grid, kill_after
) -> None:
    """Every file of the store, byte for byte; killed just before a rename makes data visible."""
    broken = tmp_path / "broken" / "hifi.zarr"

    killed = run(source, broken, kill_after)
    items = list(ingest(source, broken, grid=tiny_grid, key=KEY))

    assert killed == -signal.SIGKILL
    assert len(items) == 3
    assert files_of(broken) == files_of(unbroken)
    assert names_in(broken.parent) == names_in(unbroken.parent)
