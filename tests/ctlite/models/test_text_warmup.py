"""Reports alone teach a new text encoder to part a finding from its absence."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

from ctlite.data.reports import ReportText, tokenize
from ctlite.models.text_encoder import TextTower, build_small_bert, encode_cls
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


def likeness_of_steps(tower: TextTower) -> float:
    """Mean cosine between the ways from absence to presence of different findings."""
    texts = [*(f"There is {word}." for word in WORDS), *(f"No {word}." for word in WORDS)]
    with torch.no_grad():
        vectors = encode_cls(tower.encoder, *tokenize(tower.tokenizer, texts, max_length=16))
    steps = F.normalize(vectors[:4] - vectors[4:], dim=-1)
    return float((steps @ steps.T)[~torch.eye(4, dtype=torch.bool)].mean())


def test_each_finding_parts_from_its_own_absence() -> None:
    """Before, every "no" turns a text the same way; after, each finding has its own way."""
    torch.manual_seed(0)
    reports = write_reports(16)
    tower = build_small_bert([report.full for report in reports], width=32, vocabulary_size=120)
    before = likeness_of_steps(tower)

    losses = warm_up_text(tower, reports, steps=300, seed=0)

    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])
    assert before > 0.65
    assert likeness_of_steps(tower) < 0.5


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
