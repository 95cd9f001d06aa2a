"""A sum over the rows of a table of scores that is too large to be held whole."""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ctlite.losses.at_once import sum_at_once

SCORES = {"cpu": 2**20, "cuda": 2**25}
"""Scores at once."""


def sum_over_rows(
    part: Callable[..., Float[Tensor, ""]], count: int, *inputs: Tensor
) -> Float[Tensor, ""]:
    """Add up what the rows give, some at a time.

    Args:
        part: takes a slice of rows and `inputs`, and gives their part of the sum.
        count: rows, and columns.
        inputs: that `part` needs; all of them can get a gradient.

    Returns:
        The sum.
    """
    rows = row_slices(count, inputs[0].device)
    return sum_at_once([partial(part, some) for some in rows], *inputs)


def row_slices(count: int, device: torch.device) -> list[slice]:
    """Divide the rows of a table of scores.

    Args:
        count: rows, and columns.
        device: where the scores are computed.

    Returns:
        Slices of rows in order, of `SCORES` scores or of one row.
    """
    step = max(1, SCORES.get(device.type, SCORES["cpu"]) // count)
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def at_least_float32(*latents: Tensor) -> list[Tensor]:
    """Leave half precision, in which a sum over many scores would be wrong.

    Args:
        latents: of any precision.

    Returns:
        float32 for float16 and bfloat16; others as they are.
    """
    half = (torch.float16, torch.bfloat16)
    return [latent.float() if latent.dtype in half else latent for latent in latents]


def mask_equal_texts(
    scores: Float[Tensor, "row pair"], text_numbers: Int64[Tensor, " pair"] | None, rows: slice
) -> Float[Tensor, "row pair"]:
    """Take pairs out that are not wrong: another scan's equal text.

    Args:
        scores: some rows of the table.
        text_numbers: equal for equal texts; None if no two are.
        rows: which rows.

    Returns:
        Scores of minus infinity there, which add nothing to either loss.
    """
    if text_numbers is None:
        return scores
    equal: Bool[Tensor, "row pair"] = text_numbers[rows, None] == text_numbers[None]
    equal.diagonal(rows.start).fill_(False)
    return scores.masked_fill(equal, -torch.inf)
