"""What an evaluation leaves behind: `metrics.json`, checked when it is read again."""

import json
import math
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from ctprep.store.attributes import Attributes, Kind
from ctprep.store.errors import TableError
from ctprep.store.manifest import Prompts

ThresholdChoice = Literal["tune", "stored", "same-set"]
Level = Literal["reconstruction", "scan"]


class Interval(Attributes):
    """A metric with its 95 % interval; None where it has no value, or too few patients to tell."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, value: float, ends: tuple[float, float]) -> "Interval":
        """Turn NaN, which JSON lacks, into None.

        Args:
            value: the metric.
            ends: of the interval.

        Returns:
            The interval.
        """
        kept = [None if math.isnan(number) else float(number) for number in (value, *ends)]
        return cls(value=kept[0], low=kept[1], high=kept[2])


class LabelScores(Attributes):
    """The metrics of one abnormality."""

    auroc: Interval
    weighted_f1: Interval
    accuracy: Interval
    threshold: float | None
    """A score must exceed it to mean present."""
    positives: int
    negatives: int
    missing: int
    left_out: str | None = None
    """Why the label is not in the macro means, if it is not."""
    no_interval: str | None = None
    """Why its metrics have no intervals, if they have none."""


class LevelScores(Attributes):
    """The metrics over one unit of counting."""

    units: int
    """Reconstructions, or scans with the mean score of their reconstructions."""
    patients: int
    auroc: Interval
    """Mean over the labels that are not left out; likewise the next two."""
    weighted_f1: Interval
    accuracy: Interval
    labels: dict[str, LabelScores]


class Scores(Attributes):
    """An evaluation, with what one needs to know to repeat it."""

    run: str
    """Name of the run folder."""
    store: str
    """Name of the store folder."""
    store_kind: Kind
    bytes_per_volume: float
    """Mean size of the shards that were read."""
    head_parameters: int
    """Parameters of the layer from pooled tokens to the image latent."""
    prompts: Prompts
    thresholds: ThresholdChoice
    """`same-set` thresholds were chosen on the scores they are applied to, which flatters."""
    resamples: int
    seed: int
    levels: dict[Level, LevelScores]

    def encode(self) -> bytes:
        """Give the content of `metrics.json`."""
        return (self.model_dump_json(indent=2) + "\n").encode("utf-8")

    @classmethod
    def read(cls, path: Path) -> "Scores":
        """Read what `encode` has given.

        Args:
            path: of `metrics.json`.

        Returns:
            The scores.

        Raises:
            TableError: there is no such file, or it says something else.
        """
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValidationError, ValueError) as error:
            raise TableError(
                f"scores cannot be read: {str(error).splitlines()[0]}",
                mend="evaluate the run first: ctlite eval RUN",
                where="/".join(path.parts[-3:]),
            ) from error
