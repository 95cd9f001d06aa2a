"""Whatever lies in a source is met once: links, what cannot be read, what is no file."""

import os
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ctprep.ingest import check_places, ingest
from ctprep.sources.discover import discover
from ctprep.sources.source import Found, Refused
from ctprep.sources.walk import walk
from ctprep.store.errors import SourceError
from ctprep.store.place import find_place


def _write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("no scan")
    return path


def _walked(source: Path) -> dict[str, str]:
    """Each name, and its verdict; empty for a file that is read."""
    told = {}
    for outcome in walk(source, source):
        refused = isinstance(outcome, Refused)
        name = outcome.name if refused else outcome.relative_to(source).as_posix()
        assert name not in told
        told[name] = outcome.verdict if refused else ""
    return told


def test_the_folder_itself_comes_in_order(tmp_path: Path) -> None:
    """The files of a folder by name, then its folders."""
    for name in ("b.txt", "a/z.txt", "a.txt", "a/b/c.txt", "c/d.txt"):
        _write(tmp_path / name)

    assert list(_walked(tmp_path)) == ["a.txt", "b.txt", "a/z.txt", "a/b/c.txt", "c/d.txt"]


def test_links_are_followed_and_nothing_is_read_twice(tmp_path: Path) -> None:
    """Out of the source to what lies nowhere else; within it to what is read where it lies."""
    source, outside = tmp_path / "source", tmp_path / "outside"
    _write(source / "own" / "file.txt")
    for name in ("series/1.txt", "series/2.txt", "alone.txt", "other/alone.txt"):
        _write(outside / name)
    (source / "a-file").symlink_to(outside / "alone.txt")
    (source / "b-file-again").symlink_to(source / "a-file")
    (source / "c-folder").symlink_to(outside / "series")
    (source / "d-folder-again").symlink_to(outside / "series")
    (source / "e-file-of-folder").symlink_to(outside / "series" / "1.txt")
    (source / "f-own-file").symlink_to("own/file.txt")
    (source / "g-own-folder").symlink_to("own")
    (source / "h-hard").hardlink_to(source / "own" / "file.txt")
    (outside / "series" / "x").symlink_to(outside / "other")

    assert _walked(source) == {
        "own/file.txt": "",
        "h-hard": "",
        "a-file": "",
        "b-file-again": "link",
        "c-folder/1.txt": "",
        "c-folder/2.txt": "",
        "c-folder/x/alone.txt": "",
        "d-folder-again": "link",
        "e-file-of-folder": "link",
        "f-own-file": "link",
        "g-own-folder": "link",
    }


def test_circles_and_dead_ends_end(tmp_path: Path) -> None:
    """Links to nothing, to themselves, to the source, above it, and back from outside."""
    source, outside = tmp_path / "source", tmp_path / "outside"
    _write(source / "file.txt")
    _write(outside / "file.txt")
    (source / "dangling").symlink_to("nowhere")
    (source / "self").symlink_to("self")
    (source / "ping").symlink_to("pong")
    (source / "pong").symlink_to("ping")
    (source / "source").symlink_to(source)
    (source / "above").symlink_to(tmp_path)
    (source / "root").symlink_to("/")
    (source / "outside").symlink_to(outside)
    (outside / "back").symlink_to(source)
    (outside / "again").symlink_to(outside)

    told = _walked(source)

    assert {name for name, verdict in told.items() if not verdict} == {
        "file.txt",
        "outside/file.txt",
    }
    assert {verdict for verdict in told.values() if verdict} == {"link"}
    assert len(told) == 2 + 7 + 2


def test_what_is_no_regular_file_is_told_and_never_opened(tmp_path: Path) -> None:
    """A pipe would be waited for forever."""
    os.mkfifo(tmp_path / "pipe.dcm")
    (tmp_path / "pipe-link.dcm").symlink_to("pipe.dcm")
    (tmp_path / "device.dcm").symlink_to("/dev/zero")
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(tmp_path / "socket"))
    bound.close()

    for source in (tmp_path, tmp_path / "pipe.dcm"):
        outcomes = list(discover(source))
        assert outcomes
        assert {outcome.verdict for outcome in outcomes} <= {"not-a-scan"}


