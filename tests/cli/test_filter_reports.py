"""`ctprep filter-reports` with language models, as a user types it."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import ctprep
from ctprep.store import tables
from ctprep.store.tables import read_reports
from tests.ctprep.reports.chat_server import Reply, Seen, in_turn, says, serve

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


COMMAND = (
    # A shell has what it puts in the background ignore the signal, and so what that starts.
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from cli.ctprep import main; main()"
)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15)])
def test_a_stop_waits_for_no_answer(table: Path, number: int, code: int) -> None:
    """The answer that has come is kept, and the one that is under way is not waited for."""
    out = table.with_name("out.parquet")
    answers = out.with_name("out.parquet.answers.jsonl")

    def answer(seen: Seen, _: int) -> Reply:
        return Reply(wait_s=100.0) if "clear" in seen.question else says("[0]")

    with serve(answer) as server:
        words = ("filter-reports", table, out, "--backend", "openai", "--model", "m")
        words = (sys.executable, "-c", COMMAND, *words, "--base-url", server.url)
        with subprocess.Popen(list(map(str, words)), stderr=subprocess.PIPE, text=True) as run:
            while not answers.is_file() or not server.open_now:
                assert run.poll() is None
                time.sleep(0.05)
            run.send_signal(number)
            _, told = run.communicate(timeout=30)
            assert server.open_now == 1

    assert run.returncode == code
    assert ("run the same command again" in told) == (number == signal.SIGINT)
    assert len(answers.read_text().split("\n")) == 2
    assert not out.exists()


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
    refusal = (
        "refused c: the report has no text of findings or impression\n"
        "  mend:  give its text, or take the scan off"
    )
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
