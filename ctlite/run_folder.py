"""The folder a run leaves behind: recipe, environment, metrics, checkpoints, model."""

import json
import logging
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ctlite import ranks
from ctlite.checkpoint import list_checkpoints, written_whole
from ctlite.divided import write_first
from ctlite.model_card import write_card
from ctlite.models.config import CONFIG_FILE
from ctlite.models.ct_clip import MODEL_FOLDER, CtClip
from ctlite.recipe import Recipe, differing_keys, load_recipe, to_toml
from ctprep.store.disk import write_atomically, writing
from ctprep.store.errors import RecipeError

logger = logging.getLogger(__name__)

HOW = tuple(
    f"{key}:"
    for key in (
        *("out", "device", "parallel", "tensorboard", "compile", "recompute"),
        *("data.cache", "data.cache_gib", "data.threads", "data.prefetch"),
        *("data.unreadable_quota", "schedule.checkpoint_steps", "model.grid"),
    )
)
"""Keys of a recipe that say where and how, and are no part of what a run computes. The quota is
among them, so that a run that met a damaged volume can go on without it, and the model's grid,
which only checks the store."""
OTHERS = {"zarr.json": "a store", CONFIG_FILE: "a model folder"}
"""What is taken for a run folder by mistake, by a file that is in it."""
KEYS_SHOWN = 8
"""Differing keys that a message tells; a recipe of another stage has dozens."""
PACKAGES = ("ct-lite", "torch", "transformers", "tokenizers", "safetensors", "numpy", "zarr")


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run, and what is written to them besides checkpoints."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """Folder of the trained model, there once the run has ended."""
        return self.path / MODEL_FOLDER

    @property
    def recipe(self) -> Path:
        """What the run was begun with."""
        return self.path / "recipe.toml"

    @property
    def metrics(self) -> Path:
        """One JSON object a step."""
        return self.path / "metrics.jsonl"

    @classmethod
    def begin(cls, path: Path, recipe: Recipe) -> "RunFolder":
        """Make the folder, or go on in one of the same recipe.

        Args:
            path: of the folder.
            recipe: resolved.

        Returns:
            The folder, with recipe and environment in it.

        Raises:
            RecipeError: the folder has checkpoints of another recipe, or is a store or a model.
            PlaceError: it cannot be written to.
        """
        run = cls(path)
        with writing(str(path)):
            path.mkdir(parents=True, exist_ok=True)
            run._check_same(recipe)
            write_atomically(run.recipe, to_toml(recipe).encode())
            environment = json.dumps(describe_environment(), indent=2) + "\n"
            write_atomically(path / "environment.json", environment.encode())
        return run

    def _check_same(self, recipe: Recipe) -> None:
        other = next((kind for file, kind in OTHERS.items() if (self.path / file).exists()), None)
        if other is not None:
            raise RecipeError(
                f"this is {other}, and no run folder",
                mend="give a new folder (--out)",
                where=str(self.path),
            )
        if not list_checkpoints(self.checkpoints) and not self.model.is_dir():
            return
        if not self.recipe.is_file():
            raise RecipeError(
                "the run folder has lost its recipe.toml, so that nobody knows what it holds",
                mend="put the recipe back, or give another run folder (--out)",
                where=str(self.path),
            )
        before = load_recipe(str(self.recipe))
        differing = [line for line in differing_keys(recipe, before) if not line.startswith(HOW)]
        if not differing:
            return
        more = len(differing) - KEYS_SHOWN
        shown = "; ".join(differing[:KEYS_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        raise RecipeError(
            f"the run folder holds another recipe; {shown}",
            mend="give another run folder (--out), or the recipe it was begun with",
            where=str(self.path),
        )

    def last_checkpoint(self) -> Path | None:
        """Find the newest checkpoint.

        Returns:
            Its folder, or None where there is none.
        """
        found = list_checkpoints(self.checkpoints)
        return found[-1] if found else None

    def cut_metrics(self, step: int, unlogged: Mapping[str, Any] | None = None) -> None:
        """Forget metrics of steps that will be done again.

        Args:
            step: steps done; later ones are removed.
            unlogged: metrics of this step, where the file did not take them then.
        """
        kept = []
        if self.metrics.is_file():
            lines = self.metrics.read_text(encoding="utf-8", errors="replace").splitlines()
            # A killed run may leave half a line at the end, a damaged disk anything.
            kept = [line for line in lines if (done := _step_of(line)) and done <= step]
        if unlogged is not None and step not in map(_step_of, kept):
            kept.append(json.dumps(dict(unlogged)))
        if kept or self.metrics.is_file():
            write_atomically(self.metrics, "".join(f"{line}\n" for line in kept).encode())

    def log(self, metrics: Mapping[str, Any]) -> None:
        """Append the metrics of a step.

        Args:
            metrics: plain values, units in their names.
        """
        with writing(str(self.metrics)), self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(metrics)) + "\n")

    def save_model(self, model: CtClip, recipe: Recipe) -> None:
        """Write the trained model, whole or not at all; all ranks must ask for it.

        Args:
            model: to be evaluated.
            recipe: by which it was trained.
        """

        def write(wholes: Iterator[Tensor]) -> None:
            partial = self.path / ".model.partial"
            with written_whole(partial, self.model):
                model.save_pretrained(partial, wholes)
                write_card(partial, self.path.resolve().name, model.config, tell_story(recipe))

        write_first(list(model.saved_state().values()), write)


def _step_of(line: str) -> int | None:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError):
        return None


def tell_story(recipe: Recipe) -> list[str]:
    """Tell in a sentence or two how a model was trained, without naming a place on this machine.

    Args:
        recipe: by which it was trained.

    Returns:
        Paragraphs for its card.
    """
    schedule, data = recipe.schedule, recipe.data
    batch = data.batch_size * recipe.optimizer.accumulation * ranks.world_size()
    began = "from random weights"
    if recipe.init is not None:
        began = f"from the weights of `{recipe.init.source.name}`"
    return [
        f"Trained by `ctlite train`, stage `{recipe.stage.name}`, {began}: {schedule.steps} steps "
        f"of {batch} scans, learning rate {recipe.optimizer.lr:g}, {recipe.precision}.",
    ]


def describe_environment() -> dict[str, Any]:
    """Tell what a run ran on, without naming the machine.

    Returns:
        Plain values for `environment.json`.
    """
    has_gpu = torch.cuda.is_available()
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "processes": ranks.world_size(),
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if has_gpu else None,
        "cuda": torch.version.cuda if has_gpu else None,
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }
