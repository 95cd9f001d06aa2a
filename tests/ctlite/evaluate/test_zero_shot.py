"""Zero-shot scores are differences of cosines to the two prompts."""

from typing import Any

import pytest
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ctlite.evaluate.zero_shot import (
    CT_CLIP_PROMPTS,
    PAPER_PROMPTS,
    prompt_directions,
    prompt_texts,
    zero_shot_scores,
)


def letters(texts: list[str], **_: Any) -> dict[str, list[list[int]]]:
    """Stand in for a tokenizer: a token a letter."""
    longest = max(map(len, texts))
    return {
        "input_ids": [[ord(c) for c in text] + [0] * (longest - len(text)) for text in texts],
        "attention_mask": [[1] * len(text) + [0] * (longest - len(text)) for text in texts],
    }


class LengthEncoder:
    """Turns a text into an angle of 0.1 a letter."""

    def encode_text(
        self,
        token_ids: Int64[Tensor, "batch length"],
        attention_mask: Int64[Tensor, "batch length"],
    ) -> Float[Tensor, "batch latent"]:
        """Encode to the unit circle."""
        angle = 0.1 * attention_mask.sum(dim=1)
        return torch.stack([angle.cos(), angle.sin()], dim=1)


def test_prompts() -> None:
    """The paper's example, and CT-CLIP's sentences; labels in lower case."""
    labels = ["Emphysema", "Lung nodule"]

    assert prompt_texts(labels, PAPER_PROMPTS) == [
        "emphysema",
        "lung nodule",
        "no emphysema",
        "no lung nodule",
    ]
    assert prompt_texts(labels[:1], CT_CLIP_PROMPTS) == [
        "emphysema is present.",
        "emphysema is not present.",
    ]


def test_scores_by_hand() -> None:
    """'a' lies at 0.1 and 'no a' at 0.4: the image at 0.1 scores 1 - cos 0.3."""
    directions = prompt_directions(LengthEncoder(), letters, ["a", "bcd"], PAPER_PROMPTS)
    angle = torch.tensor([0.1, 0.6])
    latents = torch.stack([angle.cos(), angle.sin()], dim=1)

    scores = zero_shot_scores(latents, directions)

    expected = torch.tensor(
        [
            [1 - torch.tensor(0.3).cos(), torch.tensor(0.2).cos() - torch.tensor(0.5).cos()],
            [torch.tensor(0.5).cos() - torch.tensor(0.2).cos(), torch.tensor(0.3).cos() - 1],
        ]
    )
    torch.testing.assert_close(scores, expected)


@pytest.mark.parametrize("scale", [0.5, 5.0])
def test_ranks_like_ct_clips_softmax(scale: float) -> None:
    """CT-CLIP's probability is a monotone function of the same difference."""
    torch.manual_seed(0)
    directions = prompt_directions(LengthEncoder(), letters, ["abcdef"], PAPER_PROMPTS)
    latents = torch.nn.functional.normalize(torch.randn(20, 2), dim=1)

    scores = zero_shot_scores(latents, directions)[:, 0]

    prompts = torch.tensor([[0.6, 0.9]])
    cosines = latents @ torch.cat([prompts.cos(), prompts.sin()])
    probability = (scale * cosines).softmax(dim=1)[:, 0]
    assert scores.argsort().tolist() == probability.argsort().tolist()
