"""Several texts a scan, and equal texts of different scans."""

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

from ctlite.losses.clip import clip_loss
from ctlite.losses.siglip import siglip_loss
from ctlite.stages.pairs import each_view, find_twins, without_twins


def test_views_take_a_text_of_every_scan() -> None:
    """Six texts of three scans are two views, in the order of the tokens."""
    text = torch.arange(6.0)[:, None]
    ids = torch.tensor([[5], [6], [7], [8], [9], [8]])

    views = list(each_view(text, ids, torch.ones_like(ids), 3))

    assert [view.flatten().tolist() for view, _ in views] == [[0, 1, 2], [3, 4, 5]]
    assert not views[0][1].any()
    assert views[1][1].nonzero().tolist() == [[0, 2], [2, 0]]


def test_twins_are_equal_texts_of_others() -> None:
    """The diagonal is a pair, whatever else is equal."""
    assert find_twins(torch.tensor([[1, 2], [1, 2], [1, 3]])).tolist() == [
        [False, True, False],
        [True, False, False],
        [False, False, False],
    ]


def test_twins_add_nothing_to_either_loss() -> None:
    """Losses and gradients are those written out over the pairs that are left."""
    logits = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    twins = find_twins(torch.tensor([[1], [1], [2]]))
    cut = without_twins(logits, twins)
    left = ~twins
    sign = 2 * torch.eye(3, dtype=torch.float64) - 1
    sigmoid = -sum(F.logsigmoid(sign[i, j] * logits[i, j]) for i, j in left.nonzero().tolist()) / 3
    rows = [-(logits[i, i] - logits[i][left[i]].logsumexp(0)) for i in range(3)]
    columns = [-(logits[i, i] - logits[:, i][left[:, i]].logsumexp(0)) for i in range(3)]
    softmax = (torch.stack(rows).mean() + torch.stack(columns).mean()) / 2

    for ours, plain in ((siglip_loss(cut), sigmoid), (clip_loss(cut), softmax)):
        torch.testing.assert_close(ours, plain)
        (want,) = torch.autograd.grad(plain, logits, retain_graph=True)
        (got,) = torch.autograd.grad(ours, logits, retain_graph=True)
        torch.testing.assert_close(got, want)
        assert got[0, 1] == 0
