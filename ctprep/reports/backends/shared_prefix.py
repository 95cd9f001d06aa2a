"""The task and the examples stand before every report: their keys and values are computed once."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import DynamicCache, PreTrainedModel

_LEAST_TOKENS = 32
_KNOWN_LAYERS = frozenset({"full_attention", "sliding_attention"})
# Relative, of two ways to the same numbers: tiny random models in float32 differ by 1e-7 where both
# are right, and by 2e-4 where the prefix is one token off.
_TOLERANCE = {"float32": 1e-4, "bfloat16": 0.03}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prefix:
    """Tokens, and what each layer made of them."""

    token_ids: list[int]
    layers: "list[tuple[torch.Tensor, torch.Tensor]]"
    """Keys and values, (1, head, token, feature)."""

    def expand(self, rows: Sequence[Sequence[int]]) -> "DynamicCache | None":
        """Make the cache with which a batch begins.

        All rows are cached up to the same place of the padded batch. A shorter one has its padding
        in front of that, so it takes fewer tokens of the prefix, and computes the others again.

        Args:
            rows: prompts without padding, which is taken to stand in front.

        Returns:
            A `DynamicCache`, or None where the prompts share too little with the prefix.
        """
        from transformers import DynamicCache

        longest = max(map(len, rows))
        gaps = [longest - len(row) for row in rows]
        same = [count_shared(row, self.token_ids) for row in rows]
        # At least one token is left to begin the answer from.
        length = min(longest - 1, *(gap + n for gap, n in zip(gaps, same, strict=True)))
        if length - min(gaps) < _LEAST_TOKENS:
            return None
        return DynamicCache(
            [(_shift(k, length, gaps), _shift(v, length, gaps)) for k, v in self.layers]
        )


def _shift(part: "torch.Tensor", length: int, gaps: Sequence[int]) -> "torch.Tensor":
    """Repeat keys or values for each row, moved behind its padding."""
    _, heads, _, features = part.shape
    rows = part.new_zeros((len(gaps), heads, length, features))
    for row, gap in enumerate(gaps):
        if gap < length:
            rows[row, :, gap:] = part[0, :, : length - gap]
    return rows


def count_shared(first: Sequence[int], second: Sequence[int]) -> int:
    """Count the tokens with which both begin."""
    pairs = zip(first, second, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def compute_prefix(
    model: "PreTrainedModel", first: Sequence[int], second: Sequence[int]
) -> Prefix | None:
    """Compute what two prompts begin with, and check that a model goes on from it correctly.

    Args:
        model: of transformers.
        first: a prompt.
        second: another one, of another length.

    Returns:
        The prefix; None where the model does not allow it.
    """
    layer_types = getattr(model.config.get_text_config(), "layer_types", None) or ()
    if getattr(model, "_is_stateful", False) or not _KNOWN_LAYERS.issuperset(layer_types):
        return None
    token_ids = list(first[: count_shared(first, second)])
    if len(token_ids) < _LEAST_TOKENS:
        return None
    try:
        prefix = _run_prefix(model, token_ids)
        is_right = prefix is not None and _is_right(model, prefix, [first, second])
    # Whatever a model's own code raises: it can still be asked the plain way.
    except (RuntimeError, TypeError, ValueError, LookupError, AttributeError) as error:
        logger.debug("no shared prefix: %s", type(error).__name__)
        return None
    logger.debug("a shared prefix of %d tokens: %s", len(token_ids), is_right)
    return prefix if is_right else None


def _run_prefix(model: "PreTrainedModel", token_ids: list[int]) -> Prefix | None:
    import torch
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    # Without the configuration, layers with a window keep all tokens: rows are moved within it.
    cache = DynamicCache()
    with torch.inference_mode():
        model.base_model(
            input_ids=torch.tensor([token_ids], device=model.device),
            past_key_values=cache,
            use_cache=True,
        )
    layers = [
        (layer.keys, layer.values)
        for layer in cache.layers
        if type(layer) is DynamicLayer and layer.keys is not None and layer.values is not None
    ]
    whole = [pair for pair in layers if pair[0].shape[2] == len(token_ids)]
    return Prefix(token_ids, whole) if whole and len(whole) == len(cache.layers) else None


def _is_right(model: "PreTrainedModel", prefix: Prefix, rows: Sequence[Sequence[int]]) -> bool:
    """Compare what the model makes of two prompts from the prefix on and from their beginning."""
    cache = prefix.expand(rows)
    if cache is None:
        return False
    plain, reused = _run_rows(model, rows, None), _run_rows(model, rows, cache)
    error = (plain - reused).norm(dim=-1) / plain.norm(dim=-1)
    limit = _TOLERANCE.get(str(model.dtype).removeprefix("torch."), 0.0)
    return bool((error < limit).all())


def _run_rows(
    model: "PreTrainedModel", rows: Sequence[Sequence[int]], cache: "DynamicCache | None"
) -> "torch.Tensor":
    """Give the last hidden state of each row."""
    import torch

    token_ids, mask = pad_left(rows, 0)
    token_ids, mask = token_ids.to(model.device), mask.to(model.device)
    start = 0 if cache is None else cache.get_seq_length()
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    with torch.inference_mode():
        made = model.base_model(
            input_ids=token_ids[:, start:],
            attention_mask=mask,
            position_ids=positions[:, start:],
            past_key_values=cache,
            use_cache=cache is not None,
        )
    last: torch.Tensor = made.last_hidden_state[:, -1].float()
    return last


def pad_left(rows: Sequence[Sequence[int]], pad_id: int) -> "tuple[torch.Tensor, torch.Tensor]":
    """Bring prompts to one length in front, so that all answers begin at one place.

    Args:
        rows: prompts.
        pad_id: token to fill up with.

    Returns:
        Tokens, and a mask that is 0 where they are filled up, (row, token).
    """
    import torch

    longest = max(map(len, rows))
    token_ids = torch.full((len(rows), longest), pad_id)
    attention_mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for row, tokens in enumerate(rows):
        token_ids[row, longest - len(tokens) :] = torch.tensor(tokens)
        attention_mask[row, longest - len(tokens) :] = 1
    return token_ids, attention_mask
