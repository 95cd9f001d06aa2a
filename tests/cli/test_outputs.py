"""Every command tells a bad output before its work: here each input is missing, and told later."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import ctlite, ctprep
from ctprep.exchange import monai
from ctprep.exchange.datalist import DatalistPlan
from ctprep.store.errors import PlaceError
from ctprep.store.tables import read_labels

RADBERT = "--backend radbert --model {0}/absent --probabilities"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file, folders where files ought to be, and a table of one report."""
    (tmp_path / "file").write_text("mine")
    for name in ("d.csv", "d.parquet", "d.html", "d.json", "d.npz", "d.onnx", "run/eval"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "stats" / "corpus.csv").mkdir(parents=True)
    (tmp_path / "run" / "eval" / "metrics.json").mkdir()
    (tmp_path / "raw.csv").write_text("scan_id,report_text\na,Emphysema is seen.\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("filter-reports {0}/no.csv {0}/d.parquet", "it is a folder"),
        ("filter-reports {0}/no.csv {0}/file/t.parquet", "a file is in the way"),
        ("filter-reports {0}/no.csv {0}/t.csv", "'t.csv' does not say so"),
        ("filter-reports {0}/t.parquet {0}/t.parquet --backend openai", "its own input"),
        ("label-reports {0}/no.csv {0}/file/l.csv", "a file is in the way"),
        ("label-reports {0}/no.csv {0}/l.xlsx", "'l.xlsx' does not say so"),
        ("label-reports {0}/no.csv {0}/l.csv " + RADBERT + " {0}/d.csv", "it is a folder"),
        ("label-reports {0}/no.csv {0}/l.csv " + RADBERT + " {0}/file/p.csv", "in the way"),
        ("label-reports {0}/no.csv {0}/l.csv " + RADBERT + " {0}/p.txt", "does not say so"),
        ("label-reports {0}/no.csv {0}/l.csv " + RADBERT + " {0}/l.csv", "to one file"),
        ("audit {0}/no.parquet {0}/d.html", "it is a folder"),
        ("audit {0}/no.parquet {0}/file/a.html", "a file is in the way"),
        ("split {0}/no.zarr {0}/d.csv", "it is a folder"),
        ("split {0}/no.zarr {0}/s.tsv", "'s.tsv' does not say so"),
        ("split {0}/no.zarr {0}/raw.csv --reports {0}/raw.csv", "its own input"),
        ("stats {0}/no.zarr --out {0}/file", "a file is in the way"),
        ("stats {0}/no.zarr --out {0}/stats", "it is a folder"),
        ("stats {0}/no.zarr --out {0}/s --labels {0}/s/corpus.csv", "its own input"),
        ("preview {0}/no.zarr --out {0}/file", "a file is in the way"),
        ("describe {0}/no.zarr {0}/d.json --about {0}/no.toml", "it is a folder"),
        ("embed {0}/no {0}/no {0}/d.npz", "it is a folder"),
        ("embed {0}/no {0}/no {0}/l.csv", "'l.csv' does not say so"),
        ("export-onnx {0}/no {0}/file/m.onnx", "a file is in the way"),
        ("export-onnx {0}/no {0}/m.pt", "'m.pt' does not say so"),
        ("eval {0}/run --labels {0}/no.csv --scans {0}/no.csv", "it is a folder"),
    ],
)
def test_a_bad_output_is_told_first(folder: Path, arguments: str, told: str) -> None:
    """In three lines, and nothing is made."""
    before = sorted(folder.rglob("*"))
    app = ctlite.app if arguments.split()[0] in ("embed", "export-onnx", "eval") else ctprep.app

    done = CliRunner().invoke(app, arguments.format(folder).split())

    assert done.exit_code == 1, done.output
    assert told in done.output
    assert [line[:9] for line in done.output.splitlines()[1:]] == ["  where: ", "  mend:  "]
    assert sorted(folder.rglob("*")) == before


def test_a_datalist_that_cannot_be_written(folder: Path) -> None:
    """Before the first volume."""
    (folder / "datalist.json").mkdir()

    plan = DatalistPlan({}, {}, (), (), 0, 0)

    with pytest.raises(PlaceError, match="it is a folder"):
        next(monai.export_monai(folder / "no.zarr", folder, plan))


def test_labels_are_written_as_they_are_called(folder: Path) -> None:
    """As Parquet, too."""
    labels = folder / "l.parquet"

    done = CliRunner().invoke(ctprep.app, ["label-reports", str(folder / "raw.csv"), str(labels)])

    assert done.exit_code == 0, done.output
    assert labels.read_bytes()[:4] == b"PAR1"
    assert read_labels(labels).values[:, 7].tolist() == [1.0]
