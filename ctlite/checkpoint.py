"""Checkpoints of a run: whole or not at all, and without a pickle."""

import json
import os
import re
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ctlite import ranks
from ctlite.averaging import WeightAverage
from ctlite.divided import divided_like, write_first
from ctlite.models.weights_writer import in_file_order, write_state
from ctlite.stages.stage import Stage
from ctprep.store.disk import writing
from ctprep.store.errors import CheckpointError, located

STATE_FILE = "state.json"
STAGE_FILE = "stage.safetensors"
OPTIMIZER_FILE = "optimizer.safetensors"
AVERAGE_FILE = "average.safetensors"
RANDOM_FILE = "random.safetensors"
CHECKSUM = "frozen_crc32"
BETWEEN = ":"
"""Stands between a parameter's name and its moment's, in the file of the optimizer."""
CHECKPOINT = re.compile(r"step-\d{8,}")
"""Name of its folder."""
KEEP = 2
"""Checkpoints left in a run: the last, and one before in case of a damaged disk."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands, in plain values."""

    step: int
    """Steps done."""
    loader: dict[str, Any]
    untuned: list[str] = field(default_factory=list)
    """Tuning scans gone without so far."""
    unlogged: dict[str, Any] | None = None
    """Metrics of the step, where their file did not take them."""


def save_checkpoint(
    folder: Path,
    stage: Stage,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage,
    progress: Progress,
    frozen: int,
) -> Path:
    """Write a checkpoint beside its place, and rename it when it is on disk.

    All ranks give what they hold, a tensor at a time, and the first one writes it whole: it does
    not matter to the next run how the parameters were divided.

    Args:
        folder: of the run's checkpoints.
        stage: model, losses and buffers.
        optimizer: its moments.
        average: of the weights.
        progress: step and data position.
        frozen: `frozen_checksum` of the stage, which takes seconds where a teacher has gigabytes.

    Returns:
        Folder of the checkpoint.
    """
    final = folder / f"step-{progress.step:08d}"
    states = {
        STAGE_FILE: in_file_order(_stage_state(stage)),
        OPTIMIZER_FILE: in_file_order(_optimizer_state(stage, optimizer)),
        AVERAGE_FILE: in_file_order(average.state_dict()),
        RANDOM_FILE: _random_state(),
    }
    values = {**asdict(progress), CHECKSUM: frozen}

    def write(wholes: Iterator[Tensor]) -> None:
        partial = folder / f".{final.name}.partial"
        with written_whole(partial, final):
            for name, state in states.items():
                write_state(partial / name, state, wholes)
            text = json.dumps(values, indent=2) + "\n"
            (partial / STATE_FILE).write_text(text, encoding="utf-8")
        for old in list_checkpoints(folder)[:-KEEP]:
            # One that stays takes room, and the new one is safe.
            shutil.rmtree(old, ignore_errors=True)

    # Three files of gigabytes: on a GPU, or divided, they would hardly fit in memory at once.
    write_first([tensor for state in states.values() for tensor in state.values()], write)
    return final


