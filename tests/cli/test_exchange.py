"""What the verbs that tell a corpus to other programs print, write and exit with."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cli.ctprep import app
from tests.corpora import write_corpus

ABOUT = """
name = "tiny"
description = "Four made-up scans."
license = "https://creativecommons.org/publicdomain/zero/1.0/"
url = "https://example.org/tiny"
creators = [{ name = "Nobody" }]
date_published = 2026-01-02
"""


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Folder of a store and its tables."""
    return write_corpus(tmp_path)


def run(*arguments: object) -> tuple[int, str]:
    """Exit code, and what was printed."""
    done = CliRunner().invoke(app, [str(part) for part in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done.exit_code, done.output


def test_one_command_exports_for_monai(corpus: Path, tmp_path: Path) -> None:
    """What does not fit is told; a second run changes nothing; a damaged volume exits with 3."""
    out = tmp_path / "out"
    command = ("export-monai", corpus / "hifi.zarr", out, "--workers", 1)
    tables = ("--scans", corpus / "scans.csv", "--labels", corpus / "labels.csv")

    code, output = run(*command, *tables, "--dry-run")
    assert code == 0
    assert "export-monai: 4 planned; datalist.json planned" in output
    assert not out.exists()
    code, output = run(*command, *tables)
    assert code == 0
    assert "2 training, 1 validation, 1 test" in output
    assert "1 scans of the table are not in the store, such as gone" in output
    assert "1 listed scans have no row of labels" in output
    assert "export-monai: 4 stored; datalist.json stored" in output
    code, output = run(*command, *tables, "--json")
    plan, *items = [json.loads(line) for line in output.splitlines()]
    assert plan | {"is": "datalist", "training": 2, "absent": ["gone"], "unlabeled": 1} == plan
    assert {item["status"] for item in items} == {"unchanged"}
    assert items[-1]["name"] == "datalist.json"
    (out / "a1.nii.gz").write_bytes(b"")
    code, output = run(*command, *tables)
    assert code == 3
    assert "--overwrite" in output
    assert run(*command, *tables, "--overwrite")[0] == 0


def test_a_corpus_is_described_once(corpus: Path) -> None:
    """What does not fit and what the owner left out is told; nothing is replaced unasked."""
    (corpus / "about.toml").write_text(ABOUT)
    out = corpus / "croissant.json"
    command = ("describe", corpus / "hifi.zarr", out, "--about", corpus / "about.toml")
    tables = ("--scans", corpus / "scans.csv", "--labels", corpus / "labels.csv")

    code, output = run(*command, *tables, "--dry-run")
    assert code == 0
    assert not out.exists()
    code, output = run(*command, *tables)
    assert code == 0
    assert "1 scans of the scan table are not in the store, such as gone" in output
    assert "1 scans of the store are not in the label table, such as c1" in output
    assert "does not give what Croissant recommends: version, cite_as" in output
    assert json.loads(out.read_text())["name"] == "tiny"
    assert "says this already" in run(*command, *tables)[1]
    code, output = run(*command)
    assert code == 1
    assert "another file is there already" in output
    code, output = run(*command, "--overwrite", "--json")
    assert code == 0
    assert json.loads(output)["written"]


def test_a_licence_is_not_made_up(corpus: Path) -> None:
    """The command fails without one, and writes nothing."""
    (corpus / "about.toml").write_text(ABOUT.replace("license", "#"))

    code, output = run(
        "describe", corpus / "hifi.zarr", corpus / "c.json", "--about", corpus / "about.toml"
    )

    assert code == 1
    assert "license: Field required" in output
    assert not (corpus / "c.json").exists()


def test_both_exports_spell_their_options_alike() -> None:
    """`--original-grid` and `--overwrite` say the same of each."""
    verbs = typer.main.get_command(app).commands
    told = {
        verb: {option.name: option.help for option in verbs[verb].params if hasattr(option, "help")}
        for verb in ("export", "export-monai")
    }

    for name in ("original_grid", "overwrite"):
        assert told["export"][name] == told["export-monai"][name]
