"""Points of an experiment to one row an arm: means over seeds and differences to the reference."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ctlite.experiments.gather import Row
from ctlite.experiments.plan import Plan
from ctlite.experiments.statistics import Mean, mean_interval, paired_difference

CHANCE = 0.5
"""AUROC of scores that know nothing."""


@dataclass(frozen=True)
class ArmSummary:
    """An arm over all seeds."""

    arm: str
    title: str
    means: dict[str, Mean]
    """By number; one that a seed lacks is not here."""
    differences: dict[str, Mean]
    """To the reference arm, paired by seed; empty for the reference itself."""


def summarize_arms(plan: Plan, rows: Sequence[Row]) -> list[ArmSummary]:
    """Average over seeds.

    Args:
        plan: of the experiment.
        rows: of all its points.

    Returns:
        A summary an arm, in their order.
    """
    columns = {arm.name: _columns(rows, arm.name) for arm in plan.experiment.arms}
    reference = columns[plan.experiment.reference]
    found = []
    for arm in plan.experiment.arms:
        own = columns[arm.name]
        differences = {
            name: paired_difference(values, reference[name])
            for name, values in own.items()
            if arm.name != plan.experiment.reference
            and name in reference
            # One value against many has no pairs; many against one have it for all.
            and len(reference[name]) in (1, len(values))
        }
        means = {name: mean_interval(values) for name, values in own.items()}
        found.append(ArmSummary(arm.name, arm.title, means, differences))
    return found


def _columns(rows: Sequence[Row], arm: str) -> dict[str, list[float]]:
    own = [row.numbers for row in rows if row.point.arm.name == arm]
    return {
        name: [float(value) for value in values if value is not None]
        for name in own[0]
        if None not in (values := [numbers[name] for numbers in own])
    }


def kept_share(summary: ArmSummary, reference: ArmSummary) -> float | None:
    """Tell how much of the reference's AUROC above chance an arm keeps.

    Args:
        summary: of the arm.
        reference: of the arm it is held against.

    Returns:
        1 for as good; None where there is no AUROC.
    """
    if "auroc" not in summary.means or "auroc" not in reference.means:
        return None
    above = reference.means["auroc"].value - CHANCE
    return (summary.means["auroc"].value - CHANCE) / above if above else None


def write_results(
    folder: Path, plan: Plan, rows: Sequence[Row], summaries: Sequence[ArmSummary]
) -> None:
    """Write `results.csv`, a point a row, and `results.json` with the summaries besides.

    Args:
        folder: made where missing.
        plan: of the experiment.
        rows: of all points.
        summaries: of all arms.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = list(rows[0].numbers)
    with (folder / "results.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["arm", "seed", *names])
        for row in rows:
            values = ["" if row.numbers[name] is None else row.numbers[name] for name in names]
            seed = "" if row.point.seed is None else row.point.seed
            writer.writerow([row.point.arm.name, seed, *values])
    document = {
        "experiment": plan.experiment.name,
        "scale": plan.scale,
        "seeds": list(plan.seeds),
        "reference": plan.experiment.reference,
        "arms": [asdict(summary) for summary in summaries],
        "points": [_point(row) for row in rows],
    }
    text = json.dumps(document, indent=2) + "\n"
    (folder / "results.json").write_text(text, encoding="utf-8")


def _point(row: Row) -> dict[str, object]:
    point: dict[str, object] = {"arm": row.point.arm.name, "seed": row.point.seed, **row.numbers}
    return point if row.curve is None else point | {"curve": asdict(row.curve)}
