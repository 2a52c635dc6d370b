"""The processes that torchrun starts: each works on a share of the rows, and has the results of all."""

import os

import numpy as np


class Processes:
    """How many processes there are, and this one's rank among them; without torchrun there is only one."""

    def __init__(self, backend: str = "gloo") -> None:
        self.rank, self.count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if self.count > 1:
            import torch.distributed as dist  # takes seconds to load, and one process does without

            if not dist.is_initialized():
                dist.init_process_group(backend)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def mine(self, rows: np.ndarray) -> np.ndarray:
        """This process's share of the rows, as a view."""
        return np.array_split(rows, self.count)[self.rank]

    def join(self, mine: np.ndarray, count: int) -> np.ndarray:
        """The `count` rows of all processes, in order; all of them must call this with the results of their share."""
        import torch
        import torch.distributed as dist

        joined = np.empty((count, *mine.shape[1:]), mine.dtype)
        self.mine(joined)[:] = mine
        for rank, share in enumerate(np.array_split(joined, self.count)):
            dist.broadcast(torch.from_numpy(share), rank)
        return joined
