"""The table tells means, intervals, differences and what is kept, as worked out by hand."""

from pathlib import Path

import pytest

from ctlite.experiments.corpus import find_corpus
from ctlite.experiments.definition import load_experiment
from ctlite.experiments.gather import Row
from ctlite.experiments.plan import Plan, plan_experiment
from ctlite.experiments.summary import kept_share, summarize_arms
from ctlite.experiments.table import to_markdown


def plan_of(name: str) -> Plan:
    """Plan a shipped experiment with two seeds."""
    out = Path("out")
    corpus = find_corpus("phantom", out, [])
    return plan_experiment(load_experiment(name), "phantom", corpus, out, seeds=2)


def scored(plan: Plan, auroc: dict[tuple[str, int | None], float]) -> list[Row]:
    """Rows of given AUROC; other numbers are the same everywhere."""
    numbers = {"head_parameters": 2_304_000.0, "auroc_low": 0.7, "auroc_high": 0.9}
    return [
        Row(p, {"auroc": auroc.get((p.arm.name, p.seed), 0.75), "psnr_db": None, **numbers})
        for p in plan.points
    ]


def test_scores_are_held_against_the_teacher() -> None:
    """0.7 and 0.8 against 0.8: mean 0.75, 0.05 below, and 0.25 of 0.3 above chance."""
    plan = plan_of("comparison")
    values = {("teacher", None): 0.8, ("ct-lite", 0): 0.7, ("ct-lite", 1): 0.8}
    summaries = summarize_arms(plan, scored(plan, values))
    (row,) = [line for line in to_markdown(plan, summaries).splitlines() if "positive" in line]
    cells = [cell.strip() for cell in row.strip("|").split("|")]

    # Deviation 0.0707, over the root of 2, times 12.7062: 0.635.
    assert cells[1] == "0.750 (0.115 to 1.385)"
    assert cells[2:4] == ["-", "-"]
    assert cells[4:7] == ["0.700 to 0.900", "-0.050 (-0.685 to 0.585)", "83.3%"]
    assert cells[7] == "2,304,000"
    assert cells[-1] == "-"


def test_the_teacher_has_no_interval() -> None:
    """It is one."""
    plan = plan_of("comparison")
    summaries = summarize_arms(plan, scored(plan, {("teacher", None): 0.8}))

    assert summaries[0].means["auroc"].low is None
    assert summaries[0].differences == {}
    assert kept_share(summaries[1], summaries[0]) == pytest.approx(0.25 / 0.3)


def test_a_level_that_one_seed_misses_has_no_mean() -> None:
    """The mean of the others would flatter the arm."""
    plan = plan_of("loss-ablation")
    rows = [
        Row(p, {"final_end": 0.5, "log_area": -0.3, "steps_to_level": 9.0 if p.seed else None})
        for p in plan.points
    ]
    summaries = summarize_arms(plan, rows)
    line = to_markdown(plan, summaries).splitlines()[2]

    assert "steps_to_level" not in summaries[0].means
    assert line.split("|")[2:5] == [
        " 0.5000 (0.5000 to 0.5000) ", " -0.3000 (-0.3000 to -0.3000) ", " - ",
    ]  # fmt: skip
