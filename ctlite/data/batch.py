"""A batch of scans as the loader delivers it: stored integers, not yet floats."""

from collections import deque
from dataclasses import dataclass, fields

import torch
from jaxtyping import Int16, Int64, UInt8
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """What a stage gets: the same scans as volumes, as text, or as both.

    Whoever holds a batch, or any tensor that shares its memory, owns that memory: the loader
    decodes into it again only after the last such tensor is gone.
    """

    scan_ids: tuple[str, ...]
    gray: UInt8[Tensor, "batch slice row column"] | None = None
    """Gray levels of the JPEG store, in the store's orientation."""
    hu: Int16[Tensor, "batch slice row column"] | None = None
    """HU of the hi-fi store, in the store's orientation."""
    token_ids: Int64[Tensor, "text length"] | None = None
    """One text a scan in the order of the scans; then, if there are more, another of each."""
    attention_mask: Int64[Tensor, "text length"] | None = None
    """1 at tokens, 0 at padding."""

    def to(self, device: torch.device | str) -> "Batch":
        """Copy the tensors to a device, without waiting where the memory is pinned.

        Args:
            device: where to; a batch that is there already comes back unchanged.

        Returns:
            The batch on the device.
        """
        target = torch.device(device)
        moved = {
            name: tensor.to(target, non_blocking=True) for name, tensor in self._tensors().items()
        }
        if target.type == "cuda":
            _hold_until_copied(self, target)
        return Batch(scan_ids=self.scan_ids, **moved)

    def _tensors(self) -> dict[str, Tensor]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    def __len__(self) -> int:
        return len(self.scan_ids)


_in_flight: deque[tuple[torch.Event, Batch]] = deque()


def _hold_until_copied(batch: Batch, device: torch.device) -> None:
    # The copy reads the pinned memory after `to` has returned; letting go of the batch now
    # would let the loader decode the next scans into it in the middle of the copy.
    done = torch.Event(device)
    done.record(torch.cuda.current_stream(device))
    _in_flight.append((done, batch))
    while _in_flight and _in_flight[0][0].query():
        _in_flight.popleft()
