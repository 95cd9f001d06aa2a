"""The folder a run leaves behind: recipe, environment, metrics, checkpoints, model."""

import json
import logging
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from ctlite import ranks
from ctlite.checkpoint import list_checkpoints, publish_folder
from ctlite.divided import whole_state
from ctlite.model_card import write_card
from ctlite.models.ct_clip import MODEL_FOLDER, CtClip
from ctlite.recipe import Recipe, differing_keys, load_recipe, to_toml
from ctprep.store.errors import RecipeError

logger = logging.getLogger(__name__)

HOW = tuple(
    f"{key}:"
    for key in (
        *("out", "parallel", "tensorboard", "data.cache", "data.cache_gib"),
        *("data.threads", "data.prefetch"),
    )
)
"""Keys of a recipe that say where and how, and are no part of what a run computes."""
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
            RecipeError: the folder has checkpoints of another recipe.
        """
        run = cls(path)
        path.mkdir(parents=True, exist_ok=True)
        written = path / "recipe.toml"
        if written.is_file() and (list_checkpoints(run.checkpoints) or run.model.is_dir()):
            before = load_recipe(str(written))
            differing = [
                line for line in differing_keys(recipe, before) if not line.startswith(HOW)
            ]
            if differing:
                raise RecipeError(
                    "the run folder holds another recipe; " + "; ".join(differing),
                    mend="give another run folder, or the recipe it was begun with",
                    where=str(path),
                )
        written.write_text(to_toml(recipe), encoding="utf-8")
        environment = json.dumps(describe_environment(), indent=2) + "\n"
        (path / "environment.json").write_text(environment, encoding="utf-8")
        return run

    def last_checkpoint(self) -> Path | None:
        """Find the newest checkpoint.

        Returns:
            Its folder, or None where there is none.
        """
        found = list_checkpoints(self.checkpoints)
        return found[-1] if found else None

    def cut_metrics(self, step: int) -> None:
        """Forget metrics of steps that will be done again.

        Args:
            step: steps done; later ones are removed.
        """
        if self.metrics.is_file():
            lines = self.metrics.read_text(encoding="utf-8").splitlines(keepends=True)
            # A killed run may leave half a line at the end.
            whole = [line for line in lines if line.endswith("\n")]
            kept = [line for line in whole if json.loads(line)["step"] <= step]
            partial = self.path / f".{self.metrics.name}.partial"
            partial.write_text("".join(kept), encoding="utf-8")
            partial.replace(self.metrics)

    def log(self, metrics: Mapping[str, Any]) -> None:
        """Append the metrics of a step.

        Args:
            metrics: plain values, units in their names.
        """
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(metrics)) + "\n")

    def save_model(self, model: CtClip, recipe: Recipe) -> None:
        """Write the trained model, whole or not at all; all ranks must ask for it.

        Args:
            model: to be evaluated.
            recipe: by which it was trained.
        """
        state = whole_state(model.state_dict())
        if ranks.rank() == 0:
            partial = self.path / ".model.partial"
            model.save_pretrained(partial, state)
            write_card(partial, self.path.resolve().name, model.config, tell_story(recipe))
            publish_folder(partial, self.model)
        ranks.wait()


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
