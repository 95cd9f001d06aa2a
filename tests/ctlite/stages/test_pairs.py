"""Several texts a scan, and equal texts of different scans."""

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

from ctlite.losses.clip import clip_logits, clip_loss
from ctlite.losses.siglip import siglip_loss
from ctlite.stages.pairs import each_view, number_texts


def test_views_take_a_text_of_every_scan() -> None:
    """Six texts of three scans are two views, in the order of the tokens."""
    text = torch.arange(6.0)[:, None]
    ids = torch.tensor([[5], [6], [7], [8], [9], [8]])

    views = list(each_view(text, ids, torch.ones_like(ids), 3))

    assert [view.flatten().tolist() for view, _ in views] == [[0, 1, 2], [3, 4, 5]]
    assert len(set(views[0][1].tolist())) == 3
    first, second, third = views[1][1].tolist()
    assert first == third != second


def test_equal_texts_have_one_number() -> None:
    """All tokens must be equal."""
    first, second, third = number_texts(torch.tensor([[1, 2], [1, 2], [1, 3]])).tolist()

    assert first == second != third


def test_equal_texts_add_nothing_to_either_loss() -> None:
    """Losses and gradients are those written out over the pairs that are left."""
    latents = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    image, text = F.normalize(latents, dim=-1)
    scale, bias = torch.tensor(1.0).double(), torch.tensor(0.0).double()
    logits = clip_logits(image, text, scale)
    numbers = number_texts(torch.tensor([[1], [1], [2]]))
    left = torch.tensor([[1, 0, 1], [0, 1, 1], [1, 1, 1]]).bool()
    sign = 2 * torch.eye(3, dtype=torch.float64) - 1
    sigmoid = -sum(F.logsigmoid(sign[i, j] * logits[i, j]) for i, j in left.nonzero().tolist()) / 3
    rows = [-(logits[i, i] - logits[i][left[i]].logsumexp(0)) for i in range(3)]
    columns = [-(logits[i, i] - logits[:, i][left[:, i]].logsumexp(0)) for i in range(3)]
    softmax = (torch.stack(rows).mean() + torch.stack(columns).mean()) / 2

    for ours, plain in (
        (siglip_loss(image, text, scale, bias, numbers), sigmoid),
        (clip_loss(image, text, scale, numbers), softmax),
    ):
        torch.testing.assert_close(ours, plain)
        want = torch.autograd.grad(plain, latents, retain_graph=True)
        got = torch.autograd.grad(ours, latents, retain_graph=True)
        torch.testing.assert_close(got, want)
