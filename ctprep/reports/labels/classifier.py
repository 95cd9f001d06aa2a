"""A classifier of reports, ready to be asked, whatever its weights were read from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

Pooling = Literal["auto", "pooler", "first"]
"""What the last layer reads: the pooled output, or the first token's state."""


@dataclass(frozen=True, eq=False)
class ReportClassifier:
    """A text encoder with one output a label."""

    label: str
    """Name and version; no path of this machine."""
    tokenizer: Any
    to_logits: "Callable[[Tensor, Tensor], Tensor]"
    """Token ids and attention mask, both (report, token), to logits (report, label)."""
    names: tuple[str, ...]
    """CT-RATE names of the outputs, in their order."""
    length: int
    """Tokens that it takes, those of begin and end among them."""
    device: str
