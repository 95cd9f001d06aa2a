"""A stored model with an SFP in place of its dense projection, which is never in memory."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Literal, cast

import torch

from ctlite.models.ct_clip import CtClip, StoredModel, of_folder
from ctlite.models.projection import SFP
from ctprep.store.errors import RecipeError, located

PROJECTION = "to_visual_latent"
DENSE = f"{PROJECTION}.weight"
ProjectionInit = Literal["svd", "whole-block", "random"]
OnBlock = Callable[[int, int], None]
"""Is told how many blocks of the projection are done, and how many there are."""


def load_approximated(
    stored: StoredModel,
    rank: int,
    projection_init: ProjectionInit,
    on_block: OnBlock | None = None,
    *,
    is_plan: bool = False,
) -> CtClip:
    """Load a model, and replace its dense projection by an SFP on the way.

    The dense weights stay in their file, from which they are read some blocks at a time.

    Args:
        stored: with a dense projection; one that has an SFP of this rank already is loaded as it
            is.
        rank: of the SFP.
        projection_init: `random` for a new one, else how the cores are found.
        on_block: called first with no block done; in a plan that is all.
        is_plan: whether the SFP is left as memory has it, for its sizes alone.

    Returns:
        The model on the CPU, in evaluation mode.

    Raises:
        RecipeError: the model has an SFP of another rank, or no SFP has this one.
        CheckpointError: the weights are not those of the configuration, or not finite.

    Source:
        CT-Lite (13) and (14).
    """
    if stored.config.rank is not None:
        if stored.config.rank == rank:
            return stored.load()
        raise RecipeError(
            f"the model has an SFP of rank {stored.config.rank} already, not {rank}",
            mend="set stage.rank to it, or begin from a model with a dense projection",
        )
    with torch.device("meta"):
        dense = CtClip(stored.config, stored.text)
    with of_folder(stored.folder):
        weights = dense.pick_weights(stored.weights)
    weight = weights.pop(DENSE)
    config = stored.config.model_copy(update={"projection": "sfp", "rank": rank})
    model = CtClip(config, stored.text, blank=True)
    model.load_state_dict(weights, strict=False)
    projection = cast(SFP, model.to_visual_latent)
    if projection_init == "random":
        if not is_plan:
            projection.reset_parameters()
        return model.eval()
    tell = on_block or (lambda done, of: None)
    blocks = len(projection.left)
    tell(0, blocks)
    if is_plan:
        return model.eval()
    # Not `of_folder`: to save such weights again would not mend them.
    with nullcontext() if stored.folder is None else located(stored.folder):
        for done in projection.approach(weight, projection_init):
            tell(done, blocks)
    return model.eval()
