"""Averaging of weights: the result of a training is less noisy than its last step."""

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


class Average(nn.Module, Generic[M]):
    """A model whose weights are a moving average of another's, quick at first so that the start is soon forgotten."""

    updates: Tensor

    def __init__(self, model: M, decay: float) -> None:
        super().__init__()
        self.module, self.decay = copy.deepcopy(model), decay
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))
        self.weights: list[Tensor] = list(self.module.parameters())

    @torch.no_grad()
    def follow(self, current: list[Tensor]) -> None:
        """Go a step towards the current weights."""
        if not self.decay:
            return
        self.updates += 1
        updates = self.updates.item()
        torch._foreach_lerp_(self.weights, current, 1 - min(self.decay, (updates - 1) / (updates + 9)))

    @torch.no_grad()
    def finish(self, model: nn.Module) -> None:
        """What is no weight, as the statistics of BatchNorm, is that of the model; without a decay, everything is."""
        pairs = [*zip(self.module.buffers(), model.buffers(), strict=True)]
        pairs += [] if self.decay else zip(self.weights, model.parameters(), strict=True)
        for own, current in pairs:
            own.copy_(current)
