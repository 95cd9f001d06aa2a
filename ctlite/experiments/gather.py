"""What the runs of an experiment left behind, as one row a point."""

import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from ctlite.evaluate.scores import Scores
from ctlite.experiments.plan import Plan, Point
from ctlite.experiments.statistics import log_area, steps_to_reach
from ctlite.models.config import ModelConfig
from ctlite.models.ct_clip import find_model
from ctlite.models.projection import sfp_parameter_counts
from ctprep.store.errors import TableError
from ctprep.store.store import VolumeStore

CURVE = "tune/end"
BOUNDS = ("auroc_low", "auroc_high")
"""Of AUROC, by patients."""


@dataclass(frozen=True)
class Curve:
    """A measure over the steps of a run."""

    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Row:
    """A point with its numbers; None where one has no value."""

    point: Point
    numbers: dict[str, float | None]
    curve: Curve | None = None


def gather(plan: Plan) -> list[Row]:
    """Read the results of all points.

    Args:
        plan: done to its end.

    Returns:
        Rows in the order of the points.

    Raises:
        CtError: a result is not there.
    """
    if plan.experiment.measure == "scores":
        return [_scored(point, plan) for point in plan.points]
    curves = {(p.arm.name, p.seed): read_curve(p.model) for p in plan.points}
    return [_traced(point, curves, plan.experiment.level) for point in plan.points]


def read_curve(run: Path) -> Curve:
    """Read the error of the final tokens on the tuning scans.

    Args:
        run: folder of a FAST run.

    Returns:
        Its values at the steps that measured it.

    Raises:
        TableError: it was never measured.
    """
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    found = [(record["step"], record[CURVE]) for record in records if CURVE in record]
    if not found:
        raise TableError(
            f"the run has no {CURVE}",
            mend="set schedule.tune_steps to at most schedule.steps",
            where=str(run),
        )
    steps, values = zip(*found, strict=True)
    return Curve(steps, values)


def _traced(point: Point, curves: dict[tuple[str, int | None], Curve], level: str | None) -> Row:
    curve = curves[point.arm.name, point.seed]
    numbers: dict[str, float | None] = {
        "final_end": curve.values[-1],
        "log_area": log_area(curve.steps, curve.values),
    }
    if level is not None:
        aim = curves[level, point.seed].values[-1]
        numbers["steps_to_level"] = steps_to_reach(curve.steps, curve.values, aim)
    return Row(point, numbers, curve)


def _scored(point: Point, plan: Plan) -> Row:
    scores = Scores.read(point.scores / "metrics.json")
    means = scores.levels["reconstruction"]
    config = ModelConfig.read(find_model(point.model))
    dense = config.projection_in * config.latent_dim
    ideal = float(dense)
    if config.rank is not None:
        ideal = sfp_parameter_counts(config.projection_in, config.latent_dim, config.rank)[1]
    return Row(
        point,
        {
            "auroc": means.auroc.value,
            "weighted_f1": means.weighted_f1.value,
            "accuracy": means.accuracy.value,
            "auroc_low": means.auroc.low,
            "auroc_high": means.auroc.high,
            "head_parameters": float(scores.head_parameters),
            "head_parameters_ideal": ideal,
            "head_share": scores.head_parameters / dense,
            "bytes_per_volume": scores.bytes_per_volume,
            "psnr_db": mean_psnr(point.store),
        },
    )


def mean_psnr(store: str) -> float | None:
    """Average the PSNR that compression left, as the catalog tells it.

    Args:
        store: of either kind.

    Returns:
        dB over all volumes; None for a store where none was measured.
    """
    mean = pc.mean(VolumeStore.open(store).catalog()["psnr_db"]).as_py()
    return None if mean is None else float(mean)
