"""Structured Factorized Projection (SFP): a block tensor train in place of a dense layer.

What is special about it:
- the input is cut into n blocks as long as the output, each with a pair of cores of its own;
- both cores are kept in the order in which they are multiplied, not in that of the equations:
  nearly all time goes into reading them, and a copy would cost as much again;
- blocks are taken a few at a time, and backward computes what lies between the cores once more,
  so that beyond the cores and their gradients there is next to nothing in memory.
"""

import math
import warnings
from collections.abc import Generator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ctlite.models.even_split import split_evenly
from ctlite.models.projection_init import Method, approximate
from ctprep.store.errors import RecipeError

MIDDLE_NUMBERS = {"cpu": 2**17, "cuda": 2**25}
"""Floats between the cores at once; half a megabyte stays in the cache of a core."""


class SFP(nn.Module):
    """Linear layer without bias, of far fewer weights.

    `left` has axes (block, beta, alpha, gamma, sigma) and `right` (block, gamma, beta, sigma,
    delta), in the letters of docs/mathematics.md, SFP; `cores` gives them in the order used there.

    Args:
        in_dim: inputs, a multiple of `out_dim`.
        out_dim: outputs.
        rank: of the block tensor train.
        blank: whether the cores are left as memory has them, for numbers that come later.

    Raises:
        RecipeError: `out_dim` does not divide `in_dim`, or the rank is not positive.

    Source:
        CT-Lite, equations (9)-(12); Qiu et al., "Compute Better Spent", ICML 2024.
    """

    def __init__(self, in_dim: int, out_dim: int, rank: int, *, blank: bool = False) -> None:
        super().__init__()
        if rank < 1 or out_dim < 1 or in_dim < 1 or in_dim % out_dim:
            raise RecipeError(
                f"no structured projection of rank {rank} goes from {in_dim} to {out_dim}",
                mend="choose a rank of 1 or more and an output that divides the input",
            )
        self.in_dim, self.out_dim, self.rank = in_dim, out_dim, rank
        blocks = in_dim // out_dim
        rows, columns = split_evenly(out_dim)
        if rank >= out_dim / (rows + columns):
            warnings.warn(
                f"rank {rank} saves no weights: below {out_dim / (rows + columns):.2f} it would",
                stacklevel=2,
            )
        self.left = nn.Parameter(torch.empty(blocks, columns, rows, rows, rank))
        self.right = nn.Parameter(torch.empty(blocks, rows, columns, rank, columns))
        if not blank:
            self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw both cores so that outputs have the variance of the inputs."""
        blocks, columns, rows, _, rank = self.left.shape
        self.left.normal_(std=(blocks * rows * rank) ** -0.5)
        self.right.normal_(std=columns**-0.5)

    def forward(self, x: Float[Tensor, "batch in_dim"]) -> Float[Tensor, "batch out_dim"]:
        """Project.

        Args:
            x: flattened tokens.

        Returns:
            Outputs in the precision of the cores.

        Source:
            (10).
        """
        with torch.autocast(x.device.type, enabled=False):
            contract = _Contraction.apply
            y: Tensor = contract(x.to(self.left.dtype), self.left, self.right)  # type: ignore[no-untyped-call]
        return y

    def extra_repr(self) -> str:
        """Describe the sizes for `print`."""
        return f"{self.in_dim}, {self.out_dim}, rank={self.rank}"

    @property
    def cores(
        self,
    ) -> tuple[
        Float[Tensor, "block rows rows columns rank"],
        Float[Tensor, "block rank columns rows columns"],
    ]:
        """Views of L[block, alpha, gamma, beta, sigma] and R[block, sigma, beta, gamma, delta]."""
        return self.left.permute(0, 2, 3, 1, 4), self.right.permute(0, 3, 2, 1, 4)

    @torch.no_grad()
    def load_cores(
        self,
        left: Float[Tensor, "block rows rows columns rank"],
        right: Float[Tensor, "block rank columns rows columns"],
    ) -> None:
        """Copy cores in.

        Args:
            left: L[block, alpha, gamma, beta, sigma].
            right: R[block, sigma, beta, gamma, delta].
        """
        for own, given in zip(self.cores, (left, right), strict=True):
            own.copy_(given)

    @torch.no_grad()
    def to_dense(self) -> Float[Tensor, "out_dim in_dim"]:
        """Write the layer out as one matrix; for tests and small sizes.

        Returns:
            Weight of the equal `nn.Linear`.
        """
        left, right = self.cores
        dense = torch.einsum("iagbs,isbgd->abigd", left, right)
        return dense.reshape(self.out_dim, self.in_dim)

    @classmethod
    @torch.no_grad()
    def from_dense(
        cls, weight: Float[Tensor, "out_dim in_dim"], rank: int, method: Method = "svd"
    ) -> "SFP":
        """Make the layer nearest to a dense one, in the Frobenius norm of the weights.

        Args:
            weight: of an `nn.Linear`; may be mapped from a file, it is read some blocks at a time.
            rank: of the block tensor train.
            method: `svd` of every slice is the nearest; `whole-block` is an ablation.

        Returns:
            The layer, in the precision of `weight`.

        Source:
            (13)-(14), by the exact per-slice SVD of docs/mathematics.md, SFP.
        """
        out_dim, in_dim = weight.shape
        layer = cls(in_dim, out_dim, rank, blank=True).to(dtype=weight.dtype)
        for _ in layer.approach(weight, method):
            pass
        return layer

    def approach(
        self, weight: Float[Tensor, "out_dim in_dim"], method: Method = "svd"
    ) -> Generator[int]:
        """Become the layer nearest to a dense one, as `from_dense` makes it.

        Args:
            weight: of an `nn.Linear` of the same sizes.
            method: as there.

        Yields:
            Blocks done so far.
        """
        left, right = (core.detach() for core in self.cores)
        for found in approximate(weight, self.rank, method):
            left[found.blocks] = found.left.to(left.dtype)
            right[found.blocks] = found.right.to(right.dtype)
            yield found.blocks.stop


class _Contraction(torch.autograd.Function):
    """Both contractions of (10), a few blocks at a time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, left: Tensor, right: Tensor) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(x, left, right)
        _, columns, rows, _, _ = left.shape
        y = x.new_zeros(columns, rows, len(x))
        for part in _parts(x, left):
            middle = _contract_right(x, right, part)
            y += (
                (left[part].flatten(0, 1).flatten(2) @ middle.flatten(0, 1))
                .view(-1, columns, rows, len(x))
                .sum(0)
            )
        return y.permute(2, 1, 0).reshape(len(x), rows * columns)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,  # noqa: ANN401
        grad: Tensor,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, left, right = ctx.saved_tensors
        _, columns, rows, _, rank = left.shape
        batch = len(x)
        grad_y = grad.view(batch, rows, columns).permute(2, 1, 0)
        needs_x, needs_left, needs_right = ctx.needs_input_grad
        grad_x = torch.empty_like(x) if needs_x else None
        grad_left = torch.empty_like(left) if needs_left else None
        grad_right = torch.empty_like(right) if needs_right else None
        for part in _parts(x, left):
            count = part.stop - part.start
            grad_y_part = grad_y.expand(count, -1, -1, -1).flatten(0, 1)
            if grad_left is not None:
                middle = _contract_right(x, right, part).flatten(0, 1)
                torch.bmm(
                    grad_y_part,
                    middle.transpose(1, 2),
                    out=grad_left[part].flatten(0, 1).flatten(2),
                )
            if grad_x is None and grad_right is None:
                continue
            grad_middle = left[part].flatten(0, 1).flatten(2).transpose(1, 2) @ grad_y_part
            # From (block beta, gamma sigma, batch) to (block gamma, beta sigma, batch).
            grad_middle = (
                grad_middle.view(count, columns, rows, rank, batch)
                .transpose(1, 2)
                .reshape(count * rows, columns * rank, batch)
            )
            if grad_right is not None:
                torch.bmm(
                    grad_middle,
                    _take(x, part, rows, columns).transpose(1, 2),
                    out=grad_right[part].flatten(0, 1).flatten(1, 2),
                )
            if grad_x is not None:
                cut = right[part].flatten(0, 1).flatten(1, 2)
                inputs = _take(grad_x, part, rows, columns).transpose(1, 2)
                inputs.copy_(grad_middle.transpose(1, 2) @ cut)
        return grad_x, grad_left, grad_right


