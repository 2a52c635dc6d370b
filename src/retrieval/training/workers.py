"""Training by several processes, as torchrun starts them: each works on its share of the rows of every batch.

All draw the same batches and the same negatives, so the loss is that of one process, except for dropout and for the
statistics of BatchNorm, which are of a share of the batch.
"""

import os
from collections.abc import Callable
from typing import Any

from retrieval.torchrun import Processes

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


class Workers(Processes):
    """The processes that train together, and the device of this one."""

    def __init__(self) -> None:
        cuda = torch.cuda.is_available()
        self.device = torch.device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if cuda else "cpu")
        if cuda:
            torch.cuda.set_device(self.device)
        super().__init__("nccl" if cuda else "gloo")

    def together(self, model: nn.Module) -> nn.Module:
        """The model with gradients averaged over the processes."""
        if self.count == 1:
            return model
        return DistributedDataParallel(model, broadcast_buffers=False, find_unused_parameters=True)

    def share(self, rows: int) -> Tensor | None:
        """This process's rows of a batch, None for all. At least one, as the other processes wait: see `weight`."""
        if self.count == 1:
            return None
        return torch.arange(min(self.rank, rows - 1), rows, self.count)

    def weight(self, share: float, rows: int) -> float:
        """The weight of this process's share: 0 if its only row is there to keep it in step with the others."""
        return share if self.rank < rows else 0.0

    def total(self, value: float) -> float:
        """Sum over the processes."""
        return self._exchange(value, dist.all_reduce)

    def broadcast(self, value: float) -> float:
        """The first process's value."""
        return self._exchange(value, lambda tensor: dist.broadcast(tensor, 0))

    def synchronize(self, model: nn.Module) -> None:
        """Give all processes the first one's statistics of BatchNorm; the weights are already equal."""
        if self.count > 1:
            weights = dict(model.named_parameters())
            for name, tensor in model.state_dict().items():
                if name not in weights:
                    dist.broadcast(tensor, 0)

    def _exchange(self, value: float, exchange: Callable[[Tensor], Any]) -> float:
        if self.count == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=self.device)
        exchange(tensor)
        return tensor.item()
