"""Where no maps are asked for, attention goes to a fused kernel in a form that kernels take."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from ctlite.losses.fast import fast_losses
from ctlite.models.attention import Attention
from ctlite.models.ct_encoder import CTViT

SIZES = {
    "dim": 32,
    "codebook_size": 4,
    "image_size": 16,
    "patch_size": 4,
    "temporal_patch_size": 2,
    "spatial_depth": 1,
    "temporal_depth": 1,
    "dim_head": 8,
    "heads": 2,
}
Run = Callable[[CTViT, CTViT, Tensor], Any]
WAYS: dict[str, tuple[Run, int]] = {
    "evaluation": (lambda _, student, video: student.eval()(video), 2),
    "training": (lambda _, student, video: student(video).sum().backward(), 2),
    "FAST without style": (
        lambda teacher, student, video: fast_losses(
            teacher, student, video, video.neg(), terms={"self", "cross", "final"}
        ),
        6,
    ),
}


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_is_fused(
    monkeypatch: pytest.MonkeyPatch, way: str, precision: torch.dtype
) -> None:
    """No map is made; all is in one precision; the bias is one for all groups, keys side by side.

    Of a bias with another stride PyTorch says so in check_last_dim_stride_equals_1_dense, and
    makes whole maps on GPUs.
    """
    calls: list[tuple[Tensor, ...]] = []
    kernel = F.scaled_dot_product_attention

    def note(*tensors: Tensor, attn_mask: Tensor | None, scale: float) -> Tensor:
        calls.append((*tensors, *(() if attn_mask is None else (attn_mask,))))
        return kernel(*tensors, attn_mask=attn_mask, scale=scale)

    def refuse(*_: Any) -> Tensor:
        raise AssertionError("a map was made")

    monkeypatch.setattr(F, "scaled_dot_product_attention", note)
    monkeypatch.setattr(Attention, "attention_map", refuse)
    teacher, student = CTViT(**SIZES).eval().requires_grad_(False), CTViT(**SIZES).train()
    student.codebook.frozen = True
    run, expected = WAYS[way]
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        run(teacher, student, torch.rand(1, 1, 4, 16, 16))

    assert len(calls) == expected
    assert {tensor.dtype for call in calls for tensor in call} == {precision}
    assert {tensor.stride(-1) for call in calls for tensor in call} == {1}
    biases = [call[3] for call in calls if len(call) == 4]
    assert [tuple(bias.shape) for bias in biases] == [(1, 2, 16, 16)] * (expected // 2)
