"""FAST's terms are the golden ones, train the student alone and vanish for equal networks."""

import copy
import weakref
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from safetensors.torch import load_file

from ctlite.losses.fast import block_loss, calibrate_weights, cross_attention, fast_losses
from ctlite.losses.style import gram

RELATIVE = {"atol": 0, "rtol": 1e-5}


@pytest.fixture
def videos(golden: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Clean and compressed."""
    clean = load_file(golden / "ctvit_small.video.safetensors")["video"]
    return clean, load_file(golden / "fast_student.video.safetensors")["student_video"]


def test_golden_losses(golden: Path, load_encoder, videos) -> None:
    """Per block, summed and weighted."""
    expected = load_file(golden / "fast.safetensors")
    losses = fast_losses(load_encoder("ctvit_small"), load_encoder("fast_student"), *videos)
    terms = losses.terms()

    for term in ("style", "self", "cross"):
        values = losses.per_block[term]
        torch.testing.assert_close(values, expected[f"{term}_per_block"], **RELATIVE)
    for term in ("style", "dual", "final"):
        torch.testing.assert_close(terms[term], expected[f"loss_{term}"], **RELATIVE)
    torch.testing.assert_close(losses.end, expected["loss_final"], **RELATIVE)
    weights = calibrate_weights([terms])
    found = torch.tensor([weights[name] for name in ("style", "dual", "final")])
    torch.testing.assert_close(found, expected["weights_ratio_1_1_4"], **RELATIVE)
    total = sum(weights[name] * value for name, value in terms.items())
    torch.testing.assert_close(total, expected["loss_total"], **RELATIVE)


@torch.no_grad()
def test_golden_cross_attention(golden: Path, load_encoder, videos) -> None:
    """The student's queries in the teacher's layer."""
    expected = load_file(golden / "fast.safetensors")
    teacher, student = load_encoder("ctvit_small"), load_encoder("fast_student")
    layers = [layer for tower in teacher.towers for layer in tower.layers]
    records = (
        encoder.encode(video, record=True).blocks
        for encoder, video in zip((student, teacher), videos[::-1], strict=True)
    )
    for layer, own, other in zip(layers, *records, strict=True):
        found = cross_attention(own, other, layer.attention)
        name = f"{own.tower}.{own.index}.cross_out"
        torch.testing.assert_close(found, expected[name], atol=5e-5, rtol=1e-5)


def test_gradients_match_the_plain_losses(load_encoder, videos) -> None:
    """Streaming by block gives autograd's gradients of the losses written out."""
    teacher = load_encoder("ctvit_small").double()
    student = load_encoder("fast_student").double()
    clean, compressed = (video[:1].double() for video in videos)
    sum(fast_losses(teacher, student, clean, compressed).terms().values()).mul(1e3).backward()
    found = {name: weight.grad.clone() for name, weight in student.named_parameters()}
    student.zero_grad()

    with torch.no_grad():
        target = teacher.encode(clean, record=True)
    output = student.encode(compressed, record=True)
    loss = F.mse_loss(output.tokens_pre_codebook, target.tokens_pre_codebook)
    layers = [layer.attention for tower in teacher.towers for layer in tower.layers]
    for layer, own, other in zip(layers, output.blocks, target.blocks, strict=True):
        loss = loss + F.mse_loss(gram(own.attn_map), gram(other.attn_map))
        logits = 8 * own.query @ other.key.mT + (0 if other.bias is None else other.bias)
        mixed = (logits.softmax(-1) @ other.value).transpose(1, 2).flatten(2)
        crossed = mixed @ layer.to_out.weight.detach().T
        loss = loss + F.mse_loss(own.attn_out, other.attn_out) + F.mse_loss(crossed, other.attn_out)
    (1e3 * loss).backward()

    expected = {name: weight.grad for name, weight in student.named_parameters()}
    torch.testing.assert_close(found, expected)
    assert all(weight.grad is None for weight in teacher.parameters())


class Kept:
    """A tensor that a graph keeps for backward; gone with the graph."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


@pytest.mark.parametrize("term", ["style", "self", "cross", "features"])
def test_a_loss_keeps_its_gradient_alone(load_encoder, videos, term) -> None:
    """All blocks wait for backward, so that what else a loss kept would be kept of each."""
    teacher, student = load_encoder("ctvit_small"), load_encoder("fast_student")
    own = student.encode(videos[1], record=True).blocks[0]
    attention = teacher.towers[0].layers[0].attention
    with torch.no_grad():
        record = teacher.encode(videos[0], record=True).blocks[0]
    wanted = {"style": own.attn_map, "self": own.attn_out, "cross": own.query, "features": own.out}
    kept: weakref.WeakSet[Kept] = weakref.WeakSet()

    def keep(tensor: torch.Tensor) -> Kept:
        found = Kept(tensor)
        kept.add(found)
        return found

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda found: found.tensor):
        loss = block_loss(term, own, record, attention)

    assert loss.requires_grad
    assert [found.tensor.shape for found in kept] == [wanted[term].shape]


def test_equal_networks_have_no_loss(load_encoder, videos) -> None:
    """The loss can reach zero, so a perfect student is at its optimum."""
    teacher = load_encoder("ctvit_small")
    terms = fast_losses(teacher, copy.deepcopy(teacher), videos[0], videos[0]).terms()

    assert max(value.item() for value in terms.values()) < 1e-9


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ({"final"}, {"final"}),
        ({"self", "final"}, {"dual", "final"}),
        ({"style"}, {"style"}),
        ({"features", "final"}, {"features", "final"}),
    ],
)
def test_terms_can_be_left_out(load_encoder, videos, asked, given) -> None:
    """Each ablation has its terms alone."""
    teacher, student = load_encoder("ctvit_small"), load_encoder("fast_student")
    terms = fast_losses(teacher, student, *videos, terms=asked).terms()

    assert set(terms) == given


def test_final_term_after_the_codebook(golden: Path, load_encoder, videos) -> None:
    """The option compares rows of the tables, and the gradient still reaches the student."""
    teacher, student = load_encoder("ctvit_small"), load_encoder("fast_student")
    losses = fast_losses(teacher, student, *videos, terms={"final"}, final_after_codebook=True)
    losses.final.backward()
    with torch.no_grad():
        plain = F.mse_loss(student(videos[1]), teacher(videos[0]))

    torch.testing.assert_close(losses.final.detach(), plain)
    assert student.to_patch_emb[2].weight.grad.abs().sum() > 0
