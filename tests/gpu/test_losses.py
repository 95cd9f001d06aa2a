"""Losses and projection on CUDA: values and gradients in float32 are the CPU's in float64.

Each at a size that CUDA takes in more than one part, of which the last is smaller.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from safetensors.torch import load_file
from torch import Tensor

from ctlite.losses import row_sum, style
from ctlite.losses.clip import clip_loss
from ctlite.losses.fast import fast_losses
from ctlite.losses.siglip import siglip_loss
from ctlite.losses.style import style_loss
from ctlite.models import projection
from ctlite.models.projection import SFP
from tests.gpu.nearness import assert_all_near, assert_near, on

VALUE, GRADIENT = 1e-5, 1e-4
Case = tuple[Callable[..., Tensor], list[Tensor]]


def unit(*shape: int) -> Tensor:
    """Random rows of length 1."""
    return F.normalize(torch.randn(shape), dim=-1).requires_grad_()


def style_case() -> Case:
    """Forty maps, of which CUDA takes sixteen at once."""
    groups, heads, queries, keys = 5, 8, 2048, 16
    assert 1 < groups * heads / (style.GRAM_NUMBERS["cuda"] // queries**2) < groups * heads
    own, other = (torch.randn(groups, heads, queries, keys).mul(2).softmax(-1) for _ in range(2))
    return style_loss, [own.requires_grad_(), other]


def siglip_case() -> Case:
    """One part of 5592 rows, and a small one; some texts are equal."""
    pairs = 6000
    assert 1 < pairs / (row_sum.SCORES["cuda"] // pairs) < 2
    numbers = torch.arange(pairs) % (pairs - 50)

    def loss(*inputs: Tensor) -> Tensor:
        return siglip_loss(*inputs, numbers.to(inputs[0].device))

    scale, bias = (torch.tensor(value, requires_grad=True) for value in (1.5, -2.0))
    return loss, [unit(pairs, 8), unit(pairs, 8), scale, bias]


def clip_case() -> Case:
    """Likewise, with two sums a score."""
    pairs = 6000
    return clip_loss, [unit(pairs, 8), unit(pairs, 8), torch.tensor(1.5, requires_grad=True)]


def projection_case() -> Case:
    """Thirty blocks, of which CUDA takes 21 at once."""
    batch, blocks, out_dim, rank = 512, 30, 512, 6
    assert 1 < blocks / (projection.MIDDLE_NUMBERS["cuda"] // (batch * out_dim * rank)) < 2
    layer = SFP(blocks * out_dim, out_dim, rank)
    target = torch.randn(batch, out_dim) / batch

    def project(x: Tensor, left: Tensor, right: Tensor) -> Tensor:
        # Without a layer of its own in float64, which the parameters of this one are not.
        y = projection._Contraction.apply(x, left, right)
        return (y.square() * target.to(y)).sum()

    x = torch.randn(batch, blocks * out_dim, requires_grad=True)
    return project, [x, layer.left, layer.right]


CASES = {
    "style": style_case,
    "siglip": siglip_case,
    "clip": clip_case,
    "projection": projection_case,
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_the_cpus(gpu: torch.device, name: str) -> None:
    """Against float64 on the CPU."""
    torch.manual_seed(0)
    loss, inputs = CASES[name]()
    results = []
    for device, dtype in (("cpu", torch.float64), (gpu, torch.float32)):
        own = on(device, *inputs, dtype=dtype)
        value = loss(*own)
        wanted = [tensor for tensor in own if tensor.requires_grad]
        results.append((value, torch.autograd.grad(value, wanted)))

    (expected, expected_grads), (found, grads) = results
    assert found.device.type == gpu.type
    # The CPU's norm adds up millions of squares one after the other, which costs digits.
    assert_near(found, expected, 1e-3 if (name, gpu.type) == ("style", "cpu") else VALUE)
    assert_all_near(grads, expected_grads, GRADIENT)


@pytest.mark.parametrize("name", ["siglip", "clip"])
def test_contrastive_losses_leave_half_precision(gpu: torch.device, name: str) -> None:
    """Under autocast, from bfloat16 latents, the value is that of float32."""
    torch.manual_seed(0)
    loss, inputs = CASES[name]()
    latents = on(gpu, *inputs, dtype=torch.bfloat16)
    expected = loss(*on(gpu, *latents, dtype=torch.float32))
    with torch.autocast(gpu.type, torch.bfloat16):
        found = loss(*latents)
    found.backward()

    assert_near(found, expected, VALUE)
    assert all(tensor.grad.dtype == torch.bfloat16 for tensor in latents)


def test_golden_losses(gpu: torch.device, golden: Path, load_encoder) -> None:
    """FAST's terms, each block by itself."""
    expected = load_file(golden / "fast.safetensors")
    clean = load_file(golden / "ctvit_small.video.safetensors")["video"]
    compressed = load_file(golden / "fast_student.video.safetensors")["student_video"]
    losses = fast_losses(
        load_encoder("ctvit_small").to(gpu),
        load_encoder("fast_student").to(gpu),
        clean.to(gpu),
        compressed.to(gpu),
    )

    for term in ("style", "self", "cross"):
        own, other = losses.per_block[term].cpu(), expected[f"{term}_per_block"]
        torch.testing.assert_close(own, other, atol=0, rtol=1e-4)
    for term, value in losses.terms().items():
        assert_near(value, expected[f"loss_{term}"], 1e-4)


def test_gradients_of_fast_are_the_cpus(gpu: torch.device, golden: Path, load_encoder) -> None:
    """All terms together, for every weight of the student; the teacher gets none."""
    clean = load_file(golden / "ctvit_small.video.safetensors")["video"][:1]
    compressed = load_file(golden / "fast_student.video.safetensors")["student_video"][:1]
    results = []
    for device, dtype in (("cpu", torch.float64), (gpu, torch.float32)):
        teacher, student = (
            load_encoder(name).to(device, dtype) for name in ("ctvit_small", "fast_student")
        )
        videos = (video.to(device, dtype) for video in (clean, compressed))
        sum(fast_losses(teacher, student, *videos).terms().values()).backward()
        assert all(weight.grad is None for weight in teacher.parameters())
        results.append([weight.grad for weight in student.parameters()])

    expected, found = results
    assert_all_near(found, expected, 1e-3)


@pytest.mark.filterwarnings("ignore:rank")
@pytest.mark.parametrize(("case", "rank"), [("square", 2), ("rect", 3)])
def test_golden_projection(gpu: torch.device, golden: Path, case: str, rank: int) -> None:
    """In float64 to its last digits, under autocast too."""
    sfp = load_file(golden / "sfp.safetensors")
    x, y = sfp[f"{case}.x"].to(gpu), sfp[f"{case}.y"]
    layer = SFP(x.shape[1], y.shape[1], rank).double().to(gpu)
    layer.load_cores(sfp[f"{case}.L"], sfp[f"{case}.R"])
    with torch.autocast(gpu.type, torch.bfloat16):
        found = layer(x)

    torch.testing.assert_close(found.cpu(), y, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("case", ["init", "tuned"])
def test_golden_siglip(gpu: torch.device, golden: Path, case: str) -> None:
    """In float64 to its last digits."""
    values = load_file(golden / "siglip.safetensors")
    names = ("image", "text", f"{case}.t_prime", f"{case}.bias")
    found = siglip_loss(*(values[name].to(gpu) for name in names))

    torch.testing.assert_close(found.cpu(), values[f"{case}.loss"], atol=1e-10, rtol=1e-10)
