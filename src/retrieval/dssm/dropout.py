"""Dropout that draws fast on a CPU: Srivastava et al. 2014, "Dropout: a simple way to prevent overfitting"."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 2**16  # of a random number: 16 bits per value, where torch draws 64 and takes five times as long


class Dropout(nn.Module):
    """In training, each value is 0 with probability p (rounded to a 65,536th), else multiplied by 1 / (1 - p).

    Like nn.Dropout it draws from torch's default generator, but it draws other numbers.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = min(round(p * LEVELS), LEVELS - 1) / LEVELS

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.p:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        mask = bits[: x.numel()].view(x.shape) >= round((self.p - 0.5) * LEVELS)
        return x * mask.to(x.dtype).mul_(1 / (1 - self.p))

    def extra_repr(self) -> str:
        return f"p={self.p}"
