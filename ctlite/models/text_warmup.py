"""A first lesson for a text encoder that has read nothing yet: sentence to report.

From one sentence of a report the encoder learns to tell which words its findings have.
"Effusion." makes the words of effusions likely and "No effusion." makes them unlikely, so the
vectors of a finding and of its absence part before any image is seen. A pretrained encoder, such
as CXR-BERT, knows that already.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from jaxtyping import Float
from torch import Tensor, nn

from ctlite.data.reports import ReportText, tokenize
from ctlite.models.text_encoder import TextTower, encode_cls, text_width
from ctlite.optimizer import schedule_factor
from ctprep.store.errors import RecipeError

BATCH = 64
LEARNING_RATE = 2e-3
WARMUP_SHARE = 0.1
RARE, COMMON = 0.01, 0.99
"""Words in fewer or more reports than these shares teach nothing."""


def warm_up_text(
    tower: TextTower, reports: Sequence[ReportText], *, steps: int, seed: int, max_length: int = 512
) -> list[float]:
    """Train a text encoder on reports alone.

    Args:
        tower: its encoder is changed in place, on the device where it is.
        reports: of the training scans.
        steps: of the optimizer.
        seed: of the draws.
        max_length: tokens kept of a text.

    Returns:
        The loss of each step: mean binary cross-entropy a word.

    Raises:
        RecipeError: no word is in some reports and absent from others.

    Source:
        The idea is that of CXR-BERT's section matching (Boecking et al., 2022), which
        predicts the impression from the findings; ours predicts its words from any sentence.
    """
    encoder, random = tower.encoder, np.random.default_rng(seed)
    device = next(encoder.parameters()).device
    words = _words_of_findings(tower, reports, max_length).to(device)
    if not words.shape[1]:
        raise RecipeError(
            f"the findings of {len(reports)} reports have no words to learn from",
            mend="set stage.text_warmup_steps = 0, or give more reports",
        )
    decoder = nn.Linear(text_width(encoder), words.shape[1]).to(device)
    with torch.no_grad():
        decoder.bias.copy_(torch.logit(words.mean(dim=0)))
    trained = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE)
    sentences = [report.sentences() for report in reports]
    losses = []
    encoder.train()
    for step in range(steps):
        factor = schedule_factor(
            step, steps=steps, warmup_steps=round(WARMUP_SHARE * steps), eta_min_ratio=0.0
        )
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * factor
        chosen = random.choice(len(reports), min(BATCH, len(reports)), replace=False)
        texts = [sentences[row][random.integers(len(sentences[row]))] for row in chosen]
        ids, mask = tokenize(tower.tokenizer, texts, max_length=max_length)
        logits = decoder(encode_cls(encoder, ids.to(device), mask.to(device)))
        loss = F.binary_cross_entropy_with_logits(logits, words[torch.from_numpy(chosen)])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
    encoder.eval()
    return losses


def _words_of_findings(
    tower: TextTower, reports: Sequence[ReportText], max_length: int
) -> Float[Tensor, "report word"]:
    """Which word pieces the positive text of each report has, of those that tell some apart."""
    found = torch.zeros(len(reports), len(tower.tokenizer))
    ids, mask = tokenize(
        tower.tokenizer, [report.positive for report in reports], max_length=max_length
    )
    found.scatter_reduce_(1, ids, mask.float(), reduce="amax")
    share = found.mean(dim=0)
    return found[:, (share > RARE) & (share < COMMON)]
