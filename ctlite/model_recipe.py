"""The part of a recipe that says what a new model looks like."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ctlite.models.config import SLP, Pooling, Size


class Section(BaseModel):
    """Base of every section of a recipe: frozen, and an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False
    )


class TextRecipe(Section):
    """The text tower."""

    encoder: str = "microsoft/BiomedVLP-CXR-BERT-specialized"
    """Hugging Face name or local folder; `small-bert` makes one from the reports."""
    local_files_only: bool = False
    """Whether a named encoder must be in the local cache."""
    width: int = Field(default=64, gt=0)
    """Of a small BERT, as the next four are."""
    layers: int = Field(default=2, gt=0)
    heads: int = Field(default=2, gt=0)
    vocabulary_size: int = Field(default=1024, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class ModelRecipe(Section):
    """Architecture of a new model; image size and frames follow from the store's grid."""

    grid: str | None = None
    """Name of the grid that the patches are meant for; where left out, any that they divide."""
    dim: int = Field(default=512, gt=0)
    """Features of an image token."""
    heads: int = Field(default=8, gt=0)
    dim_head: int = Field(default=32, gt=0)
    patch_size: Size = 20
    """In voxels, within a slice."""
    temporal_patch_size: int = Field(default=10, gt=0)
    """In voxels, across slices."""
    spatial_depth: int = Field(default=4, gt=0)
    temporal_depth: int = Field(default=4, gt=0)
    codebook_size: int = Field(default=8192, gt=0)
    latent_dim: int = Field(default=512, gt=0)
    pooling: Pooling = "mean"
    """`mean` over frames (CT-CLIP v2) or `none` (v1)."""
    orientation: str = SLP
    """Axis codes of the model's (frame, height, width)."""
    hu_range: tuple[float, float] = (-1000, 1000)
    """HU that become -1 and 1: [-1000, 1000] in CT-CLIP v2, [-1000, 200] in v1."""
    text: TextRecipe = TextRecipe()

    @field_validator("hu_range")
    @classmethod
    def _check_hu_range(cls, hu_range: tuple[float, float]) -> tuple[float, float]:
        if hu_range[0] >= hu_range[1]:
            raise ValueError("the first must be less than the second")
        return hu_range


Input = Literal["hifi", "jpeg"]
