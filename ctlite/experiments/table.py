"""The result of an experiment as a Markdown table."""

from collections.abc import Sequence

from ctlite.experiments.plan import Plan
from ctlite.experiments.statistics import Mean
from ctlite.experiments.summary import ArmSummary, kept_share

CURVE_COLUMNS = {
    "final_end": "error at the end",
    "log_area": "mean log10 of the error",
    "steps_to_level": "steps to the level",
}
CURVE_DIGITS = {"final_end": 4, "log_area": 4, "steps_to_level": 0}
SCORE_COLUMNS = {"auroc": "AUROC", "weighted_f1": "weighted F1", "accuracy": "accuracy"}


def to_markdown(plan: Plan, summaries: Sequence[ArmSummary]) -> str:
    """Write a row an arm; numbers are means over seeds with 95 % intervals.

    Args:
        plan: of the experiment.
        summaries: of its arms.

    Returns:
        A table, and a line on what its numbers are.
    """
    reference = next(each for each in summaries if each.arm == plan.experiment.reference)
    is_curve = plan.experiment.measure == "curve"
    header = _curve_header(reference.title) if is_curve else _score_header(reference.title)
    lines = [header, ["---"] * len(header)]
    for summary in summaries:
        cells = _curve_cells(summary) if is_curve else _score_cells(summary, reference)
        lines.append([summary.title, *cells])
    table = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    seeds = len(plan.seeds)
    told = f"Means over {seeds} seeds with 95 % t-intervals" if seeds > 1 else "One seed"
    return f"{table}\n\n{told}; scale: {plan.scale}.\n"


def _curve_header(reference: str) -> list[str]:
    columns = list(CURVE_COLUMNS.values())
    return ["arm", *columns, *(f"{name}, minus {reference}" for name in columns[:2])]


def _curve_cells(summary: ArmSummary) -> list[str]:
    means = [_tell(summary.means.get(name), digits) for name, digits in CURVE_DIGITS.items()]
    return means + [_tell(summary.differences.get(name), 4) for name in list(CURVE_COLUMNS)[:2]]


def _score_header(reference: str) -> list[str]:
    scores = list(SCORE_COLUMNS.values())
    return [
        *("arm", *scores, "AUROC by patient", f"AUROC minus {reference}", "kept above chance"),
        *("head parameters", "ideal", "share of dense", "bytes a volume", "PSNR (dB)"),
    ]


def _score_cells(summary: ArmSummary, reference: ArmSummary) -> list[str]:
    means = summary.means
    by_patient = "-"
    if "auroc_low" in means and "auroc_high" in means:
        by_patient = f"{means['auroc_low'].value:.3f} to {means['auroc_high'].value:.3f}"
    kept = kept_share(summary, reference)
    return [
        *(_tell(means.get(name), 3) for name in SCORE_COLUMNS),
        by_patient,
        _tell(summary.differences.get("auroc"), 3),
        "-" if kept is None else f"{kept:.1%}",
        _plain(means.get("head_parameters"), ",.0f"),
        _plain(means.get("head_parameters_ideal"), ",.0f"),
        _plain(means.get("head_share"), ".3f"),
        _plain(means.get("bytes_per_volume"), ",.0f"),
        _plain(means.get("psnr_db"), ".1f"),
    ]


def _tell(mean: Mean | None, digits: int) -> str:
    if mean is None:
        return "-"
    told = f"{mean.value:.{digits}f}"
    if mean.low is None or mean.high is None:
        return told
    return f"{told} ({mean.low:.{digits}f} to {mean.high:.{digits}f})"


def _plain(mean: Mean | None, form: str) -> str:
    return "-" if mean is None else format(mean.value, form)
