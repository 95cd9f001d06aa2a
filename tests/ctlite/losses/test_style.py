"""The style loss equals the plain one, forward and backward, in whatever pieces."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

from ctlite.losses import style
from ctlite.losses.style import gram, style_loss


def test_by_hand() -> None:
    """Two queries at one key against two apart: two of four entries differ, by 1."""
    student = torch.tensor([[[[1.0, 0], [1, 0]]]])
    teacher = torch.eye(2)[None, None]

    assert gram(student).tolist() == [[[[1, 1], [1, 1]]]]
    assert style_loss(student, teacher).item() == pytest.approx(0.5)


@pytest.mark.parametrize("numbers", [1, 100, 2**20])
def test_matches_the_plain_loss(monkeypatch: pytest.MonkeyPatch, numbers: int) -> None:
    """Value and gradient are those of autograd through both Gram matrices."""
    monkeypatch.setitem(style.GRAM_NUMBERS, "cpu", numbers)
    student = torch.randn(5, 2, 4, 3, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(5, 2, 4, 3, dtype=torch.float64)
    plain = F.mse_loss(gram(student), gram(teacher))
    ours = style_loss(student, teacher)

    torch.testing.assert_close(ours, plain)
    expected = torch.autograd.grad(3 * plain, student)
    torch.testing.assert_close(torch.autograd.grad(3 * ours, student), expected)
    assert torch.autograd.gradcheck(style_loss, (student, teacher))
