"""From source files to a table of scores, by the commands a user types."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from cli import ctlite, ctprep

PATIENTS = 18
TINY_MODEL = (
    "model.dim=16", "model.heads=2", "model.dim_head=8", "model.codebook_size=16",
    "model.latent_dim=16", "model.spatial_depth=1", "model.temporal_depth=1",
    "model.text.width=16", "stage.codebook_batches=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every command has been run once."""
    out = tmp_path_factory.mktemp("way")
    torch.set_num_threads(1)
    source, hifi, jpeg = out / "source", out / "hifi.zarr", out / "jpeg.zarr"
    scans, labels, reports = source / "scans.csv", source / "labels.csv", out / "reports.parquet"
    alone = ["--workers", "1"]
    run(ctprep, "phantom", source, "--patients", PATIENTS, "--seed", 3, *alone)
    run(ctprep, "ingest", source / "scans", hifi, "--grid", "phantom", "--scans", scans, *alone)
    run(ctprep, "compress", hifi, jpeg, *alone)
    run(ctprep, "filter-reports", source / "reports.csv", reports)
    data = (f"data.scans={scans}", "data.batch_size=4", "schedule.steps=2")
    stores = (f"data.hifi_store={hifi}", f"data.jpeg_store={jpeg}", f"data.reports={reports}")
    train(out / "teacher", "demo-teacher", *data, stores[0], stores[2], *TINY_MODEL)
    train(out / "fast", "demo-fast", *data, *stores[:2], f"init.from={out / 'teacher'}",
          "stage.calibration_batches=1")  # fmt: skip
    train(out / "sfp", "demo-sfp", *data, *stores[1:], f"init.from={out / 'fast'}", "stage.rank=1")
    for name, store in (("teacher", hifi), ("sfp", jpeg)):
        run(ctlite, "eval", out / name, "--store", store, "--scans", scans, "--labels", labels)
    return out


def run(package: object, *arguments: object) -> str:
    """Run a command in this process, and give what it printed."""
    result = CliRunner().invoke(package.app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, f"{arguments}: {result.output}\n{result.exception}"
    return result.output


def train(out: Path, recipe: str, *overrides: str) -> None:
    """Train a shipped recipe with overrides."""
    run(ctlite, "train", recipe, "--out", out, *(part for o in overrides for part in ("--set", o)))


def test_every_scan_is_in_both_stores(way: Path) -> None:
    """Nothing is lost between the source's table and the stores."""
    listed = (way / "source" / "scans.csv").read_text().count("\n") - 1

    for store in ("hifi", "jpeg"):
        volumes = [path for path in (way / f"{store}.zarr").iterdir() if path.is_dir()]
        assert len(volumes) == listed


def test_scores_come_from_the_runs(way: Path) -> None:
    """The comparison prints what the evaluations wrote, and the head of SFP is the smaller."""
    printed = run(ctlite, "compare", way / "teacher", way / "sfp", "--json").splitlines()
    rows = [json.loads(line) for line in printed]
    written = json.loads((way / "sfp" / "eval" / "metrics.json").read_text())

    assert [row["run"] for row in rows] == ["teacher", "sfp"]
    assert rows[1]["auroc"] == written["levels"]["reconstruction"]["auroc"]
    # (11) at rank 1: 4 + 4 weights an input in place of 16.
    assert rows[1]["head_parameters"] * 16 == rows[0]["head_parameters"] * 8
    assert rows[1]["bytes_per_volume"] < rows[0]["bytes_per_volume"]


def test_a_second_run_changes_nothing(way: Path) -> None:
    """Ingest finds every volume unchanged, and a finished training has nothing to do."""
    source = way / "source"
    told = run(
        ctprep, "ingest", source / "scans", way / "hifi.zarr", "--grid", "phantom",
        "--scans", source / "scans.csv", "--workers", "1",
    )  # fmt: skip

    assert "unchanged" in told
    assert "stored" not in told
