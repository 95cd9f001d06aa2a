"""What a saved model says about itself: architecture, and the volumes it was trained on."""

import json
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from ctprep.store.attributes import Attributes, Grid, Kind, Window
from ctprep.store.errors import CheckpointError

CONFIG_VERSION = "1"
CONFIG_FILE = "config.json"
SLP = "SLP"

Pooling = Literal["mean", "none"]
Size = int | tuple[int, int]


class Preprocessing(Attributes):
    """The volumes a model takes; evaluation refuses stores that hold others."""

    kind: Kind
    """Which store: `hifi` gives HU, `jpeg` gray levels."""
    grid: Grid
    """Sampling as stored, axes (slice, row, column)."""
    orientation: str = SLP
    """Axis codes of the model's (frame, height, width)."""
    hu_range: tuple[float, float] | None = None
    """HU that become -1 and 1; None where `kind` is `jpeg`."""
    window: Window | None = None
    """Window of the gray levels; None where `kind` is `hifi`."""
    quality: int | None = None
    """JPEG quality of the volumes seen in training; informative."""

    @model_validator(mode="after")
    def _check_range(self) -> "Preprocessing":
        if (self.kind == "hifi") != (self.hu_range is not None):
            raise ValueError("a model of HU has an hu_range, one of gray levels has none")
        if self.hu_range is not None and self.hu_range[0] >= self.hu_range[1]:
            raise ValueError(f"hu_range {self.hu_range} is empty")
        return self


class VisionConfig(Attributes):
    """Arguments of `CTViT`, the image encoder."""

    image_size: Size
    """Height and width in voxels."""
    frames: int = Field(gt=0)
    """Voxels along the first axis of the video."""
    patch_size: Size
    """In voxels."""
    temporal_patch_size: int = Field(gt=0)
    """In voxels."""
    dim: int = Field(gt=0)
    codebook_size: int = Field(gt=0)
    spatial_depth: int = Field(gt=0)
    temporal_depth: int = Field(gt=0)
    dim_head: int = Field(gt=0)
    heads: int = Field(gt=0)

    @property
    def token_grid(self) -> tuple[int, int, int]:
        """Tokens along (frame, height, width)."""
        (height, width), (patch_h, patch_w) = as_pair(self.image_size), as_pair(self.patch_size)
        return self.frames // self.temporal_patch_size, height // patch_h, width // patch_w

    @model_validator(mode="after")
    def _check_patches(self) -> "VisionConfig":
        (height, width), (patch_h, patch_w) = as_pair(self.image_size), as_pair(self.patch_size)
        if height % patch_h or width % patch_w or self.frames % self.temporal_patch_size:
            raise ValueError(
                f"{self.frames} x {height} x {width} voxels do not divide into patches of "
                f"{self.temporal_patch_size} x {patch_h} x {patch_w}"
            )
        return self


class Origin(Attributes):
    """The published weights that a model is, or began from."""

    name: str
    """Such as `CT-CLIP v1`."""
    file: str
    """Of the checkpoint, or its place on the Hugging Face Hub."""
    sha256: str
    license: str
    """Of the weights, which whatever is trained from them keeps."""
    text_encoder: str
    """Where the tokenizer came from."""


class ModelConfig(Attributes):
    """A whole CT-CLIP model, but for its text encoder, which keeps its own configuration."""

    config_version: str = CONFIG_VERSION
    vision: VisionConfig
    latent_dim: int = Field(gt=0)
    pooling: Pooling
    """`mean` over frames before the projection (CT-CLIP v2), or `none` (v1)."""
    projection: Literal["dense", "sfp"] = "dense"
    rank: int | None = Field(default=None, gt=0)
    """Of the structured factorized projection; None when dense."""
    preprocessing: Preprocessing
    origin: Origin | None = None
    """None for a model that began at random."""

    @model_validator(mode="after")
    def _check_rank(self) -> "ModelConfig":
        if (self.projection == "sfp") != (self.rank is not None):
            raise ValueError("a structured factorized projection has a rank, a dense one none")
        return self

    @property
    def projection_in(self) -> int:
        """Inputs of the image projection."""
        frames, height, width = self.vision.token_grid
        return height * width * self.vision.dim * (1 if self.pooling == "mean" else frames)

    @property
    def geometry(self) -> str:
        """What must agree between a checkpoint and a model, for messages."""
        vision, grid = self.vision, "x".join(map(str, self.vision.token_grid))
        patch_h, patch_w = as_pair(vision.patch_size)
        return (
            f"patches of {vision.temporal_patch_size}x{patch_h}x{patch_w} voxels, {grid} tokens "
            f"of {vision.dim}, pooling {self.pooling}, {self.projection_in} -> {self.latent_dim}"
        )

    def write(self, folder: Path) -> None:
        """Write `config.json`.

        Args:
            folder: existing folder.
        """
        text = json.dumps(self.model_dump(mode="json"), indent=2) + "\n"
        (folder / CONFIG_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "ModelConfig":
        """Read `config.json`.

        Args:
            folder: as `write` left it.

        Returns:
            The configuration.

        Raises:
            CheckpointError: there is none, it is of another version, or it is damaged.
        """
        path = folder / CONFIG_FILE
        if not path.is_file():
            raise CheckpointError(
                f"no {CONFIG_FILE} in the model folder",
                mend="give a run folder whose training has ended, or its `model` folder",
                where=str(folder),
            )
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            version = values.get("config_version")
            if version == CONFIG_VERSION:
                return cls.model_validate(values)
        except (ValidationError, ValueError, AttributeError) as error:
            raise CheckpointError(
                f"the model's configuration is damaged: {error}",
                mend="save the model again",
                where=str(path),
            ) from error
        raise CheckpointError(
            f"the model's configuration is of version {version!r}; this is {CONFIG_VERSION!r}",
            mend="use the release of ctlite that wrote it, or train again",
            where=str(path),
        )


def as_pair(size: Size) -> tuple[int, int]:
    """Spell out a size.

    Args:
        size: one number for a square, or (height, width).

    Returns:
        (height, width).
    """
    return (size, size) if isinstance(size, int) else size