@contextmanager
def written_whole(partial: Path, final: Path, where: str | None = None) -> Iterator[None]:
    """Let a folder be filled, and give it its name when it is whole; otherwise remove it.

    Args:
        partial: made empty.
        final: replaced where it exists; what was there stays if anything goes wrong.
        where: how errors name it; its path where left out.

    Raises:
        PlaceError: the disk is full, read-only or fails.
    """
    try:
        with writing(where or str(final)):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            yield
            publish_folder(partial, final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def publish_folder(partial: Path, final: Path) -> None:
    """Sync a finished folder to disk and give it its name.

    Args:
        partial: flat or nested folder, complete.
        final: replaced where it exists.
    """
    for path in sorted(partial.rglob("*"), reverse=True):
        _sync(path)
    _sync(partial)
    old = final.with_name(f".{final.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    try:
        partial.rename(final)
    except OSError:
        if old.exists():
            old.rename(final)
        raise
    _sync(final.parent)
    shutil.rmtree(old, ignore_errors=True)


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
    return sorted(path for path in folder.glob("step-*") if CHECKPOINT.fullmatch(path.name))


def load_checkpoint(
    path: Path,
    stage: Stage,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage,
    frozen: int,
) -> Progress:
    """Bring stage, optimizer and random generators to where they were.

    Args:
        path: folder of a checkpoint.
        stage: as it was built from the same recipe.
        optimizer: likewise.
        average: likewise.
        frozen: `frozen_checksum` of the stage.

    Returns:
        Step and data position.

    Raises:
        CheckpointError: it is damaged, or of another recipe.
    """
    with located(path):
        try:
            values = json.loads((path / STATE_FILE).read_text(encoding="utf-8"))
            _check_frozen(frozen, values)
            _load_stage(stage, load_file(path / STAGE_FILE))
            _load_optimizer(stage, optimizer, load_file(path / OPTIMIZER_FILE))
            average.load_state_dict(load_file(path / AVERAGE_FILE))
            _load_random(load_file(path / RANDOM_FILE))
            return Progress(
                int(values["step"]),
                dict(values["loader"]),
                list(values.get("untuned", ())),
                values.get("unlogged"),
            )
        except CheckpointError:
            raise
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
            before = len(list_checkpoints(path.parent)) > 1
            raise CheckpointError(
                f"the checkpoint cannot be read: {str(error).splitlines()[0]}",
                mend="remove its folder; the run then "
                + ("goes on from the one before" if before else "begins anew"),
            ) from error


def frozen_checksum(stage: Stage) -> int:
    """Fingerprint what no checkpoint holds, to recognize it when a run is resumed.

    Args:
        stage: built from its recipe; quickest while it is on the CPU.

    Returns:
        CRC-32 over names and bytes of the frozen tensors, by their names' order: it sees what
        has changed places, too. The same from every device.
    """
    checksum = 0
    for name, tensor in sorted(stage.state_dict().items()):
        if stage.frozen and name.startswith(stage.frozen):
            numbers = tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy()
            checksum = zlib.crc32(numbers, zlib.crc32(name.encode(), checksum))
    return checksum


def _check_frozen(own: int, values: Mapping[str, Any]) -> None:
    # Checkpoints of before have none, or a sum that did not see what had changed places.
    if values.get(CHECKSUM, own) != own:
        raise CheckpointError(
            "the model that the run began from has changed since",
            mend="put the one of then back at init.from, or begin a new run folder",
        )


def _stage_state(stage: Stage) -> dict[str, Tensor]:
    return {
        name: tensor
        for name, tensor in stage.state_dict().items()
        if not name.startswith(stage.frozen)
    }


def _load_stage(stage: Stage, state: Mapping[str, Tensor]) -> None:
    own = stage.state_dict()
    wanted = {name for name in own if not name.startswith(stage.frozen)}
    if wanted != state.keys():
        differing = sorted(wanted ^ state.keys())
        raise CheckpointError(
            f"{len(differing)} names differ between checkpoint and stage, the first is "
            f"{differing[0]}",
            mend="begin a new run folder; this one is of another release or recipe",
        )
    divided = {name: divided_like(tensor, own[name]) for name, tensor in state.items()}
    stage.load_state_dict(divided, strict=False)


def _optimizer_state(stage: Stage, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}{BETWEEN}{key}": value
        for name, parameter in stage.named_parameters()
        if parameter in optimizer.state
        for key, value in optimizer.state[parameter].items()
    }


def _load_optimizer(
    stage: Stage, optimizer: torch.optim.Optimizer, flat: Mapping[str, Tensor]
) -> None:
    # By name in the file: groups, and with them numbers, depend on how parameters are divided.
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbers = {parameter: number for number, parameter in enumerate(trained)}
    parameters = dict(stage.named_parameters())
    state: dict[int, dict[str, Tensor]] = {}
    for place, value in flat.items():
        name, _, key = place.rpartition(BETWEEN)
        own = parameters[name]
        # The count of steps is one number, whatever the shape of its parameter.
        moment = divided_like(value, own) if value.shape == own.shape else value
        state.setdefault(numbers[own], {})[key] = moment
    # Rates and decays follow from the recipe, so the groups stay as they were built.
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )


def _random_state() -> dict[str, Tensor]:
    own = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        own["cuda"] = torch.cuda.get_rng_state()
    return {
        f"{rank}.{name}": state
        for rank, states in enumerate(ranks.gather_values(own))
        for name, state in states.items()
    }


def _load_random(state: Mapping[str, Tensor]) -> None:
    rank = ranks.rank()
    if f"{rank}.cpu" in state:
        torch.set_rng_state(state[f"{rank}.cpu"])
    if f"{rank}.cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state[f"{rank}.cuda"])
