"""Vectors of a frozen text encoder, computed once a text."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ctlite.models.text_encoder import encode_cls


class TextCache:
    """Remembers the CLS vector of every text it has seen.

    Memory grows with the number of distinct texts, by about 3 kB each at 768 features.

    Args:
        encoder: frozen, in evaluation mode whenever the cache is asked.
    """

    def __init__(self, encoder: nn.Module) -> None:
        # In a tuple, so that a module that holds the cache does not register the encoder twice.
        self._encoder = (encoder,)
        self._vectors: dict[bytes, Tensor] = {}

    @torch.no_grad()
    def __call__(
        self,
        token_ids: Int64[Tensor, "batch length"],
        attention_mask: Int64[Tensor, "batch length"],
    ) -> Float[Tensor, "batch feature"]:
        """Look texts up, and encode those that are new.

        Args:
            token_ids: padded.
            attention_mask: 1 at tokens, 0 at padding.

        Returns:
            CLS vectors, without gradient.
        """
        lengths = attention_mask.sum(dim=1).tolist()
        rows = [ids[:length] for ids, length in zip(token_ids.cpu(), lengths, strict=True)]
        vectors = []
        for row in rows:
            key = row.numpy().tobytes()
            if key not in self._vectors:
                # Alone and without padding, which would change the last bits of the vector with
                # the other texts of the batch, and a resumed run has others.
                alone = row[None].to(token_ids.device)
                vector = encode_cls(self._encoder[0], alone, torch.ones_like(alone))[0]
                self._vectors[key] = vector.cpu()
            vectors.append(self._vectors[key])
        return torch.stack(vectors).to(token_ids.device)
