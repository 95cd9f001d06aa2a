"""Losses whose gradients are computed in forward, so that nothing else of them is kept.

Worth it where a loss looks at much and its gradient is small: autograd would keep all that was
computed until backward.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable


def sum_at_once(
    parts: Sequence[Callable[..., Float[Tensor, ""]]], *inputs: Tensor
) -> Float[Tensor, ""]:
    """Add up parts of a loss, each with its gradients before the next begins.

    Args:
        parts: functions of `inputs`; whatever else they use gets no gradient.
        inputs: all of them can get a gradient.

    Returns:
        The sum.
    """
    if not torch.is_grad_enabled():
        inputs = tuple(tensor.detach() for tensor in inputs)
    total: Tensor = _SumAtOnce.apply(parts, *inputs)  # type: ignore[no-untyped-call]
    return total


class _SumAtOnce(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        parts: Sequence[Callable[..., Tensor]],
        *inputs: Tensor,
    ) -> Tensor:
        wanted = ctx.needs_input_grad[1:]
        leaves = [
            tensor.detach().requires_grad_(want)
            for tensor, want in zip(inputs, wanted, strict=True)
        ]
        trained = [leaf for leaf in leaves if leaf.requires_grad]
        values: list[Tensor] = []
        sums: list[Tensor] = []
        for part in parts:
            with torch.set_grad_enabled(bool(trained)):
                value = part(*leaves)
            values.append(value.detach())
            grads = torch.autograd.grad(value, trained) if trained else ()
            sums = [a + b for a, b in zip(sums, grads, strict=True)] if sums else list(grads)
        ctx.save_for_backward(*sums)
        return torch.stack(values).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_total: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        sums = iter(ctx.saved_tensors)
        wanted = ctx.needs_input_grad[1:]
        return None, *(next(sums) * grad_total if want else None for want in wanted)
