"""CT-CLIP: a volume and a text to unit-length latents in one shared space.

What is special about it:
- attribute names are those of the published checkpoints, which load without renaming;
- image tokens are flattened whole (v1) or after a mean over frames (v2), so that the projection
  is by far the largest layer, and the one that SFP replaces;
- the text vector is BERT's last hidden state at CLS, before its pooler.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ctlite.models.config import CONFIG_FILE, ModelConfig, VisionConfig
from ctlite.models.ct_encoder import CTViT
from ctlite.models.head import pool_tokens
from ctlite.models.projection import SFP
from ctlite.models.reference_weights import check_shapes, is_dead, shapes_of
from ctlite.models.text_encoder import (
    TextTower,
    encode_cls,
    restore_text_tower,
    save_text_tower,
    text_width,
)
from ctlite.models.weights_file import read_weights
from ctlite.models.weights_writer import in_file_order, write_state
from ctprep.store.errors import CheckpointError, located

WEIGHTS_FILE = "model.safetensors"
TEXT_FOLDER = "text"
MODEL_FOLDER = "model"
"""Of a run, within its folder."""


class CtClip(nn.Module):
    """The image and the text encoder with their projections.

    Args:
        config: architecture and preprocessing.
        text: text encoder and tokenizer.
        blank: whether the image projection, by far the largest layer, is left as memory has it,
            for numbers that come later.
    """

    def __init__(self, config: ModelConfig, text: TextTower, *, blank: bool = False) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = text.tokenizer
        self.visual_transformer = build_encoder(config.vision)
        self.text_transformer = text.encoder
        self.to_visual_latent = build_projection(config, blank=blank)
        self.to_text_latent = nn.Linear(text_width(text.encoder), config.latent_dim, bias=False)
        self.temperature = nn.Parameter(torch.tensor(1.0))
        """Logarithm of the factor before the cosine."""

    def encode_image(
        self, video: Float[Tensor, "batch 1 frame height width"]
    ) -> Float[Tensor, "batch latent"]:
        """Encode volumes.

        Args:
            video: in [-1, 1], in the orientation of the configuration.

        Returns:
            Latents of unit length.
        """
        return self.project_image(self.visual_transformer(video))

    def project_image(
        self, tokens: Float[Tensor, "batch frame height width feature"]
    ) -> Float[Tensor, "batch latent"]:
        """Bring image tokens to the shared space.

        Args:
            tokens: after the codebook.

        Returns:
            Latents of unit length.
        """
        projected: Tensor = self.to_visual_latent(pool_tokens(tokens, self.config.pooling))
        return F.normalize(projected, dim=-1)

    def encode_text(
        self,
        token_ids: Int64[Tensor, "batch length"],
        attention_mask: Int64[Tensor, "batch length"],
    ) -> Float[Tensor, "batch latent"]:
        """Encode texts.

        Args:
            token_ids: padded.
            attention_mask: 1 at tokens, 0 at padding.

        Returns:
            Latents of unit length.
        """
        return self.project_text(encode_cls(self.text_transformer, token_ids, attention_mask))

    def project_text(
        self, features: Float[Tensor, "batch feature"]
    ) -> Float[Tensor, "batch latent"]:
        """Bring text vectors to the shared space.

        Args:
            features: of the CLS token.

        Returns:
            Latents of unit length.
        """
        projected: Tensor = self.to_text_latent(features)
        return F.normalize(projected, dim=-1)

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Load weights, our own or those of a published CT-CLIP checkpoint.

        Args:
            state: the published names; what is dead there is left out by name.

        Raises:
            CheckpointError: another geometry, or a key is missing or unknown.
        """
        self.load_state_dict(self.pick_weights(state), strict=False)

    def pick_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Check weights, and load none of them.

        Args:
            state: as `load_weights` takes it.

        Returns:
            Those that the model has a place for.

        Raises:
            CheckpointError: as `load_weights`.
        """
        alive = {name: tensor for name, tensor in state.items() if not is_dead(name)}
        own = self.state_dict()
        shapes = {
            name: (tuple(alive[name].shape), tuple(own[name].shape))
            for name in own
            if name in alive and alive[name].shape != own[name].shape
        }
        if shapes:
            raise _other_geometry(alive, self.config, shapes)
        check_shapes(shapes_of(alive), shapes_of(own))
        return alive

    def saved_state(self) -> dict[str, Tensor]:
        """Give the weights in the order of their file."""
        return in_file_order(self.state_dict())

    def save_pretrained(self, folder: Path, wholes: Iterator[Tensor] | None = None) -> None:
        """Write weights, configuration and tokenizer.

        Args:
            folder: made where missing.
            wholes: the tensors of `saved_state`, where the model's own are divided among processes.
        """
        folder.mkdir(parents=True, exist_ok=True)
        state = self.saved_state()
        write_state(folder / WEIGHTS_FILE, state, wholes or iter(state.values()))
        save_text_tower(folder / TEXT_FOLDER, TextTower(self.text_transformer, self.tokenizer))
        self.config.write(folder)

    @classmethod
    def from_pretrained(cls, folder: Path) -> "CtClip":
        """Read a model that `save_pretrained` wrote.

        Args:
            folder: of the model.

        Returns:
            The model on the CPU, in evaluation mode.

        Raises:
            CheckpointError: it is not one, of another version, or damaged.
        """
        return StoredModel.open(folder).load()


@dataclass(frozen=True)
class StoredModel:
    """A model on disk, opened: of its weights none has been read yet."""

    config: ModelConfig
    text: TextTower
    weights: Mapping[str, Tensor]
    """Mapped from the file."""
    folder: Path | None = None
    """None for a published checkpoint, of which the configuration is no part."""

    @classmethod
    def open(cls, folder: Path) -> "StoredModel":
        """Open a model that `save_pretrained` wrote.

        Args:
            folder: of the model.

        Returns:
            Its parts.

        Raises:
            CheckpointError: it is not one, of another version, or damaged.
        """
        config = ModelConfig.read(folder)
        with located(folder):
            text = restore_text_tower(folder / TEXT_FOLDER)
        with of_folder(folder):
            return cls(config, text, read_weights(folder / WEIGHTS_FILE).tensors, folder)

    def load(self) -> CtClip:
        """Make the model.

        Returns:
            The model on the CPU, in evaluation mode.

        Raises:
            CheckpointError: the weights are not those of the configuration.
        """
        model = CtClip(self.config, self.text, blank=True)
        with of_folder(self.folder):
            model.load_weights(self.weights)
        return model.eval()


@contextmanager
def of_folder(folder: Path | None) -> Iterator[None]:
    """Tell what is wrong with weights by the folder that they are of.

    Args:
        folder: of a model; None where there is none.
    """
    if folder is None:
        yield
        return
    with located(folder):
        try:
            yield
        except CheckpointError as error:
            # No [model] of a recipe has a part in this.
            error.mend = f"save the model again, {CONFIG_FILE} and {WEIGHTS_FILE} together"
            raise


def find_model(folder: Path) -> Path:
    """Find the model folder that is meant.

    Args:
        folder: of a run, or of a model itself.

    Returns:
        The model's; it need not be there.
    """
    return folder if (folder / CONFIG_FILE).is_file() else folder / MODEL_FOLDER


def build_encoder(vision: VisionConfig) -> CTViT:
    """Make an image encoder with random weights.

    Args:
        vision: its sizes.

    Returns:
        The encoder; its weights follow torch's generator.
    """
    return CTViT(
        dim=vision.dim,
        codebook_size=vision.codebook_size,
        image_size=vision.image_size,
        patch_size=vision.patch_size,
        temporal_patch_size=vision.temporal_patch_size,
        spatial_depth=vision.spatial_depth,
        temporal_depth=vision.temporal_depth,
        dim_head=vision.dim_head,
        heads=vision.heads,
    )


def build_projection(config: ModelConfig, *, blank: bool) -> nn.Module:
    """Make the image projection.

    Args:
        config: tells its sizes, and its rank if it is an SFP.
        blank: whether it is left as memory has it.

    Returns:
        A dense layer or an SFP, without bias.
    """
    sizes = config.projection_in, config.latent_dim
    if config.rank is not None:
        return SFP(*sizes, config.rank, blank=blank)
    if blank:
        with torch.device("meta"):
            nowhere = nn.Linear(*sizes, bias=False)
        return nowhere.to_empty(device="cpu")
    return nn.Linear(*sizes, bias=False)


def _other_geometry(
    state: Mapping[str, Tensor],
    config: ModelConfig,
    shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]],
) -> CheckpointError:
    patch = state.get("visual_transformer.to_patch_emb.1.weight")
    projection = state.get("to_visual_latent.weight")
    parts = [f"{name} is {theirs} and not {ours}" for name, (theirs, ours) in shapes.items()]
    if patch is not None:
        parts.insert(0, f"its patches have {patch.numel()} voxels")
    if projection is not None:
        parts.insert(0, f"its projection is {projection.shape[1]} -> {projection.shape[0]}")
    return CheckpointError(
        f"the checkpoint is of another geometry: {'; '.join(parts[:4])}. The model has "
        f"{config.geometry}",
        mend="set the geometry of the checkpoint in the recipe's [model]: patch 15x30x30 without "
        "pooling is CT-CLIP v1, patch 10x20x20 with the mean is v2",
    )
