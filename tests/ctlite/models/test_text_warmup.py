"""Reports alone teach a new text encoder to part a finding from its absence."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

from ctlite.data.reports import ReportText, tokenize
from ctlite.models.text_encoder import build_small_bert, encode_cls
from ctlite.models.text_warmup import warm_up_text
from ctprep.store.errors import RecipeError

WORDS = ("emphysema", "effusion", "nodule", "consolidation")


def write_reports(count: int) -> list[ReportText]:
    """Reports in which each word is found or denied by the bits of their number."""
    reports = []
    for number in range(count):
        found = [word for bit, word in enumerate(WORDS) if number >> bit & 1]
        denied = [word for word in WORDS if word not in found]
        positive = " ".join(f"There is {word}." for word in found) or "No abnormal finding."
        negative = " ".join(f"No {word}." for word in denied)
        reports.append(ReportText(f"{positive} {negative}", positive, negative))
    return reports


def test_a_finding_parts_from_its_absence() -> None:
    """The loss falls, and "no effusion" points away from "effusion", as seen from their middle."""
    torch.manual_seed(0)
    reports = write_reports(16)
    tower = build_small_bert([report.full for report in reports], width=32, vocabulary_size=120)

    losses = warm_up_text(tower, reports, steps=150, seed=0)

    with torch.no_grad():
        prompts = [*WORDS, *(f"no {word}" for word in WORDS)]
        vectors = encode_cls(tower.encoder, *tokenize(tower.tokenizer, prompts, max_length=16))
    vectors = F.normalize(vectors - vectors.mean(dim=0), dim=-1)
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])
    assert ((vectors[:4] * vectors[4:]).sum(dim=-1) < 0).all()


def test_the_same_seed_gives_the_same_weights() -> None:
    """Nothing is drawn from elsewhere than torch's generator and the seed."""
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        reports = write_reports(8)
        tower = build_small_bert([report.full for report in reports], width=16, vocabulary_size=99)
        warm_up_text(tower, reports, steps=3, seed=5)
        states.append(tower.encoder.state_dict())

    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_equal_reports_teach_nothing() -> None:
    """Without a word that tells reports apart there is no lesson, and that is said."""
    reports = [ReportText("There is mass.", "There is mass.")] * 3
    tower = build_small_bert(["There is mass."], width=16, vocabulary_size=99)

    with pytest.raises(RecipeError, match="no words to learn from"):
        warm_up_text(tower, reports, steps=1, seed=0)
