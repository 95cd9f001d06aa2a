"""The estimate of memory is near what the backward pass keeps."""

import pytest
import torch
from torch import Tensor

from ctlite.assembly import assemble, estimate_step
from ctlite.models.ct_encoder import CTViT
from ctlite.precision import computing_in

DEEP = (
    *("dim=64", "heads=4", "dim_head=16", "patch_size=4", "temporal_patch_size=2"),
    *("spatial_depth=3", "temporal_depth=3"),
)


def kept_bytes(encoder: CTViT, video: Tensor) -> int:
    """What autograd saves of a forward pass, weights aside."""
    own = {tensor.untyped_storage().data_ptr() for tensor in encoder.state_dict().values()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        encoder(video)
    return sum(
        tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in own
    )


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("recompute", ["false", "true"])
@pytest.mark.parametrize("sizes", [DEEP, ()])
def test_activations_are_counted_nearly(
    toy_recipe, sizes: tuple[str, ...], precision: str, recompute: str
) -> None:
    """By what autograd keeps; of blocks that are computed again, one is there at a time."""
    options = [f"precision={precision}", f"recompute={recompute}"]
    recipe = toy_recipe("clip", *options, *(f"model.{size}" for size in sizes))
    stage = assemble(recipe).stage.train()
    encoder, batch = stage.model.visual_transformer, recipe.data.batch_size
    with computing_in(recipe.precision, torch.device("cpu")):
        kept = kept_bytes(encoder, torch.rand(batch, 1, 8, 16, 16))
        if recipe.recompute:
            encoder.recompute = False
            blocks = sum(len(tower.layers) for tower in encoder.towers)
            kept += kept_bytes(encoder, torch.rand(batch, 1, 8, 16, 16)) // blocks

    assert 0.8 * kept < estimate_step(stage, recipe).activations < 1.6 * kept
