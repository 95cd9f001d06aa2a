"""Loading published CT-CLIP weights into the image encoder."""

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from ctprep.store.errors import CheckpointError

DEAD_PREFIXES = (
    "to_patch_emb_first_frame.",
    "to_pixels_first_frame.",
    "to_pixels.",
    "dec_spatial_transformer.",
    "dec_temporal_transformer.",
    "vgg.",
    "discr.",
)
DEAD_PARTS = (".null_kv", ".context_norm.")
DEAD_NAMES = ("vq._codebook.initted",)
LINES_SHOWN = 12


def is_dead(name: str) -> bool:
    """Tell whether a published weight takes no part in encoding.

    Args:
        name: within the encoder.

    Returns:
        True for the names of docs/mathematics.md, CT-ViT 7.
    """
    return (
        name in DEAD_NAMES
        or name.startswith(DEAD_PREFIXES)
        or any(part in name for part in DEAD_PARTS)
    )


def load_encoder_weights(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a state dict of `CTViT`, our own or a published one.

    Args:
        model: a `CTViT`.
        state: tensors by name, without the prefix `visual_transformer.`.

    Raises:
        CheckpointError: apart from dead weights, a name is missing or unknown, or a shape differs.
    """
    own = model.state_dict()
    alive = {name: tensor for name, tensor in state.items() if not is_dead(name)}
    lines = [f"missing: {name} {_shape(own[name])}" for name in sorted(own.keys() - alive.keys())]
    lines += [f"unknown: {name} {_shape(alive[name])}" for name in sorted(alive.keys() - own)]
    lines += [
        f"shape:   {name} is {_shape(alive[name])}, the model has {_shape(own[name])}"
        for name in sorted(own.keys() & alive.keys())
        if own[name].shape != alive[name].shape
    ]
    if lines:
        raise CheckpointError(
            f"the weights do not fit the encoder in {len(lines)} places\n{_listing(lines)}",
            mend="choose the geometry of the checkpoint; to_patch_emb.1.weight has 13500 entries "
            "in v1 and 4000 in v2",
        )
    model.load_state_dict(alive)


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))


def _listing(lines: Iterable[str]) -> str:
    shown = list(lines)
    more = [f"... and {len(shown) - LINES_SHOWN} more"] if len(shown) > LINES_SHOWN else []
    return "\n".join(f"    {line}" for line in [*shown[:LINES_SHOWN], *more])
