"""`ctprep filter-reports` with language models, as a user types it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import ctprep
from ctprep.store import tables
from ctprep.store.tables import read_reports
from tests.ctprep.reports.chat_server import in_turn, says, serve

REPORTS = """scan_id,report_text
a,A nodule is seen. Dr. Jones was told on 12.03.2019.
b,Lungs are clear.
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two reports."""
    path = tmp_path / "raw.csv"
    path.write_text(REPORTS)
    return path


def _run(*words: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(ctprep.app, ["filter-reports", *map(str, words)])
    return result.exit_code, result.output


def test_a_server(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts of flags and of what was taken out are told, for people and machines."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    out = table.with_name("out.parquet")
    with serve(in_turn(says("[0]"))) as server:
        words = (table, out, "--backend", "openai", "--model", "m", "--base-url", server.url)
        code, told = _run(*words)
        asked = len(server.seen)
        again = _run(*words, "--json")

    assert code == 0
    assert "2 filtered; 2 of 3 sentences kept" in told
    assert "reports a second" in told
    assert "flags: 1 identifiers-removed" in told
    assert "taken out: 1 date, 1 name" in told
    assert (again[0], len(server.seen)) == (0, asked)
    assert json.loads(again[1])["removed"] == {"date": 1, "name": 1}


def test_identifiers_go_by_default(table: Path) -> None:
    """Also with the rules; --keep-identifiers leaves them."""
    out = table.with_name("out.parquet")

    _run(table, out)
    assert "Jones" not in read_reports(out).to_pylist()[0]["text_full"]
    _run(table, out, "--keep-identifiers")
    assert "Jones" in read_reports(out).to_pylist()[0]["text_full"]


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both verbs on reports count and tell them alike, and read the table once."""
    table = tmp_path / "raw.csv"
    table.write_text(REPORTS + "c,\n")
    reads: list[Path] = []
    read = tables.read_text_table
    monkeypatch.setattr(tables, "read_text_table", lambda path: reads.append(path) or read(path))

    filtered = CliRunner().invoke(
        ctprep.app, ["filter-reports", str(table), str(tmp_path / "out.parquet")]
    )
    assert reads == [table]
    labelled = CliRunner().invoke(
        ctprep.app, ["label-reports", str(table), str(tmp_path / "out.csv")]
    )

    assert (filtered.exit_code, labelled.exit_code) == (3, 3)
    refusal = "refused c: the report has no findings\n  mend:  give its text, or take the scan off"
    assert refusal in filtered.stderr
    assert refusal in labelled.stderr
    assert "filter-reports: 2 filtered, 1 refused; " in filtered.stdout
    assert "label-reports: 2 labelled, 1 refused; 1 labels present" in labelled.stdout


@pytest.mark.parametrize(
    ("words", "message", "mend"),
    [
        (["--backend", "magic"], "no report backend 'magic'", "use 'rules'"),
        (["--backend", "transformers"], "needs a model", "--model"),
        (["--backend", "transformers", "--model", "/no/folder"], "not on this machine", "download"),
        (["--backend", "openai", "--model", "m"], "needs the address", "--base-url"),
        (["--mode", "generative"], "cannot write a report again", "--mode extractive"),
        (["--concurrency", "2"], "does not take --concurrency", "leave it out"),
    ],
)
def test_errors(table: Path, words: list[str], message: str, mend: str) -> None:
    """What, and how to mend it."""
    code, told = _run(table, table.with_name("out.parquet"), *words)

    assert code == 1
    assert message in told
    assert mend in told.split("mend:")[1]
