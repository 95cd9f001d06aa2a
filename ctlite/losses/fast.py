"""FAST: a student on compressed volumes learns to attend as its teacher does on clean ones."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from jaxtyping import Float
from torch import Tensor

from ctlite.losses.at_once import sum_at_once
from ctlite.losses.style import style_loss
from ctlite.models.attention import Attention
from ctlite.models.ct_encoder import CTViT, Walk
from ctlite.models.records import BlockRecord
from ctprep.store.errors import RecipeError

Term = Literal["style", "self", "cross", "features", "final"]
FAST_TERMS: frozenset[Term] = frozenset({"style", "self", "cross", "final"})
RATIO = {"style": 1.0, "dual": 1.0, "final": 4.0}


@dataclass(frozen=True)
class FastLosses:
    """Raw terms of one batch; a term that was not asked for is not there."""

    per_block: dict[Term, Float[Tensor, " block"]]
    """In order: spatial blocks, then temporal ones."""
    final: Float[Tensor, ""] | None
    end: Float[Tensor, ""]
    """Mean square between final tokens before the codebook, whatever the terms; no gradient."""

    def terms(self) -> dict[str, Tensor]:
        """Sum over blocks, and self with cross.

        Returns:
            Any of `style`, `dual`, `features`, `final`, unweighted.

        Source:
            CT-Lite (2)-(4).
        """
        sums: dict[str, Tensor] = {}
        for term, values in self.per_block.items():
            name = "dual" if term in ("self", "cross") else term
            sums[name] = sums[name] + values.sum() if name in sums else values.sum()
        if self.final is not None:
            sums["final"] = self.final
        return sums


def fast_losses(
    teacher: CTViT,
    student: CTViT,
    clean: Float[Tensor, "batch 1 frame height width"],
    compressed: Float[Tensor, "batch 1 frame height width"],
    *,
    terms: Collection[Term] = FAST_TERMS,
    final_after_codebook: bool = False,
) -> FastLosses:
    """Run both networks side by side, and drop the teacher's maps block by block.

    Args:
        teacher: in evaluation mode; gets no gradient.
        student: of the same architecture.
        clean: the teacher's volumes, in [-1, 1].
        compressed: the student's, of the same scans.
        terms: which to compute; `features`, the stream after each block, is not part of FAST.
        final_after_codebook: whether `final` compares tokens after the codebook.

    Returns:
        Raw terms.

    Source:
        CT-Lite (1)-(4), readings F1 to F10 of docs/mathematics.md.
    """
    asked: list[Term] = [term for term in get_args(Term) if term in terms and term != "final"]
    maps = "style" in terms
    teacher_walk, student_walk = (
        Walk(teacher, clean, maps=maps),
        Walk(student, compressed, maps=maps),
    )
    teacher_records = iter(teacher_walk)
    layers = [layer for tower in teacher.towers for layer in tower.layers]
    values: dict[Term, list[Tensor]] = {term: [] for term in asked}
    for layer, student_record in zip(layers, student_walk, strict=True):
        # Around `next` alone: the student's block runs in the same loop, and needs its gradient.
        with torch.no_grad():
            teacher_record = next(teacher_records)
        attention = layer.get_submodule("1")
        for term in asked:
            value = block_loss(term, student_record, teacher_record, attention)  # type: ignore[arg-type]
            values[term].append(value)
    with torch.no_grad():
        next(teacher_records, None)
        end = _mse(student_walk.tokens, teacher_walk.tokens)
    final = None
    if "final" in terms:
        final = _final_loss(teacher, student, teacher_walk, student_walk, final_after_codebook)
    per_block = {term: torch.stack(numbers) for term, numbers in values.items()}
    return FastLosses(per_block, final, end)


def block_loss(
    term: Term, student: BlockRecord, teacher: BlockRecord, teacher_attention: Attention
) -> Float[Tensor, ""]:
    """Compute one term of one block.

    Args:
        term: any but `final`.
        student: its record, with a map for `style`.
        teacher: likewise.
        teacher_attention: the teacher's layer, for `cross`.

    Returns:
        Mean square over all elements.

    Raises:
        RecipeError: `style` without maps.

    Source:
        CT-Lite (2)-(3).
    """
    if term == "style":
        if student.attn_map is None or teacher.attn_map is None:
            raise RecipeError("records hold no attention maps", mend="walk with maps=True")
        return style_loss(student.attn_map, teacher.attn_map)
    if term == "cross":

        def crossed(query: Tensor) -> Tensor:
            asking = replace(student, query=query)
            return _mse(cross_attention(asking, teacher, teacher_attention), teacher.attn_out)

        # Backward would need the teacher's keys and values, and all between them and the loss.
        return sum_at_once([crossed], student.query)
    own, other = (
        (student.attn_out, teacher.attn_out) if term == "self" else (student.out, teacher.out)
    )
    return sum_at_once([lambda x: _mse(x, other)], own)


def cross_attention(
    student: BlockRecord, teacher: BlockRecord, teacher_attention: Attention
) -> Float[Tensor, "group token feature"]:
    """Ask the student's queries in the teacher's attention layer.

    Args:
        student: gives queries.
        teacher: gives keys, values and bias.
        teacher_attention: gives the output projection, whose weights get no gradient.

    Returns:
        C; equal to the teacher's own output when the queries are.

    Source:
        CT-Lite (3), reading F7 of docs/mathematics.md.
    """
    bias = None if teacher.bias is None else teacher.bias.detach()
    return teacher_attention.attend(
        student.query, teacher.key.detach(), teacher.value.detach(), bias, frozen=True
    )


def calibrate_weights(
    observed: Collection[dict[str, Tensor]], ratio: dict[str, float] | None = None
) -> dict[str, float]:
    """Choose weights so that the weighted terms stand at a ratio; the final term weighs 1.

    Args:
        observed: raw terms of some batches, from an untrained student.
        ratio: wanted between weighted terms; 1 : 1 : 4 for style, dual and final if None.

    Returns:
        A weight a term; fix them for the whole run.

    Source:
        CT-Lite (5), readings F11 and F12 of docs/mathematics.md.
    """
    ratio = RATIO if ratio is None else ratio
    names = list(next(iter(observed)))
    means = {
        name: sum(float(terms[name].detach()) for terms in observed) / len(observed)
        for name in names
    }
    anchor = "final" if "final" in means else names[0]
    unit = means[anchor] / ratio.get(anchor, 1.0)
    # A term that is zero already needs no weight, and has none that would fit.
    return {
        name: unit * ratio.get(name, 1.0) / mean if mean > 0 else 1.0
        for name, mean in means.items()
    }


def _final_loss(
    teacher: CTViT, student: CTViT, teacher_walk: Walk, student_walk: Walk, after: bool
) -> Tensor:
    if not after:
        return _mse(student_walk.tokens, teacher_walk.tokens)
    with torch.no_grad():
        target = teacher.quantize(teacher_walk.tokens)[0]
    return _mse(student.quantize(student_walk.tokens)[0], target)


def _mse(student: Tensor, teacher: Tensor) -> Tensor:
    return F.mse_loss(student, teacher.detach().to(student.dtype))
