"""Reused memory for batches, which comes back when nobody looks at it any more."""

import weakref
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

Buffer = Shaped[np.ndarray, "batch slice row column"]


class BufferPool:
    """Lends batch buffers of one shape; a lent buffer returns when its last tensor is gone.

    Fresh memory costs a page fault every 4 kB, a third of the time of decoding into it, so
    memory is used again. Ownership is held by the memory itself, not by a batch: a slice, a
    view or a NumPy array made of a lent tensor keeps the buffer lent.

    Args:
        shape: of a buffer, (batch, slice, row, column).
        dtype: of the voxels.
        keep: returned buffers held for reuse; further ones are freed.
        is_pinned: whether an accelerator is to copy from it without waiting.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: torch.dtype, *, keep: int, is_pinned: bool
    ) -> None:
        self._shape = shape
        self._dtype = dtype
        self._keep = keep
        self._is_pinned = is_pinned
        self._free: list[Buffer] = []

    def take(self) -> Buffer:
        """Get a buffer to write to, holding anything.

        Returns:
            An array that no tensor looks at.
        """
        # A finalizer may give back at any moment, so ask for forgiveness, not for the length.
        try:
            return self._free.pop()
        except IndexError:
            array: Buffer = torch.empty(
                self._shape, dtype=self._dtype, pin_memory=self._is_pinned
            ).numpy()
            return array

    def give_back(self, buffer: Buffer) -> None:
        """Return a buffer that was taken and not lent.

        Args:
            buffer: from `take`.
        """
        if len(self._free) < self._keep:
            self._free.append(buffer)

    def lend(self, buffer: Buffer, length: int) -> Shaped[Tensor, "length slice row column"]:
        """Make the tensor that owns a buffer from now on.

        Args:
            buffer: from `take`, filled.
            length: rows of it that are in the batch.

        Returns:
            A tensor of the first rows; the buffer is taken back after the last tensor or array
            that shares its memory is gone.
        """
        # PyTorch keeps this very view alive as long as the tensor's memory is in use.
        view: Any = buffer[:length]
        finalizer = weakref.finalize(view, self.give_back, buffer)
        finalizer.atexit = False
        return torch.from_numpy(view)
