"""The codebook looks up and learns as vector-quantize-pytorch 1.1.2 does."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from safetensors.torch import load_file
from torch import Tensor

from ctlite.models import codebook as module
from ctlite.models.codebook import Codebook, commitment_loss, find_nearest
from tests.ctlite.largest import LargestTensor

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture
def vq(golden: Path) -> dict[str, Tensor]:
    """State before, tokens, and what the library makes of them."""
    return load_file(golden / "vq.safetensors")


def build(vq: dict[str, Tensor]) -> Codebook:
    """The golden codebook before any call."""
    codebook = Codebook(10, 12)
    codebook.load_state_dict({"embed": vq["embed"], "cluster_size": vq["cluster_size"]})
    return codebook


def test_golden_evaluation(vq: dict[str, Tensor]) -> None:
    """Rows are returned as stored, bit for bit, and do not move."""
    codebook = build(vq).eval()
    tokens, indices = codebook(vq["x"])

    assert torch.equal(indices, vq["eval.indices"])
    assert torch.equal(tokens, vq["eval.tokens"])
    assert torch.equal(codebook.embed, vq["embed"])


def test_golden_training(vq: dict[str, Tensor]) -> None:
    """One call in training mode moves rows and counts as the library does."""
    codebook = build(vq).train()
    tokens, indices = codebook(vq["x"])

    assert torch.equal(indices, vq["train.indices"])
    torch.testing.assert_close(tokens, vq["train.tokens"], **TOLERANCE)
    torch.testing.assert_close(codebook.embed, vq["train.embed_after"], **TOLERANCE)
    torch.testing.assert_close(codebook.cluster_size, vq["train.cluster_size_after"], **TOLERANCE)
    loss = commitment_loss(vq["x"], tokens)
    torch.testing.assert_close(loss, vq["train.commit_loss"][0], **TOLERANCE)


def test_gradient_goes_straight_through_and_values_stay_exact(vq: dict[str, Tensor]) -> None:
    """With a gradient asked for, tokens are still copies of rows."""
    codebook = build(vq).train()
    codebook.frozen = True
    x, weight = vq["x"].clone().requires_grad_(), torch.randn_like(vq["x"])
    tokens, _ = codebook(x)
    (tokens * weight).sum().backward()

    assert torch.equal(tokens, vq["eval.tokens"])
    assert torch.equal(x.grad, weight)
    assert torch.equal(codebook.embed, vq["embed"])


def test_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lookup in tiles equals one over all tokens."""
    tokens, rows = torch.randn(50, 6), torch.randn(9, 6)
    whole = (F.normalize(tokens, dim=-1) @ F.normalize(rows, dim=-1).T).argmax(-1)
    monkeypatch.setattr(module, "TOKENS_PER_TILE", 7)

    assert torch.equal(find_nearest(tokens, rows), whole)


def test_training_makes_no_table_of_tokens_and_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the lookup nor the update, which needs no one-hot rows."""
    monkeypatch.setattr(module, "TOKENS_PER_TILE", 2)
    codebook, tokens = Codebook(80, 3).train(), torch.randn(2, 50, 3, requires_grad=True)

    with LargestTensor() as largest:
        codebook(tokens)[0].sum().backward()

    assert codebook.cluster_size.sum() > 0
    assert largest.numbers == tokens.numel()


def test_seeding_finds_the_clusters() -> None:
    """Rows land in the directions that tokens have, the same for the same generator."""
    directions = F.normalize(torch.eye(4), dim=-1)
    tokens = directions.repeat(40, 1) * 3 + 0.01 * torch.randn(160, 4)
    first, second = Codebook(16, 4), Codebook(16, 4)
    for codebook in (first, second):
        codebook.seed_from(tokens, torch.Generator().manual_seed(1))

    assert torch.equal(first.embed, second.embed)
    cosine = F.normalize(tokens, dim=-1) @ F.normalize(first.embed[0], dim=-1).T
    assert cosine.max(dim=-1).values.min() > 0.99
    assert first.cluster_size.sum() == 160


def test_seeding_with_few_tokens_fills_every_row() -> None:
    """Fewer tokens than rows leave no row out."""
    codebook = Codebook(8, 4)
    codebook.seed_from(torch.randn(3, 4), torch.Generator().manual_seed(0))

    torch.testing.assert_close(codebook.embed.norm(dim=-1), torch.ones(1, 8))
