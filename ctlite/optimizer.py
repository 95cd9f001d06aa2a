"""AdamW over parameter groups, and the cosine schedule that all of them follow."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from ctlite.divided import is_divided, whole

BETAS = (0.9, 0.999)
UNDECAYED = ("temperature", "t_prime", "q_scale", "k_scale", "gamma", "beta")


def parameter_groups(
    named: Iterable[tuple[str, nn.Parameter]],
    *,
    lr: float,
    weight_decay: float,
    faster: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Sort trainable parameters into groups of one learning rate and decay.

    Args:
        named: parameters with their names; those without gradient are left out.
        lr: base learning rate.
        weight_decay: of matrices; norms, biases, scales, t', b and the temperature have none.
        faster: by how much parameters learn faster, by their name or that of their module: the
            cores of an SFP.

    Returns:
        Groups for `torch.optim`, none empty, in a fixed order, named `base` or by the last part of
        that name. AdamW's decay is lr times `weight_decay`, so that of a faster group grows by
        the same factor.

    Source:
        CT-Lite (19) for the factor.
    """
    factors = {} if faster is None else faster
    groups: dict[tuple[str, bool, bool], list[nn.Parameter]] = {}
    for name, parameter in named:
        if parameter.requires_grad:
            prefix = next((part for part in factors if f"{name}.".startswith(f"{part}.")), "")
            # The fused step takes no list in which some are divided among processes.
            key = prefix, _is_decayed(name, parameter), is_divided(parameter)
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "name": (prefix.rpartition(".")[2] or "base") + ("" if is_decayed else "-undecayed"),
            "params": groups[prefix, is_decayed, divided],
            "lr": lr * factors.get(prefix, 1.0),
            "weight_decay": weight_decay if is_decayed else 0.0,
        }
        for prefix, is_decayed, divided in sorted(groups)
    ]


def _is_decayed(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim > 1 and name.rsplit(".", 1)[-1] not in UNDECAYED


def build_optimizer(groups: list[dict[str, Any]]) -> torch.optim.AdamW:
    """Make the optimizer.

    Args:
        groups: from `parameter_groups`; each keeps its rate as `peak_lr` for the schedule.

    Returns:
        AdamW, fused where the device has it.
    """
    for group in groups:
        group["peak_lr"] = group["lr"]
    return torch.optim.AdamW(groups, betas=BETAS, fused=True)


def schedule_factor(step: int, *, steps: int, warmup_steps: int, eta_min_ratio: float) -> float:
    """Tell the learning rate of a step as a fraction of its peak.

    Args:
        step: counts from 0.
        steps: of the whole run.
        warmup_steps: linear rise from 1 / warmup_steps.
        eta_min_ratio: fraction at the end; the same for all groups, so that they keep their
            ratio.

    Returns:
        In (0, 1].

    Source:
        Cosine annealing (Loshchilov and Hutter 2017), equation 5.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - 1 - warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return eta_min_ratio + (1 - eta_min_ratio) * cosine


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group to a fraction of its peak.

    Args:
        optimizer: from `build_optimizer`.
        factor: from `schedule_factor`.
    """
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor


def clip_gradients(parameters: Iterable[nn.Parameter], limit: float) -> float:
    """Scale gradients down to a norm.

    Args:
        parameters: with their gradients.
        limit: greatest norm over all; 0 leaves them as they are.

    Returns:
        The norm before.
    """
    parts: dict[bool, list[Tensor]] = {False: [], True: []}
    for parameter in parameters:
        if parameter.grad is not None:
            parts[is_divided(parameter)].append(parameter)
    norms = [
        whole(get_total_norm([p.grad for p in part if p.grad is not None]))
        for part in parts.values()
        if part
    ]
    norm = norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms))
    for part in parts.values():
        clip_grads_with_norm_(part, limit or math.inf, norm)
    return float(norm)
