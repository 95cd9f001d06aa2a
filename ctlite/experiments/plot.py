"""The result of an experiment as a picture."""

import io
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ctlite.experiments.gather import Row
from ctlite.experiments.plan import Plan
from ctlite.experiments.statistics import Mean, mean_interval
from ctlite.experiments.summary import ArmSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 110
BAND = 0.15
"""Opacity of an interval."""


def can_plot() -> bool:
    """Tell whether matplotlib, of the extra `plot`, is installed."""
    return find_spec("matplotlib") is not None


def draw(plan: Plan, rows: Sequence[Row], summaries: Sequence[ArmSummary]) -> bytes:
    """Draw curves over steps, or AUROC over what the arms differ in.

    Args:
        plan: of the experiment.
        rows: of all its points.
        summaries: of all its arms.

    Returns:
        A PNG file.
    """
    from matplotlib.figure import Figure  # late: an extra, and slow to import

    figure = Figure(figsize=(7.5, 4.5), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    seeds = len(plan.seeds)
    told = f"mean and 95 % interval over {seeds} seeds" if seeds > 1 else "one seed"
    axes.set_title(f"{plan.experiment.title}\nscale: {plan.scale}; {told}", fontsize=10)
    if plan.experiment.measure == "curve":
        _draw_curves(axes, plan, rows)
    elif plan.experiment.axis is not None:
        _draw_lines(axes, plan, summaries)
    else:
        _draw_arms(axes, summaries)
    axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw_curves(axes: "Axes", plan: Plan, rows: Sequence[Row]) -> None:
    for arm in plan.experiment.arms:
        curves = [row.curve for row in rows if row.point.arm.name == arm.name and row.curve]
        steps = curves[0].steps
        means = [mean_interval(values) for values in zip(*(c.values for c in curves), strict=True)]
        (line,) = axes.plot(steps, [mean.value for mean in means], label=arm.title, linewidth=1.4)
        low, high = zip(*(_ends(mean) for mean in means), strict=True)
        axes.fill_between(steps, low, high, color=line.get_color(), alpha=BAND, linewidth=0)
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("error of the final tokens, tuning scans")
    axes.legend(fontsize=8)


def _draw_lines(axes: "Axes", plan: Plan, summaries: Sequence[ArmSummary]) -> None:
    """A line a group over `x`; an arm without `x` is a level across the picture."""
    groups: dict[str, list[tuple[float, Mean]]] = {}
    for arm, summary in zip(plan.experiment.arms, summaries, strict=True):
        mean = summary.means["auroc"]
        if arm.x is None:
            line = axes.axhline(mean.value, linestyle="--", linewidth=1, label=arm.title)
            line.set_color(f"C{7 + len(axes.lines) % 3}")
            continue
        groups.setdefault(arm.group or arm.title, []).append((arm.x, mean))
    for name, points in groups.items():
        places, means = zip(*points, strict=True)
        axes.errorbar(
            places,
            [mean.value for mean in means],
            yerr=_bars(means),
            marker="o",
            capsize=3,
            linewidth=1.4,
            label=name,
        )
    axes.set_xticks(sorted({arm.x for arm in plan.experiment.arms if arm.x is not None}))
    axes.set_xlabel(plan.experiment.axis or "")
    axes.set_ylabel("AUROC, test scans")
    axes.legend(fontsize=8)


def _draw_arms(axes: "Axes", summaries: Sequence[ArmSummary]) -> None:
    means = [summary.means["auroc"] for summary in summaries]
    places = list(range(len(means)))[::-1]
    values = [mean.value for mean in means]
    axes.errorbar(values, places, xerr=_bars(means), fmt="o", capsize=3)
    axes.set_yticks(places, [summary.title for summary in summaries])
    axes.set_xlabel("AUROC, test scans")


def _bars(means: Sequence[Mean]) -> list[list[float]]:
    ends = [(mean, *_ends(mean)) for mean in means]
    return [[m.value - low for m, low, _ in ends], [high - m.value for m, _, high in ends]]


def _ends(mean: Mean) -> tuple[float, float]:
    if mean.low is None or mean.high is None:
        return mean.value, mean.value
    return mean.low, mean.high
