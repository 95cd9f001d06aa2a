"""A tiny experiment on the toy corpus: two arms of FAST, from one barely trained teacher."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ctlite.experiments.corpus import Corpus
from ctlite.experiments.definition import check_experiment
from ctlite.experiments.plan import Plan, plan_experiment
from ctlite.recipe import to_toml
from ctprep.store.tables import LabelTable, ScanRow, write_labels, write_scans

MakePlan = Callable[[str], Plan]
SPLITS = ("train", "train", "train", "train", "tune", "tune", "test", "test")


@pytest.fixture
def tiny_plan(toy_recipe, toy_corpus: Path, tmp_path: Path) -> MakePlan:
    """Plan it: `tiny_plan("curve")` or `tiny_plan("scores")`."""
    ids = tuple(f"s{number}" for number in range(8))
    rows = [
        ScanRow(scan_id=scan_id, patient_id=f"p{scan_id}", split=split, path=scan_id)
        for scan_id, split in zip(ids, SPLITS, strict=True)
    ]
    write_scans(toy_corpus / "scans.csv", rows)
    values = np.array([[number % 2, 1 - number % 2] for number in range(8)], float)
    write_labels(toy_corpus / "labels.csv", LabelTable(ids, ("emphysema", "nodule"), values))
    shared = ["schedule.steps=2", "schedule.checkpoint_steps=1", "data.batch_size=2"]
    options = {
        "clip": ["stage.codebook_batches=1"],
        "fast": ["init.from=x", "schedule.tune_steps=1", "stage.calibration_batches=1"],
    }
    recipes = {}
    for stage, given in options.items():
        recipe = toy_recipe(stage, *shared, *given)
        path = tmp_path / f"tiny-{stage}.toml"
        path.write_text(to_toml(recipe))
        recipes["teacher" if stage == "clip" else stage] = str(path)

    def make(measure: str) -> Plan:
        arms = [{"name": name, "title": name, "run": name} for name in ("final", "full")]
        teacher = {"name": "teacher", "title": "clean", "run": "teacher", "store": "hifi"}
        experiment = check_experiment(
            {
                "name": "tiny",
                "title": "Tiny",
                "measure": measure,
                "reference": "full" if measure == "curve" else "teacher",
                "level": "final" if measure == "curve" else None,
                "scales": {"phantom": {"recipes": recipes}},
                "runs": {
                    "final": {"recipe": "fast", "set": ["stage.style=false", "stage.dual=false"]},
                    "full": {"recipe": "fast"},
                },
                "arms": arms if measure == "curve" else [teacher, *arms],
            }
        )
        corpus = Corpus(
            hifi=str(toy_corpus / "hifi.zarr"),
            stores=str(toy_corpus),
            reports=toy_corpus / "reports.parquet",
            scans=toy_corpus / "scans.csv",
            labels=toy_corpus / "labels.csv",
            grid="toy",
        )
        return plan_experiment(experiment, "phantom", corpus, tmp_path / "out", seeds=2)

    return make
