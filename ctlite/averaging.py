"""A running average of the trained weights, which often scores better than the last of them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ctlite.divided import divide_again, divided_like


class WeightAverage:
    """Follows the weights of a stage, and stands in for them where a model is looked at.

    Args:
        module: whose trained parameters are followed; divided among processes already, if at all.
        decay: share of the average that a step leaves as it was, once the run is long enough;
            0 follows nothing.

    Source:
        Polyak averaging, with the weights of an exponential window: Tarvainen and Valpola 2017,
        equation 3 of section 2.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._module = module
        self._decay = decay
        self._trained = {
            name: parameter
            for name, parameter in module.named_parameters()
            if decay and parameter.requires_grad
        }
        self._means = {name: value.detach().clone() for name, value in self._trained.items()}

    @torch.no_grad()
    def update(self, steps: int) -> None:
        """Follow the weights after a step.

        The average of a run's first steps would be its random start; so it begins with a short
        memory, (1 + steps) / (10 + steps), which grows to that of the decay.

        Args:
            steps: done so far.
        """
        decay = min(self._decay, (1 + steps) / (10 + steps))
        for name, parameter in self._trained.items():
            self._means[name].lerp_(parameter.detach(), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the module have the averages until the end of the block."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        if self._trained:
            divide_again(self._module)
        for name, parameter in self._trained.items():
            own = parameter.detach().clone()
            parameter.copy_(self._means[name])
            self._means[name].copy_(own)

    def state_dict(self) -> dict[str, Tensor]:
        """Give the averages by the parameters' names."""
        return dict(self._means)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from the averages of a checkpoint.

        Args:
            state: whole tensors by the parameters' names.

        Raises:
            KeyError: a parameter has none.
        """
        for name, mean in self._means.items():
            mean.copy_(divided_like(state[name], mean))
