"""Taken some rows at a time, the contrastive losses are the plain ones, and hold no whole table."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from ctlite.losses import row_sum
from ctlite.losses.clip import clip_logits, clip_loss
from ctlite.losses.siglip import siglip_logits, siglip_loss
from tests.ctlite.largest import LargestTensor
from tests.ctlite.losses.plain import plain_clip_loss, plain_siglip_loss, without_equal_texts

EXACT = {"atol": 1e-10, "rtol": 1e-10}
PAIRS, LATENT = 7, 5
SOME_EQUAL = torch.tensor([0, 1, 1, 2, 0, 3, 0])
Loss = Callable[..., Tensor]


def plain_clip(image: Tensor, text: Tensor, scale: Tensor, numbers: Tensor) -> Tensor:
    """CLIP over the whole table."""
    return plain_clip_loss(without_equal_texts(clip_logits(image, text, scale), numbers))


def plain_siglip(
    image: Tensor, text: Tensor, scale: Tensor, bias: Tensor, numbers: Tensor
) -> Tensor:
    """SigLIP over the whole table."""
    return plain_siglip_loss(without_equal_texts(siglip_logits(image, text, scale, bias), numbers))


CASES = [(clip_loss, plain_clip, 1), (siglip_loss, plain_siglip, 2)]


def draw(pairs: int, numbers: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Unit latents, and a scale, or a scale and a bias."""
    torch.manual_seed(0)
    latents = [F.normalize(torch.randn(pairs, LATENT, dtype=dtype), dim=-1) for _ in range(2)]
    single = [torch.tensor(value, dtype=dtype) for value in (1.5, -2.0)[:numbers]]
    return [tensor.requires_grad_() for tensor in (*latents, *single)]


@pytest.mark.parametrize("texts", ["different", "some equal", "all equal"])
@pytest.mark.parametrize("rows", [1, 2, 3, 7])
@pytest.mark.parametrize(("ours", "plain", "singles"), CASES)
def test_values_and_gradients_are_the_plain_ones(
    monkeypatch: pytest.MonkeyPatch, ours: Loss, plain: Loss, singles: int, rows: int, texts: str
) -> None:
    """Of images, texts, scale and bias, in parts of whatever number of rows."""
    monkeypatch.setitem(row_sum.SCORES, "cpu", rows * PAIRS)
    numbers = {
        "different": torch.arange(PAIRS),
        "some equal": SOME_EQUAL,
        "all equal": torch.zeros(PAIRS, dtype=torch.int64),
    }[texts]
    inputs = draw(PAIRS, singles)
    want, got = plain(*inputs, numbers), ours(*inputs, numbers)

    torch.testing.assert_close(got, want, **EXACT)
    expected = torch.autograd.grad(3 * want, inputs)
    torch.testing.assert_close(torch.autograd.grad(3 * got, inputs), expected, **EXACT)
    with torch.no_grad():
        torch.testing.assert_close(ours(*inputs, numbers), want, **EXACT)
    if texts == "different":
        torch.testing.assert_close(ours(*inputs), want, **EXACT)


@pytest.mark.parametrize(("ours", "plain", "singles"), CASES)
def test_what_is_frozen_gets_no_gradient(ours: Loss, plain: Loss, singles: int) -> None:
    """The others get theirs, each its own."""
    inputs = draw(PAIRS, singles)
    inputs[0].requires_grad_(False)
    expected = torch.autograd.grad(plain(*inputs, SOME_EQUAL), inputs[1:])
    ours(*inputs, SOME_EQUAL).backward()

    assert inputs[0].grad is None
    torch.testing.assert_close(tuple(tensor.grad for tensor in inputs[1:]), expected, **EXACT)


@pytest.mark.parametrize(("ours", "plain", "singles"), CASES)
def test_half_precision_is_left(ours: Loss, plain: Loss, singles: int) -> None:
    """Under autocast and from bfloat16 latents the loss is that of float32."""
    inputs = draw(PAIRS, singles, torch.bfloat16)
    expected = plain(*(tensor.float() for tensor in inputs), SOME_EQUAL)
    with torch.autocast("cpu", torch.bfloat16):
        got = ours(*inputs, SOME_EQUAL)
    got.backward()

    torch.testing.assert_close(got, expected)
    assert all(tensor.grad.dtype == torch.bfloat16 for tensor in inputs)


@pytest.mark.parametrize(("ours", "plain", "singles"), CASES)
def test_the_table_is_never_whole(
    monkeypatch: pytest.MonkeyPatch, ours: Loss, plain: Loss, singles: int
) -> None:
    """No tensor of pairs times pairs is made, be it scores, masks or gradients."""
    pairs = 200
    monkeypatch.setitem(row_sum.SCORES, "cpu", 7 * pairs)
    inputs, numbers = draw(pairs, singles), torch.arange(pairs) // 2
    sizes = {}
    for loss in (ours, plain):
        with LargestTensor() as largest:
            loss(*inputs, numbers).backward()
        sizes[loss] = largest.numbers

    assert sizes == {ours: 7 * pairs, plain: pairs**2}