def _parts(x: Tensor, left: Tensor) -> list[slice]:
    blocks, columns, rows, _, rank = left.shape
    numbers = MIDDLE_NUMBERS.get(x.device.type, MIDDLE_NUMBERS["cpu"])
    step = max(1, numbers // (columns * rows * rank * max(1, len(x))))
    return [slice(start, min(start + step, blocks)) for start in range(0, blocks, step)]


def _take(x: Tensor, part: slice, rows: int, columns: int) -> Tensor:
    # A view (block gamma, delta, batch) of the inputs of some blocks.
    size = rows * columns
    return x[:, part.start * size : part.stop * size].view(len(x), -1, columns).permute(1, 2, 0)


def _contract_right(x: Tensor, right: Tensor, part: slice) -> Tensor:
    # To (block, beta, gamma sigma, batch).
    _, rows, columns, rank, _ = right.shape
    middle = right[part].flatten(0, 1).flatten(1, 2) @ _take(x, part, rows, columns)
    return middle.view(-1, rows, columns, rank, len(x)).transpose(1, 2).flatten(2, 3)


def sfp_parameter_counts(in_dim: int, out_dim: int, rank: int) -> tuple[int, float]:
    """Count weights, which are also multiply-adds a vector.

    Args:
        in_dim: inputs.
        out_dim: outputs.
        rank: of the block tensor train.

    Returns:
        Exact count, and the ideal one of the paper, as if `out_dim` were a square.

    Source:
        (11).
    """
    return rank * in_dim * sum(split_evenly(out_dim)), 2 * rank * in_dim * math.sqrt(out_dim)


def sfp_lr_factor(out_dim: int, rank: int) -> float:
    """Tell how much faster than a dense layer the cores learn.

    Args:
        out_dim: outputs.
        rank: of the block tensor train.

    Returns:
        Factor on the learning rate of the cores alone; 85.3 for 512 and 6.

    Source:
        (19), with the paper's fan-in r * n.
    """
    return out_dim / rank


def sfp_core_lr_factors(in_dim: int, out_dim: int, rank: int) -> tuple[float, float]:
    """Tell the factors of the structure-aware rule, an option that the paper does not take.

    Args:
        in_dim: inputs.
        out_dim: outputs.
        rank: of the block tensor train.

    Returns:
        Factors for `left` and for `right`.

    Source:
        Qiu et al., 2024: dense fan-in / fan-in of the core / number of cores.
    """
    rows, columns = split_evenly(out_dim)
    return in_dim / (in_dim // out_dim * rows * rank) / 2, in_dim / columns / 2
