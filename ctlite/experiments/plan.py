"""From an experiment to its runs, each after the one whose model it begins from."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ctlite.experiments.corpus import PREFIX, Corpus
from ctlite.experiments.definition import CLEAN, TEACHER, ArmSection, Experiment, Scale
from ctlite.recipe import Recipe, load_recipe
from ctprep.store.errors import RecipeError

ROLE = re.compile(r"([a-z]+):(.*)", re.DOTALL)
TEACHER_SEED = 0
"""One teacher serves all arms and seeds."""


@dataclass(frozen=True)
class PlannedRun:
    """One training run."""

    name: str
    seed: int
    recipe: Recipe
    folder: Path


@dataclass(frozen=True)
class Point:
    """One number of an arm: a seed of its run, read or scored."""

    arm: ArmSection
    seed: int | None
    """None for the teacher, which has one seed."""
    model: Path
    """Run or model folder."""
    store: str
    """Store that is scored."""
    scores: Path
    """Folder of its scores."""


@dataclass(frozen=True)
class Plan:
    """Everything that an experiment does."""

    experiment: Experiment
    scale: Scale
    seeds: tuple[int, ...]
    corpus: Corpus
    runs: tuple[PlannedRun, ...]
    """In the order in which they can be done."""
    points: tuple[Point, ...]
    """Arm after arm, seed after seed."""

    @property
    def stores(self) -> tuple[str, ...]:
        """Names of the stores that are read, sorted."""
        needed = {arm.store for arm in self.experiment.arms}
        needed |= {self.experiment.runs[run.name].store for run in self.runs if run.name != TEACHER}
        return tuple(sorted(needed | {CLEAN}))


def plan_experiment(
    experiment: Experiment,
    scale: Scale,
    corpus: Corpus,
    out: Path,
    *,
    seeds: int,
    overrides: Sequence[str] = (),
) -> Plan:
    """Lay out the runs of an experiment.

    Args:
        experiment: which.
        scale: whose recipes are taken.
        corpus: whose stores are read.
        out: folder of all experiments; runs that several of them need are made once.
        seeds: how often each run but the teacher is made, from seed 0.
        overrides: `key=value` for all recipes, `ROLE:key=value` for those of a role.

    Returns:
        The plan.

    Raises:
        RecipeError: the experiment has no such scale, or a recipe is not valid.
    """
    if scale not in experiment.scales:
        raise RecipeError(
            f"{experiment.name} has no scale {scale!r}",
            mend=f"use {', '.join(experiment.scales)}",
        )
    arms = tuple(arm for arm in experiment.arms if arm.only in (None, scale))
    experiment = experiment.model_copy(update={"arms": arms})
    maker = _Maker(experiment, scale, corpus, out, overrides)
    runs = [maker.teacher()] if corpus.teacher is None else []
    for name in _in_order(experiment):
        runs += [maker.run(name, seed) for seed in range(seeds)]
    points = [
        maker.point(arm, seed)
        for arm in experiment.arms
        for seed in ([None] if arm.run == TEACHER else range(seeds))
    ]
    return Plan(experiment, scale, tuple(range(seeds)), corpus, tuple(runs), tuple(points))


def _in_order(experiment: Experiment) -> list[str]:
    """Put every run that an arm needs behind the one it begins from."""
    order: list[str] = []

    def add(name: str, behind: tuple[str, ...]) -> None:
        if name in behind:
            raise RecipeError(
                f"the runs {', '.join(behind)} wait for each other",
                mend="let `after` lead to the teacher",
                where=experiment.name,
            )
        if name == TEACHER or name in order:
            return
        add(experiment.runs[name].after, (*behind, name))
        order.append(name)

    for arm in experiment.arms:
        add(arm.run, ())
    return order


@dataclass(frozen=True)
class _Maker:
    experiment: Experiment
    scale: Scale
    corpus: Corpus
    out: Path
    overrides: Sequence[str]

    def teacher(self) -> PlannedRun:
        recipe = self._resolve(TEACHER, (), CLEAN, [f"seed={TEACHER_SEED}"])
        return PlannedRun(TEACHER, TEACHER_SEED, recipe, self._folder(TEACHER, TEACHER_SEED))

    def run(self, name: str, seed: int) -> PlannedRun:
        section = self.experiment.runs[name]
        begin = self._folder(section.after, seed)
        own = [f"seed={seed}", _text("init.from", begin)]
        recipe = self._resolve(section.recipe, section.set, section.store, own)
        return PlannedRun(name, seed, recipe, self._folder(name, seed))

    def point(self, arm: ArmSection, seed: int | None) -> Point:
        number = TEACHER_SEED if seed is None else seed
        scores = self.out / "scores" / arm.run / f"seed-{number}" / arm.store
        model = self._folder(arm.run, number)
        return Point(arm, seed, model, self.corpus.path(arm.store), scores)

    def _folder(self, name: str, seed: int) -> Path:
        if name != TEACHER:
            return self.out / "runs" / name / f"seed-{seed}"
        return self.corpus.teacher or self.out / "runs" / name / f"seed-{TEACHER_SEED}"

    def _resolve(self, role: str, given: Sequence[str], store: str, own: list[str]) -> Recipe:
        scale = self.experiment.scales[self.scale]
        if role not in scale.recipes:
            raise RecipeError(
                f"the scale {self.scale} has no recipe {role!r}",
                mend="add it to `recipes`",
                where=self.experiment.name,
            )
        name = scale.recipes[role]
        needs = load_recipe(name).stage.needs
        places = {
            "hu": _text("data.hifi_store", self.corpus.hifi),
            "gray": _text("data.jpeg_store", self.corpus.path(store)),
            "text": _text("data.reports", self.corpus.reports),
        }
        overrides = [
            *_of_role(scale.set, role),
            *given,
            *(places[need] for need in sorted(needs)),
            _text("data.scans", self.corpus.scans),
            *own,
            *_of_role([each for each in self.overrides if not each.startswith(PREFIX)], role),
        ]
        return load_recipe(name, overrides)


def _of_role(overrides: Sequence[str], role: str) -> list[str]:
    kept = []
    for override in overrides:
        found = ROLE.match(override)
        if found is None:
            kept.append(override)
        elif found[1] == role:
            kept.append(found[2])
    return kept


def _text(key: str, value: Path | str) -> str:
    # A JSON string is a TOML string, so that a folder named 2024 stays a name.
    return f"{key}={json.dumps(str(value))}"
