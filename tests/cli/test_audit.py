"""`ctprep audit` and `audit-score`, as a user types them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import ctprep
from tests.ctprep.audit.tables import FIRST, SECOND, write_table
from tests.ctprep.audit.verdicts_files import write_judgements

SAID = {"b": ["keep", "drop", "keep"], "c": ["keep", "drop"]}


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    """Two tables of three reports."""
    one = write_table(tmp_path / "one.parquet", FIRST)
    return one, write_table(tmp_path / "two.parquet", SECOND)


def _run(*words: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(ctprep.app, [str(word) for word in words])
    return result.exit_code, result.output


def test_one_table(tables: tuple[Path, Path]) -> None:
    """A page, and how many of how many are on it."""
    page = tables[0].with_name("page.html")

    code, told = _run("audit", tables[0], page, "--sample", "2")

    assert code == 0
    assert "audit: 2 of 3 reports drawn, 3 in every table" in told
    assert "agreement" not in told
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_two_tables(tables: tuple[Path, Path]) -> None:
    """Agreement is told in a table and as JSON; report text in neither."""
    page = tables[0].with_name("page.html")

    code, told = _run("audit", *tables, page)
    again, line = _run("audit", *tables, page, "--json")
    found = json.loads(line)

    assert (code, again) == (0, 0)
    assert "62.50 %" in told
    assert "nothing-abnormal: 0 of A, 1 of B" in told
    assert "0 of 3 reports keep the same sentences" in told
    assert found["agreements"][0]["sentences"] == {
        "both": 2, "first_only": 2, "second_only": 1, "neither": 3,
        "agreement": 0.625, "kappa": 0.25,
    }  # fmt: skip
    assert (found["drawn"], found["page"]) == (3, str(page))
    assert "nodule" not in told + line


def test_scores(tables: tuple[Path, Path], tmp_path: Path) -> None:
    """Of both tables by both judges, for people and machines; a biased draw is told."""
    one = write_judgements(tmp_path / "1.csv", SAID)
    two = write_judgements(tmp_path / "2.csv", SAID, judge="CD", only="disagreeing")
    words = ("audit-score", tables[0], one, two, "--other", tables[1])

    code, told = _run(*words)
    found = json.loads(_run(*words, "--json")[1])

    assert code == 0
    assert "3 of 3" in told
    assert "1 of 3" in told
    assert told.count("too few reports") == 8
    assert "drawn from those that are disagreeing: these numbers are not of the whole" in told
    assert [score["recall"]["hits"] for score in found["scores"]] == [3, 1, 3, 1]
    assert found["raters"][0]["sentences"]["kappa"] == 1


def test_errors(tables: tuple[Path, Path], tmp_path: Path) -> None:
    """What, where, and how to mend it."""
    code, told = _run("audit", tmp_path / "none.parquet", tmp_path / "page.html")
    assert code == 1
    assert told.splitlines()[0] == "error: there is no such table"
    assert "  where: none.parquet" in told

    code, told = _run("audit-score", tables[0], tables[1])
    assert code == 1
    assert "give a file as the page saved it" in told

    assert _run("audit", *tables, tmp_path / "page.html", "--only", "odd")[0] == 2
