"""Zero-shot scores: an image between two prompts, one for the finding and one against it."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ctlite.data.reports import Tokenizer, tokenize
from ctprep.store.manifest import Prompts

PAPER_PROMPTS = Prompts(positive="{label}", negative="no {label}")
CT_CLIP_PROMPTS = Prompts(positive="{label} is present.", negative="{label} is not present.")
PROMPTS = {"paper": PAPER_PROMPTS, "ct-clip": CT_CLIP_PROMPTS}
"""The two prompt pairs of the literature, by name."""

MAX_PROMPT_TOKENS = 512


@runtime_checkable
class TextEncoder(Protocol):
    """The part of a model that zero-shot prompts need."""

    def encode_text(
        self,
        token_ids: Int64[Tensor, "batch length"],
        attention_mask: Int64[Tensor, "batch length"],
    ) -> Float[Tensor, "batch latent"]:
        """Encode texts to unit-length latents."""
        ...


def prompt_texts(labels: Sequence[str], prompts: Prompts) -> list[str]:
    """Write the prompts.

    Args:
        labels: names of the abnormalities; they are put in lower case.
        prompts: the two templates.

    Returns:
        All positive prompts, then all negative ones.
    """
    return [
        template.format(label=label.lower())
        for template in (prompts.positive, prompts.negative)
        for label in labels
    ]


@torch.inference_mode()
def prompt_directions(
    model: TextEncoder,
    tokenizer: Tokenizer,
    labels: Sequence[str],
    prompts: Prompts,
    *,
    device: torch.device | str = "cpu",
) -> Float[Tensor, "label latent"]:
    """Encode the prompts, once for all scans.

    Args:
        model: in evaluation mode, on `device`.
        tokenizer: of the model.
        labels: names of the abnormalities.
        prompts: the two templates.
        device: where the model is.

    Returns:
        Positive minus negative latent, float32.
    """
    token_ids, mask = tokenize(
        tokenizer, prompt_texts(labels, prompts), max_length=MAX_PROMPT_TOKENS
    )
    latents = model.encode_text(token_ids.to(device), mask.to(device)).float()
    return latents[: len(labels)] - latents[len(labels) :]


def zero_shot_scores(
    latents: Float[Tensor, "scan latent"], directions: Float[Tensor, "label latent"]
) -> Float[Tensor, "scan label"]:
    """Score every abnormality of every scan.

    Args:
        latents: of the images, unit length.
        directions: from `prompt_directions`.

    Returns:
        cos(image, positive) - cos(image, negative), between -2 and 2, float32.

    Source:
        CT-Lite (arXiv 2605.00448), section IV; ranks scans as CT-CLIP's softmax over the two
        prompts does, being a monotone function of the same difference.
    """
    return latents.float() @ directions.T
