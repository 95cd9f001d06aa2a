"""What the verbs that look print, write and exit with."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner

from cli.ctprep import app
from cli.look_tables import tell_bytes
from ctprep.doctor.check import Check
from ctprep.ingest import ingest
from ctprep.store.attributes import Grid

GRID = Grid(name="tiny", spacing_mm=(4.0, 4.0, 4.0), shape=(8, 16, 16))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A hi-fi store of two scans, and their source beside it."""
    (tmp_path / "source").mkdir()
    hu = np.full((16, 16, 8), -1000, np.int16)
    hu[3:13, 3:13] = 40
    hu[5:11, 5:11] = -850
    for name in ("one", "two"):
        image = nibabel.Nifti1Image(hu, np.diag([4.0, 4.0, 4.0, 1.0]))
        nibabel.save(image, tmp_path / "source" / f"{name}.nii.gz")
    list(ingest(tmp_path / "source", tmp_path / "s.zarr", grid=GRID, key=b"k" * 16))
    return tmp_path / "s.zarr"


def run(*arguments: object) -> tuple[int, str]:
    """Exit code, and what was printed."""
    done = CliRunner().invoke(app, [str(part) for part in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done.exit_code, done.output


def test_inspect_tells_a_source_from_a_store(store: Path) -> None:
    """By what lies there; a file is read, and told in more detail."""
    for path, expected in (
        (store.parent / "source", {"is": "source", "candidates": 2}),
        (store.parent / "source" / "one.nii.gz", {"is": "source", "candidates": 1}),
        (store, {"is": "store", "volumes": 2}),
    ):
        code, output = run("inspect", path, "--json")
        told = json.loads(output)
        assert code == 0
        assert {key: told[key] for key in expected} == expected
        assert ("scan" in told) == path.is_file()
        assert run("inspect", path)[0] == 0
    assert "2 of 2 patients" in run("inspect", store)[1]


def test_inspect_shows_names_as_they_are(tmp_path: Path) -> None:
    """A file called like markup is not taken for it."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "[red]notes[bold].txt").write_text("nothing")

    code, output = run("inspect", tmp_path / "source")

    assert code == 0
    assert "[red]notes[bold].txt" in output


def test_inspect_names_what_is_not_there(tmp_path: Path) -> None:
    """As every verb does."""
    code, output = run("inspect", tmp_path / "absent")

    assert code == 1
    assert "where: absent" in output


def test_export_exits_with_3_where_files_are_in_the_way(store: Path, tmp_path: Path) -> None:
    """0 the first time; the refusal says which option replaces them."""
    out = tmp_path / "out"

    assert run("export", store, out, "--scan", "two", "--workers", 1)[0] == 0
    assert [path.name for path in out.iterdir()] == ["two.nii.gz"]
    code, output = run("export", store, out, "--workers", 1)
    assert code == 3
    assert "--overwrite" in output
    assert run("export", store, out, "--workers", 1, "--overwrite")[0] == 0
    assert run("export", store, out, "--format", "ome-zarr", "--workers", 1)[0] == 0
    code, output = run("export", store, out, "--format", "ome-zarr", "--original-grid")
    assert code == 1
    assert "mend:" in output


def test_preview_writes_pictures(store: Path, tmp_path: Path) -> None:
    """One of the scans, and a sheet of both; the window is an option."""
    code, output = run(
        "preview", store, "--out", tmp_path / "out", "--count", 1, "--window", 40, 400, "--json"
    )

    assert code == 0
    names = [json.loads(line)["name"] for line in output.splitlines()]
    assert names == ["one.png", "contact-sheet-1.png"]
    assert all((tmp_path / "out" / name).read_bytes()[1:4] == b"PNG" for name in names)


def test_stats_prints_what_it_writes(store: Path, tmp_path: Path) -> None:
    """Tables for people, one object for machines, files where asked."""
    labels = tmp_path / "labels.csv"
    labels.write_text("scan_id,Emphysema\none,1\ntwo,0\n")

    code, output = run("stats", store, "--labels", labels)
    assert code == 0
    assert "Emphysema" in output
    code, output = run("stats", store, "--labels", labels, "--out", tmp_path / "out", "--json")
    told = json.loads(output)
    assert code == 0
    assert told["labels"] == [
        {
            **{"label": "Emphysema", "split": "all", "positive": 1, "negative": 1},
            **{"missing": 0, "patients": 1},
        }
    ]
    assert told["histogram"]["percentiles"]["50 %"] < -800
    assert all(Path(path).is_file() for path in told["files"])


@pytest.mark.parametrize(
    ("status", "required", "code"), [("ok", True, 0), ("missing", False, 0), ("broken", True, 1)]
)
def test_doctor_fails_only_for_what_is_needed(monkeypatch, status, required, code) -> None:
    """An absent extra is told, with its command, and is no fault."""
    check = Check("DICOM", "RLE", status, required, "told why", "pip install x")
    monkeypatch.setattr("ctprep.doctor.doctor.examine", lambda _: iter([check]))

    found, output = run("doctor")
    assert found == code
    assert "pip install x" in output
    assert ("are needed: RLE" in output) == bool(code)

    found, output = run("doctor", "--json")
    assert found == code
    assert json.loads(output)["status"] == status


@pytest.mark.parametrize(
    ("nbytes", "told"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (55_300_000, "55.3 MB")]
)
def test_sizes_are_told_in_their_unit(nbytes: int, told: str) -> None:
    """A kB is 1000 bytes."""
    assert tell_bytes(nbytes) == told
