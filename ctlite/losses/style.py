"""Style of an attention map: which queries attend alike."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

GRAM_NUMBERS = {"cpu": 2**20, "cuda": 2**26}


def gram(
    attention_map: Float[Tensor, "group head query key"],
) -> Float[Tensor, "group head query query"]:
    """Compare the rows of a map with each other.

    Args:
        attention_map: after softmax.

    Returns:
        A A^T, each head by itself.

    Source:
        CT-Lite (2), readings F1 to F4 of docs/mathematics.md.
    """
    return attention_map @ attention_map.mT


def style_loss(
    student_map: Float[Tensor, "group head query key"],
    teacher_map: Float[Tensor, "group head query key"],
) -> Float[Tensor, ""]:
    """Measure the distance of two Gram matrices without keeping either.

    Args:
        student_map: after softmax; gets the gradient.
        teacher_map: likewise; gets none.

    Returns:
        Mean square over all elements, of one block.

    Source:
        CT-Lite (2). With D = G_S - G_T, which is symmetric, the gradient of sum D^2 is 4 D A_S.
    """
    with torch.autocast(student_map.device.type, enabled=False):
        half = student_map.dtype in (torch.float16, torch.bfloat16)
        student = student_map.float() if half else student_map
        teacher = teacher_map.detach().to(student.dtype)
        loss: Tensor = _GramDistance.apply(student, teacher)  # type: ignore[no-untyped-call]
    return loss


class _GramDistance(torch.autograd.Function):
    """Mean squared difference of Gram matrices, some groups at a time."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor) -> Tensor:  # noqa: ANN401
        student_flat, teacher_flat = student.flatten(0, 1), teacher.flatten(0, 1)
        queries = student.shape[2]
        elements = len(student_flat) * queries**2
        needs_grad = ctx.needs_input_grad[0]
        grad = torch.empty_like(student_flat) if needs_grad else None
        numbers = GRAM_NUMBERS.get(student.device.type, GRAM_NUMBERS["cpu"])
        step = max(1, numbers // queries**2)
        total = student.new_zeros(())
        for start in range(0, len(student_flat), step):
            own, other = student_flat[start : start + step], teacher_flat[start : start + step]
            difference = torch.bmm(other, other.mT)
            torch.baddbmm(difference, own, own.mT, beta=-1, out=difference)
            total += torch.linalg.vector_norm(difference) ** 2
            if grad is not None:
                torch.baddbmm(
                    grad[start : start + step],
                    difference,
                    own,
                    beta=0,
                    alpha=4 / elements,
                    out=grad[start : start + step],
                )
        if grad is not None:
            ctx.save_for_backward(grad.view(student.shape))
        return total / elements

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        (grad,) = ctx.saved_tensors
        return grad * grad_loss, None
