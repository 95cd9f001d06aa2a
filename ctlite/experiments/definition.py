"""What an experiment is: a question, the runs that answer it and the arms that are compared."""

import tomllib
from importlib import resources
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from ctlite.model_recipe import Section
from ctprep.store.errors import RecipeError

Scale = Literal["phantom", "paper"]
Measure = Literal["curve", "scores"]
TEACHER = "teacher"
CLEAN = "hifi"


class RunSection(Section):
    """A training run, made once a seed; a name means the same run in every experiment."""

    recipe: str
    """Role of its recipe, such as `fast`; the scale says which file that is."""
    after: str = TEACHER
    """Run whose model it begins from."""
    store: str = "q90"
    """JPEG store: `q90`, or `native-q90` for one compressed before resampling."""
    set: tuple[str, ...] = ()
    """Overrides of the recipe."""


class ArmSection(Section):
    """One row of the result: a run, and the volumes it is scored on."""

    name: str
    title: str
    run: str
    store: str = "q90"
    """Store that is scored: a JPEG store, or `hifi` for clean volumes."""
    group: str | None = None
    """Line of the picture that it is a point of."""
    x: float | None = None
    """Where on that line."""
    only: Scale | None = None
    """Scale that it is an arm of; None for all."""


class ScaleSection(Section):
    """What differs between the synthetic corpus and real data."""

    recipes: dict[str, str]
    """Shipped recipe by role."""
    set: tuple[str, ...] = ()
    """Overrides, for one role where they begin with `ROLE:`."""


class Experiment(Section):
    """All of it."""

    name: str
    title: str
    measure: Measure
    """`curve` reads `tune/end` of every run; `scores` scores its model zero-shot."""
    reference: str
    """Arm that the others are held against."""
    level: str | None = None
    """Of a curve: arm whose last value the others are to reach."""
    axis: str | None = None
    """What `x` of the arms is."""
    scales: dict[Scale, ScaleSection]
    runs: dict[str, RunSection] = Field(default_factory=dict)
    arms: tuple[ArmSection, ...]

    @model_validator(mode="after")
    def _check_names(self) -> "Experiment":
        known = {TEACHER, *self.runs}
        faults = [
            f"run {run.after} is not defined"
            for run in self.runs.values()
            if run.after not in known
        ]
        faults += [
            f"arm {arm.name}: there is no run {arm.run}"
            for arm in self.arms
            if arm.run not in known
        ]
        names = [arm.name for arm in self.arms]
        wanted = [self.reference, *([] if self.level is None else [self.level])]
        faults += [f"there is no arm {name}" for name in wanted if name not in names]
        if len(set(names)) < len(names):
            faults.append("two arms have one name")
        if faults:
            raise ValueError("; ".join(faults))
        return self


def experiment_names() -> list[str]:
    """Tell the shipped experiments.

    Returns:
        Their names, sorted.
    """
    folder = resources.files("ctlite.experiments")
    return sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".toml"))


def load_experiment(name: str) -> Experiment:
    """Read a shipped experiment.

    Args:
        name: such as `loss-ablation`.

    Returns:
        The experiment.

    Raises:
        RecipeError: there is none of this name.
    """
    if name not in experiment_names():
        raise RecipeError(
            f"there is no experiment {name!r}", mend=f"use {', '.join(experiment_names())}"
        )
    file = resources.files("ctlite.experiments") / f"{name}.toml"
    return check_experiment(tomllib.loads(file.read_text(encoding="utf-8")) | {"name": name})


def check_experiment(values: dict[str, object]) -> Experiment:
    """Check an experiment's values.

    Args:
        values: as TOML gives them, with `name`.

    Returns:
        The experiment.

    Raises:
        RecipeError: with every fault.
    """
    try:
        return Experiment.model_validate(values)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise RecipeError(
            "the experiment has faults: " + "; ".join(faults),
            mend="correct its TOML file",
            where=str(values.get("name")),
        ) from error