def test_a_scan_behind_a_link_is_ingested(tmp_path: Path, tiny, tiny_grid) -> None:
    """A series, a file and an archive: named by the link, listed in a table by either name."""
    outside, source = tmp_path / "outside", tmp_path / "source"
    source.mkdir()
    tiny.dicom(outside / "series", 1)
    tiny.nifti(outside / "scan.nii.gz", 2)
    (source / "series").symlink_to(outside / "series")
    (source / "scan.nii.gz").symlink_to(outside / "scan.nii.gz")
    (source / "bad.nii.gz").symlink_to(_write(outside / "bad.nii.gz"))
    table = tmp_path / "scans.csv"
    rows = ("scan_id,patient_id,split,path", "a,p,train,series", "b,q,train,scan.nii.gz")
    table.write_text("\n".join([*rows, "c,r,train,bad.nii.gz"]))

    items = list(ingest(source, tmp_path / "hifi.zarr", grid=tiny_grid, key=b"k" * 16, scans=table))

    assert {(item.scan_id, item.status) for item in items} == {
        ("a", "stored"),
        ("b", "stored"),
        ("c", "refused"),
    }


@pytest.fixture
def denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source in which a folder cannot be listed and a file cannot be opened."""
    _write(tmp_path / "denied" / "file.txt")
    _write(tmp_path / "scan.dcm")
    _write(tmp_path / "scan.zip")
    scandir, opened = os.scandir, Path.open

    def fake_scandir(path):
        if Path(path).name == "denied":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    def fake_open(path, *arguments, **options):
        if path.name.startswith("scan"):
            raise PermissionError(13, "Permission denied", path)
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "scandir", fake_scandir)
    monkeypatch.setattr(Path, "open", fake_open)
    return tmp_path


def test_what_cannot_be_read_is_told_and_the_run_goes_on(denied: Path, tiny) -> None:
    """A folder without rights hides its files, not the others."""
    tiny.nifti(denied / "z.nii.gz", 1)

    outcomes = list(discover(denied))

    assert {(o.name, o.verdict) for o in outcomes if isinstance(o, Refused)} == {
        ("denied", "unreadable"),
        ("scan.dcm", "unreadable"),
        ("scan.zip", "unreadable"),
    }
    assert [o.name for o in outcomes if isinstance(o, Found)] == ["z.nii.gz"]


DENIED = """
import os, sys
from pathlib import Path
from ctprep.sources.discover import discover
os.setgroups([]); os.setgid(65534); os.setuid(65534)  # others may not read the packages
for source in map(Path, sys.argv[1:]):
    for outcome in discover(source):
        print(outcome.name, outcome.verdict)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_somebody_without_rights_gets_rows() -> None:
    """As another user, with real denials: a folder, a folder without x, a file, links to them."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        for name in ("closed/1.txt", "listed/1.txt", "file.dcm"):
            _write(source / name)
        (source / "link").symlink_to(source / "listed" / "1.txt")
        for name, mode in ((".", 0o755), ("closed", 0), ("listed", 0o744), ("file.dcm", 0)):
            (source / name).chmod(mode)

        run = subprocess.run(
            [sys.executable, "-c", DENIED, source, source / "file.dcm"],
            capture_output=True,
            text=True,
            check=False,
        )

    assert run.stderr == ""
    assert set(run.stdout.splitlines()) == {
        "closed unreadable",
        "file.dcm unreadable",
        "listed/1.txt unreadable",
        "link link",
    }


def test_a_source_in_a_circle_is_absent(tmp_path: Path) -> None:
    """An error with a mend, no traceback."""
    (tmp_path / "self").symlink_to("self")

    with pytest.raises(SourceError) as caught:
        check_places(tmp_path / "self", find_place(tmp_path / "hifi.zarr"))

    assert caught.value.verdict == "absent"


def test_a_search_that_is_left_may_be_closed_by_another_thread(tmp_path: Path, tiny) -> None:
    """As the collector of memory does after a run that failed."""
    for name in ("a", "b"):
        tiny.dicom(tmp_path / name)
    search = discover(tmp_path)
    next(search)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(search.close).result()
