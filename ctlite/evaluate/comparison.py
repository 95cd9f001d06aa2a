"""Several evaluated runs beside each other, as the rows of the paper's table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ctlite.evaluate.scores import Interval, Level, Scores
from ctprep.store.attributes import Kind
from ctprep.store.errors import TableError


@dataclass(frozen=True)
class ComparisonRow:
    """One run."""

    run: str
    store_kind: Kind
    units: int
    auroc: Interval
    weighted_f1: Interval
    accuracy: Interval
    head_parameters: int
    bytes_per_volume: float
    thresholds: str


def compare_runs(
    runs: Sequence[Path], *, level: Level = "reconstruction"
) -> tuple[ComparisonRow, ...]:
    """Gather the scores of runs.

    Args:
        runs: run folders that have been evaluated.
        level: unit of counting.

    Returns:
        A row a run, in the order given.

    Raises:
        TableError: a run has no scores of that level, or the runs were scored on different
            labels or numbers of scans, so that their means say nothing about each other.
    """
    all_scores = [Scores.read(run / "eval" / "metrics.json") for run in runs]
    for scores in all_scores:
        if level not in scores.levels:
            raise TableError(
                f"run {scores.run} has no scores per {level}",
                mend="give study_id in the scan table and evaluate again",
            )
    _check_alike(all_scores, level)
    return tuple(_row(scores, level) for scores in all_scores)


def _row(scores: Scores, level: Level) -> ComparisonRow:
    means = scores.levels[level]
    return ComparisonRow(
        run=scores.run,
        store_kind=scores.store_kind,
        units=means.units,
        auroc=means.auroc,
        weighted_f1=means.weighted_f1,
        accuracy=means.accuracy,
        head_parameters=scores.head_parameters,
        bytes_per_volume=scores.bytes_per_volume,
        thresholds=scores.thresholds,
    )


def _check_alike(all_scores: Sequence[Scores], level: Level) -> None:
    def tested(scores: Scores) -> dict[str, tuple[int, int]]:
        labels = scores.levels[level].labels
        return {name: (label.positives, label.negatives) for name, label in labels.items()}

    for scores in all_scores[1:]:
        if tested(scores) != tested(all_scores[0]):
            raise TableError(
                f"runs {all_scores[0].run} and {scores.run} were scored on different scans or "
                "labels",
                mend="evaluate both with the same scan table and label table",
            )
