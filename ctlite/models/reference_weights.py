"""What of a published CT-CLIP checkpoint is weights, and what takes no part."""

from collections.abc import Mapping

from torch import Tensor, nn

from ctlite.models.weight_diff import Shape, weight_diff
from ctprep.store.errors import CheckpointError

ENCODER = "visual_transformer."
DEAD_PREFIXES = (
    "to_patch_emb_first_frame.",
    "to_pixels_first_frame.",
    "to_pixels.",
    "dec_spatial_transformer.",
    "dec_temporal_transformer.",
    "vgg.",
    "discr.",
)
"""Within the encoder, as the next two."""
DEAD_PARTS = (".null_kv", ".context_norm.")
DEAD_NAMES = ("vq._codebook.initted",)
DEAD_OUTSIDE = (
    "to_visual_latent_extra.weight",
    "to_text_latent_extra.weight",
    "text_transformer.embeddings.position_ids",
)
DEAD_POOLER = "text_transformer.pooler."


def is_dead(name: str) -> bool:
    """Tell whether a weight of a published checkpoint takes no part in encoding.

    Args:
        name: within the whole checkpoint.

    Returns:
        True for the names of docs/mathematics.md, CT-ViT 7.
    """
    if name.startswith(ENCODER):
        return _is_dead_in_encoder(name.removeprefix(ENCODER))
    return name in DEAD_OUTSIDE or name.startswith(DEAD_POOLER)


def _is_dead_in_encoder(name: str) -> bool:
    return (
        name in DEAD_NAMES
        or name.startswith(DEAD_PREFIXES)
        or any(part in name for part in DEAD_PARTS)
    )


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, Shape]:
    """Tell the shapes of a state dict.

    Args:
        state: tensors by name.

    Returns:
        Shapes by name.
    """
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def check_shapes(given: Mapping[str, Shape], own: Mapping[str, Shape]) -> None:
    """Refuse weights that do not fit a model name by name.

    Args:
        given: shapes in the checkpoint, without the dead.
        own: shapes in the model.

    Raises:
        CheckpointError: a name is missing or unknown, or a shape differs; with all of them.
    """
    missing, unknown = len(own.keys() - given.keys()), len(given.keys() - own.keys())
    differing = sum(given[name] != own[name] for name in own.keys() & given.keys())
    if missing or unknown or differing:
        raise CheckpointError(
            f"the weights do not fit the model: {missing} are missing, {unknown} unknown, and "
            f"{differing} of another shape\n{weight_diff(given, own)}",
            mend="give a whole CT-CLIP checkpoint of this geometry; to_patch_emb.1.weight has "
            "13500 entries in v1 and 4000 in v2",
        )


def load_encoder_weights(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a state dict of `CTViT`, our own or a published one.

    Args:
        model: a `CTViT`.
        state: tensors by name, without the prefix `visual_transformer.`.

    Raises:
        CheckpointError: apart from dead weights, a name is missing or unknown, or a shape differs.
    """
    alive = {name: tensor for name, tensor in state.items() if not _is_dead_in_encoder(name)}
    check_shapes(shapes_of(alive), shapes_of(model.state_dict()))
    model.load_state_dict(alive)
