"""Checkpoints of a run: whole or not at all, and without a pickle."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ctlite.stages.stage import Stage
from ctprep.store.errors import CheckpointError, located

STATE_FILE = "state.json"
STAGE_FILE = "stage.safetensors"
OPTIMIZER_FILE = "optimizer.safetensors"
RANDOM_FILE = "random.safetensors"
KEEP = 2
"""Checkpoints left in a run: the last, and one before in case of a damaged disk."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands, in plain values."""

    step: int
    """Steps done."""
    loader: dict[str, Any]


def save_checkpoint(
    folder: Path, stage: Stage, optimizer: torch.optim.Optimizer, progress: Progress
) -> Path:
    """Write a checkpoint beside its place, and rename it when it is on disk.

    Args:
        folder: of the run's checkpoints.
        stage: model, losses and buffers.
        optimizer: its moments.
        progress: step and data position.

    Returns:
        Folder of the checkpoint.
    """
    final = folder / f"step-{progress.step:08d}"
    partial = folder / f".{final.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_file(_stage_state(stage), partial / STAGE_FILE)
    save_file(_optimizer_state(optimizer), partial / OPTIMIZER_FILE)
    save_file(_random_state(), partial / RANDOM_FILE)
    values = {"step": progress.step, "loader": progress.loader}
    (partial / STATE_FILE).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    publish_folder(partial, final)
    for old in list_checkpoints(folder)[:-KEEP]:
        shutil.rmtree(old)
    return final


def publish_folder(partial: Path, final: Path) -> None:
    """Sync a finished folder to disk and give it its name.

    Args:
        partial: flat or nested folder, complete.
        final: replaced where it exists.
    """
    for path in sorted(partial.rglob("*"), reverse=True):
        _sync(path)
    _sync(partial)
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    _sync(final.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def list_checkpoints(folder: Path) -> list[Path]:
    """Find whole checkpoints.

    Args:
        folder: of the run's checkpoints; may be missing.

    Returns:
        Their folders, the oldest first.
    """
    return sorted(folder.glob("step-*"))


def load_checkpoint(path: Path, stage: Stage, optimizer: torch.optim.Optimizer) -> Progress:
    """Bring stage, optimizer and random generators to where they were.

    Args:
        path: folder of a checkpoint.
        stage: as it was built from the same recipe.
        optimizer: likewise.

    Returns:
        Step and data position.

    Raises:
        CheckpointError: it is damaged, or of another recipe.
    """
    with located(path):
        try:
            values = json.loads((path / STATE_FILE).read_text(encoding="utf-8"))
            _load_stage(stage, load_file(path / STAGE_FILE))
            _load_optimizer(optimizer, load_file(path / OPTIMIZER_FILE))
            _load_random(load_file(path / RANDOM_FILE))
            return Progress(int(values["step"]), values["loader"])
        except (OSError, SafetensorError, ValueError, KeyError, RuntimeError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(
                f"the checkpoint cannot be read: {str(error).splitlines()[0]}",
                mend="remove its folder; the run then goes on from the one before",
            ) from error


def _stage_state(stage: Stage) -> dict[str, Tensor]:
    # A clone, as safetensors refuses tensors that share memory.
    return {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in stage.state_dict().items()
        if not name.startswith(stage.frozen or ("\0",))
    }


def _load_stage(stage: Stage, state: Mapping[str, Tensor]) -> None:
    own = stage.state_dict()
    wanted = {name for name in own if not name.startswith(stage.frozen or ("\0",))}
    if wanted != state.keys():
        differing = sorted(wanted ^ state.keys())
        raise CheckpointError(
            f"{len(differing)} names differ between checkpoint and stage, the first is "
            f"{differing[0]}",
            mend="begin a new run folder; this one is of another release or recipe",
        )
    stage.load_state_dict(dict(state), strict=False)


def _optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{number}.{name}": value.detach().cpu().contiguous()
        for number, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }


def _load_optimizer(optimizer: torch.optim.Optimizer, flat: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    # Rates and decays follow from the recipe, so the groups stay as they were built.
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )


def _random_state() -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _load_random(state: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
