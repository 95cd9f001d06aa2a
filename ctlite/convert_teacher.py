"""A published CT-CLIP checkpoint to a model folder of ours, number for number.

Nothing in the checkpoint is executed, and no weight is in memory twice: the dense projection of v1
alone has 4.3 GB, which go from the mapped file to the new one piece by piece.
"""

import hashlib
import shutil
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ctlite.checkpoint import written_whole
from ctlite.model_card import write_card
from ctlite.models.config import ModelConfig, Origin
from ctlite.models.ct_clip import TEXT_FOLDER, WEIGHTS_FILE, CtClip
from ctlite.models.published_file import find_checkpoint, is_own_model
from ctlite.models.reference_geometry import read_geometry
from ctlite.models.reference_text import CXR_BERT, describe_text_tower
from ctlite.models.reference_weights import check_shapes, is_dead, shapes_of
from ctlite.models.text_encoder import TextTower, save_text_tower
from ctlite.models.weights_file import read_weights, show_name
from ctlite.models.weights_writer import is_writable, write_weights
from ctprep.store.attributes import Grid
from ctprep.store.errors import CheckpointError, PlaceError, located

LICENSE = "CC-BY-NC-SA-4.0"
"""Under which CT-CLIP's weights were published."""
HASH_PIECE = 2**24
ROOM_BESIDE = 2**26
"""Bytes of disk for everything but the weights."""


@dataclass(frozen=True)
class Teacher:
    """A checkpoint that was found whole and fitting; none of its numbers has been read yet."""

    path: Path
    given: str
    """As the user named it."""
    release: str
    """Such as `CT-CLIP v1`."""
    config: ModelConfig
    """Without an origin."""
    text: TextTower
    text_encoder: str
    weights: Mapping[str, Tensor]
    """What the model takes, mapped from the file."""
    left_out: Mapping[str, int]
    """Bytes of what takes no part, by name."""
    notes: tuple[str, ...]
    """What had to be taken off to get at the weights."""

    @property
    def weight_bytes(self) -> int:
        """Size of the weights on disk."""
        return sum(tensor.nbytes for tensor in self.weights.values())

    @property
    def work_bytes(self) -> int:
        """What `write_teacher` yields in all."""
        return self.path.stat().st_size + self.weight_bytes


def read_teacher(
    checkpoint: str,
    *,
    grid: Grid,
    tokenizer: str = CXR_BERT,
    hu_range: tuple[float, float] | None = None,
) -> Teacher:
    """Open a checkpoint and check it whole, name by name.

    Args:
        checkpoint: file, folder with one, or `owner/name` or `owner/name:file` in the Hub's cache.
        grid: sampling of the volumes it was trained on.
        tokenizer: folder, or name of a repository in the Hub's cache.
        hu_range: HU that become -1 and 1; None for those of its release.

    Returns:
        What `write_teacher` writes.

    Raises:
        CheckpointError: it or the tokenizer is not there, is damaged or would run code, or a name
            is missing or unknown, or of another shape.
    """
    path = find_checkpoint(checkpoint)
    if is_own_model(path):
        raise CheckpointError(
            "this is a model folder of ours already",
            mend=f"give its folder as it is: --set init.from={path.parent}",
            where=checkpoint,
        )
    weights = read_weights(path)
    with located(checkpoint):
        shapes = shapes_of(weights.tensors)
        config, release = read_geometry(shapes, grid, hu_range)
        text = describe_text_tower(shapes, tokenizer)
        with torch.device("meta"):
            own = CtClip(config, text).state_dict()
        alive = {name: tensor for name, tensor in weights.tensors.items() if not is_dead(name)}
        check_shapes(shapes_of(alive), shapes_of(own))
        odd = [
            f"{show_name(name)} ({tensor.dtype})"
            for name, tensor in alive.items()
            if not is_writable(tensor)
        ]
        if odd:
            raise CheckpointError(
                f"{len(odd)} weights are no plain floating-point numbers: {', '.join(odd[:5])}",
                mend="give the checkpoint in float32, as it was published",
            )
    return Teacher(
        path=path,
        given=checkpoint,
        release=release.name,
        config=config,
        text=text,
        # A folder's path says something about this machine, a name on the Hub does not.
        text_encoder=Path(tokenizer).resolve().name if Path(tokenizer).is_dir() else tokenizer,
        weights=alive,
        left_out={
            name: tensor.nbytes for name, tensor in weights.tensors.items() if name not in alive
        },
        notes=weights.notes,
    )


def write_teacher(teacher: Teacher, out: Path) -> Generator[int]:
    """Write a model folder, whole or not at all.

    Args:
        teacher: from `read_teacher`.
        out: new or empty folder.

    Yields:
        Bytes of the checkpoint hashed, then bytes of the weights written, as they are.

    Raises:
        CheckpointError: `out` is there already.
        PlaceError: the disk is too small, or refuses.
    """
    check_out(out, teacher.weight_bytes)
    out = out.absolute()
    partial = out.with_name(f".{out.name}.partial")
    with written_whole(partial, out, out.name):
        digest = hashlib.sha256()
        with teacher.path.open("rb") as file:
            while piece := file.read(HASH_PIECE):
                digest.update(piece)
                yield len(piece)
        origin = Origin(
            name=teacher.release,
            file=teacher.path.name if Path(teacher.given).exists() else teacher.given,
            sha256=digest.hexdigest(),
            license=LICENSE,
            text_encoder=teacher.text_encoder,
        )
        yield from write_weights(partial / WEIGHTS_FILE, teacher.weights)
        save_text_tower(partial / TEXT_FOLDER, teacher.text)
        config = teacher.config.model_copy(update={"origin": origin})
        config.write(partial)
        story = [
            f"The weights of {origin.name}, number for number, but for those that take no "
            "part; made by `ctlite convert-teacher`, which trains nothing.",
            f"Cite CT-CLIP (Hamamci et al.). The tokenizer is that of {origin.text_encoder}.",
        ]
        write_card(partial, origin.name, config, story)


def check_out(out: Path, weight_bytes: int) -> None:
    """Refuse a place that a model folder cannot be written to.

    Args:
        out: of the folder.
        weight_bytes: what it is to hold.

    Raises:
        CheckpointError: something is there already.
        PlaceError: the disk has too little room.
    """
    if out.is_symlink() or out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise CheckpointError(
            "something is there already, and nothing is overwritten",
            mend="choose another folder, or remove this one",
            where=str(out),
        )
    there = next(folder for folder in out.absolute().parents if folder.is_dir())
    free = shutil.disk_usage(there).free
    if free < weight_bytes + ROOM_BESIDE:
        raise PlaceError(
            f"the weights need {weight_bytes / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free",
            mend="free space, or choose a folder on another disk",
            where=str(out),
        )
