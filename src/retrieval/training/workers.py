"""Training by several processes, as torchrun starts them: each works on its share of the rows of every batch.

All draw the same batches and the same negatives, so that the loss is that of one process but for dropout, and for the
statistics of BatchNorm, which are of a share of the batch.
"""

import os
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


class Workers:
    """The processes that train together, and which of them this one is; without torchrun it is alone."""

    def __init__(self) -> None:
        self.rank, self.count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        cuda = torch.cuda.is_available()
        self.device = torch.device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if cuda else "cpu")
        if cuda:
            torch.cuda.set_device(self.device)
        if self.count > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if cuda else "gloo")

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def together(self, model: nn.Module) -> nn.Module:
        """The model, whose gradients are the mean over the processes."""
        if self.count == 1:
            return model
        return DistributedDataParallel(model, broadcast_buffers=False, find_unused_parameters=True)

    def share(self, rows: int) -> Tensor | None:
        """Which of a batch's rows are this process's; None for all. Never none, for the others wait: `weight`."""
        if self.count == 1:
            return None
        return torch.arange(min(self.rank, rows - 1), rows, self.count)

    def weight(self, share: float, rows: int) -> float:
        """What this process's share counts: nothing where it was given a row only to have one."""
        return share if self.rank < rows else 0.0

    def total(self, value: float) -> float:
        """Sum over the processes."""
        return self._exchanged(value, dist.all_reduce)

    def agreed(self, value: float) -> float:
        """The value of the first process."""
        return self._exchanged(value, lambda tensor: dist.broadcast(tensor, 0))

    def agree(self, model: nn.Module) -> None:
        """Give all processes the first one's statistics of BatchNorm; the weights are equal already."""
        if self.count > 1:
            weights = dict(model.named_parameters())
            for name, tensor in model.state_dict().items():
                if name not in weights:
                    dist.broadcast(tensor, 0)

    def _exchanged(self, value: float, exchange: Callable[[Tensor], Any]) -> float:
        if self.count == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=self.device)
        exchange(tensor)
        return tensor.item()
