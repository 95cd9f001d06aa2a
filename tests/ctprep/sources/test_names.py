"""File names of any bytes: what they name is ingested, and what is written of them is text."""

import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pydicom
import pytest
import SimpleITK
from typer.testing import CliRunner

from cli.ctprep import app
from ctprep.ingest import ingest
from ctprep.sources.discover import discover
from ctprep.sources.read import read
from ctprep.sources.source import Found
from ctprep.store.names import name_bytes, printable

KEY = b"0123456789abcdef"
LATIN = os.fsdecode(b"Bef\xfcnde")
"""How a folder of the last century is spelled: no UTF-8."""
ODD_NAMES = (
    LATIN,
    "two\nlines",
    "tab\tand\x7f",
    "\x1b[31mred\x1b[0m",
    'quoted"',
    "back\\slash",
    "bidi\u202egnp",
    "-rf *",
    "n" * 240,
)


def _ingest(source: Path, tmp_path: Path, grid) -> list:
    items = list(ingest(source, tmp_path / "hifi.zarr", grid=grid, key=KEY))
    report = (tmp_path / "hifi.report.jsonl").read_bytes().decode("utf-8")
    rows = [json.loads(line) for line in report.splitlines()]
    assert [row["name"] for row in rows] == [item.name for item in items]
    for row in rows:
        told = [text for text in (row["name"], row["what"], row["mend"], *row["mends"]) if text]
        assert all(text.isprintable() for text in told)
        "".join(told).encode("utf-8")
    pq.read_table(tmp_path / "hifi.zarr" / "catalog.parquet").to_pylist()
    return items


@pytest.mark.parametrize("name", ODD_NAMES)
def test_files_and_folders_of_any_name_are_ingested(tmp_path, tiny, tiny_grid, name) -> None:
    """A file, a series and a source folder, all called so; again, all is unchanged."""
    source = tmp_path / name
    tiny.nifti(source / f"{name}.nii.gz", 1)
    tiny.dicom(source / f"{name}_s" / name, 2)
    (source / f"{name}.txt").write_text("no scan")

    items = _ingest(source, tmp_path, tiny_grid)

    assert sorted(item.status for item in items) == ["refused", "stored", "stored"]
    assert sorted(item.status for item in _ingest(source, tmp_path, tiny_grid)) == [
        "refused",
        "unchanged",
        "unchanged",
    ]


def test_a_series_without_identifiers_goes_by_its_folder_of_any_name(tmp_path, tiny) -> None:
    """The folder stands for the series, and for the patient."""
    folder = tiny.dicom(tmp_path / "source" / f"{LATIN}|1", 1)
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        del dataset.SeriesInstanceUID, dataset.PatientID
        dataset.save_as(path)

    (found,) = discover(tmp_path / "source")

    assert isinstance(found, Found)
    assert read(found).volume.hu.shape[0] == len(found.paths)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_a_library_that_takes_only_text_gets_a_path_of_text(tmp_path, tiny, suffix) -> None:
    """The image library encodes its paths as UTF-8, and would fail on others."""
    plain = tmp_path / f"scan{suffix}"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(tiny.hu(1)), str(plain))
    (tmp_path / LATIN).mkdir()
    plain.rename(tmp_path / LATIN / f"{LATIN}{suffix}")

    (found,) = discover(tmp_path / LATIN)

    np.testing.assert_array_equal(read(found).volume.hu, tiny.hu(1))


def test_members_of_any_name_are_ingested(tmp_path, tiny, tiny_grid) -> None:
    """A zip of code page 437, tars of Latin 1, zeros and endless names."""
    source = tmp_path / "source"
    scan = tiny.nifti(tmp_path / "scan.nii.gz", 1).read_bytes()
    other = tiny.nifti(tmp_path / "scan.nii.gz", 2).read_bytes()
    source.mkdir()
    with zipfile.ZipFile(source / f"{LATIN}.zip", "w") as packed:
        packed.writestr("a_\x1b[1mb.nii.gz", scan)
        packed.writestr("m" * 60_000 + ".txt", b"no scan")
    marked = (source / f"{LATIN}.zip").read_bytes().replace(b"a_", b"a\xfc")
    (source / f"{LATIN}.zip").write_bytes(marked)
    for archive in ("latin.tar", f"{LATIN}.tar.gz"):
        mode = "w:gz" if archive.endswith("gz") else "w"
        with tarfile.open(source / archive, mode, format=tarfile.PAX_FORMAT) as packed:
            for name in (f"{LATIN}{archive[-1]}.nii.gz", "z\0" + "m" * 5_000 + ".txt"):
                info = tarfile.TarInfo(name)
                content = other if name.endswith("gz") else b"no scan"
                info.size = len(content)
                packed.addfile(info, io.BytesIO(content))

    items = _ingest(source, tmp_path, tiny_grid)

    assert [item.status for item in items].count("stored") == 3, items
    assert [item.verdict for item in items].count("not-a-scan") == 3


def test_what_the_command_prints_is_text(tmp_path, tiny) -> None:
    """No escape sequence reaches the terminal, and no name ends the run."""
    source = tmp_path / LATIN
    tiny.nifti(source / "scan.nii.gz", 1)
    for name in ("\x1b[31mred.txt", f"{LATIN}.txt"):
        (source / name).write_text("no scan")

    for verb in (["ingest", source, tmp_path / "hifi.zarr"], ["inspect", source]):
        for options in ([], ["--json"]):
            result = CliRunner().invoke(app, [*map(str, verb), *options])
            assert result.exit_code in (0, 3), result.output
            assert "\x1b[31m" not in result.output
            result.output.encode("utf-8")
    missing = CliRunner().invoke(app, ["inspect", str(tmp_path / f"{LATIN}x")])
    assert missing.exit_code == 1
    assert "Bef\\xfcndex" in missing.output


@pytest.mark.parametrize("verb", ["inspect", "ingest"])
def test_a_terminal_without_the_letters_ends_no_run(tmp_path: Path, verb: str) -> None:
    """It shows them escaped."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / f"Jürgen {LATIN}.txt").write_text("no scan")
    command = [sys.executable, "-c", "from cli.ctprep import main; main()", verb]
    store = [tmp_path / "hifi.zarr"] if verb == "ingest" else []

    run = subprocess.run(
        [*command, tmp_path / "source", *store],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )

    assert run.returncode in (0, 3), run.stderr
    assert b"Traceback" not in run.stderr


def test_printable_names_by_hand() -> None:
    """Bytes that are no UTF-8 as bytes, controls as Python spells them, the rest as it is."""
    assert printable(os.fsdecode(b"a\xffb")) == "a\\xffb"
    assert printable("\x1b[1m\n\u202e") == "\\x1b[1m\\n\\u202e"
    assert printable('Jürgen "肺" a\\b') == 'Jürgen "肺" a\\b'


def test_bytes_of_names() -> None:
    """Those of ordinary names are UTF-8, as the ids of earlier stores were; none fails."""
    assert name_bytes("Jürgen") == "Jürgen".encode()
    assert name_bytes("\udcff") != name_bytes("\ud800")
