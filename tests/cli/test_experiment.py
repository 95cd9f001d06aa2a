"""`ctlite experiment` tells its plan, makes what is missing, and refuses what it cannot make."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.ctlite import app
from cli.experiment_stores import make_missing, missing_stores
from ctlite.experiments.corpus import Corpus, find_corpus
from ctprep.store.errors import RecipeError
from ctprep.store.store import VolumeStore
from ctprep.store.tables import read_scans

runner = CliRunner()


def test_a_dry_run_tells_the_runs(tmp_path: Path) -> None:
    """Each with its size, what it begins from and whether it is done; nothing is written."""
    out = tmp_path / "out"
    arguments = ["experiment", "rank-sweep", "--out", str(out), "--seeds", "2", "--dry-run"]
    result = runner.invoke(app, [*arguments, "--set", "sfp:schedule.steps=7"])

    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == f"{out}/runs/teacher/seed-0: clip, 600 steps of 16 scans (to do)"
    begin = f"from {out}/runs/fast/seed-1"
    assert f"{out}/runs/sfp-rank-3/seed-1: sfp, 7 steps of 16 scans, {begin} (to do)" in lines
    assert f"{out}/phantom/q90.zarr: to be made" in lines
    assert lines[-1].startswith("rank-sweep: 11 runs, 11 to do with ")
    assert not out.exists()


def test_a_dry_run_for_machines(tmp_path: Path) -> None:
    """One JSON object."""
    arguments = ["experiment", "comparison", "--out", str(tmp_path), "--seeds", "1"]
    result = runner.invoke(app, [*arguments, "--dry-run", "--json"])
    plan = json.loads(result.output)

    assert plan["missing_stores"] == ["hifi", "q90"]
    assert [run["run"] for run in plan["runs"]][:2] == ["teacher", "finetune-full"]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["ranks"], "error: there is no experiment 'ranks'"),
        (["rank-sweep", "--set", "corpus.label=x"], "error: the override 'corpus.label=x' sets"),
    ],
)
def test_what_is_wrong_is_told_in_three_lines(arguments: list[str], what: str) -> None:
    """With what there is instead."""
    result = runner.invoke(app, ["experiment", *arguments, "--dry-run"])

    assert result.exit_code == 1
    assert result.output.startswith(what)
    assert "\n  mend:  " in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["experiment", "rank-sweep", "--scale", "full", "--dry-run"],
        ["eval", "run", "--scans", "s.csv", "--labels", "l.csv", "--thresholds", "full"],
    ],
)
def test_an_unknown_choice_is_told_before_anything_is_read(arguments: list[str]) -> None:
    """With the known ones, as wrong usage is."""
    result = runner.invoke(app, arguments)

    assert result.exit_code == 2
    assert "'full' is not one of '" in result.output


def test_real_data_is_never_made(tmp_path: Path) -> None:
    """A hi-fi store that is absent needs an archive."""
    corpus = find_corpus("paper", tmp_path, [f"corpus.hifi={tmp_path}/hifi.zarr"])

    with pytest.raises(RecipeError, match=r"nothing is known that it can be made from") as caught:
        list(make_missing(corpus, ["hifi"]))
    assert "corpus.archive" in caught.value.mend


@pytest.mark.slow
def test_the_synthetic_corpus_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Source, stores before and after resampling, reports; then there is nothing left to do."""
    monkeypatch.setattr("cli.experiment_stores.count_cores", lambda: 1)
    corpus = find_corpus("phantom", tmp_path, ["corpus.patients=3"])
    names = ["hifi", "native-q50", "q30"]
    made = list(make_missing(corpus, names))

    assert made[0] == str(tmp_path / "phantom" / "source")
    assert made[1] == corpus.hifi
    assert missing_stores(corpus, names) == []
    assert list(make_missing(corpus, names)) == []
    before, after = (VolumeStore.open(corpus.path(name)) for name in names[1:])
    assert (before.attributes.encode_at, before.attributes.quality) == ("native", 50)
    assert (after.attributes.encode_at, after.attributes.quality) == ("resampled", 30)
    assert len(before.scan_ids()) == len(read_scans(corpus.scans))
    assert corpus.reports.is_file()
    other = Corpus(**(corpus.model_dump() | {"patients": 4}))
    with pytest.raises(RecipeError, match=r"has 3 patients of seed 1, not 4"):
        list(make_missing(other, names))
