"""The score of a user and an item as an inner product, score(u, v) = left . right: the one way to the two matrices.

Training, export and new users all score by these columns: what a model is trained to score by, it is ranked by.
"""

from collections.abc import Callable
from typing import NamedTuple

from retrieval.dssm.sizes import Towers
from retrieval.dssm.trend import Trend
from retrieval.matrices import BITS, grid_step

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

WEIGHT_BITS = 12  # of a weight on its grid, see `matrices`
ROWS = 2**16  # of left at a time: whole, its copies would be the largest matrices of all


class Score(NamedTuple):
    """A score function as two sides: user vectors [..., d] to left [..., d + extra], item vectors to right."""

    left: Callable[[Tensor], Tensor]
    right: Callable[[Tensor], Tensor]
    extra: int = 0


def _same(vectors: Tensor) -> Tensor:
    return vectors


def _unit(vectors: Tensor) -> Tensor:
    return F.normalize(vectors, dim=-1)


def _euclid_left(users: Tensor) -> Tensor:
    return torch.cat([2 * users, torch.ones_like(users[..., :1]), -users.square().sum(-1, keepdim=True)], -1)


def _euclid_right(items: Tensor) -> Tensor:
    return torch.cat([items, -items.square().sum(-1, keepdim=True), torch.ones_like(items[..., :1])], -1)


SCORES: dict[str, Score] = {
    "dot": Score(_same, _same),  # u . v
    "cosine": Score(_unit, _unit),  # u . v / (|u| |v|)
    "euclid": Score(_euclid_left, _euclid_right, extra=2),  # -|u - v|^2 = [2u, 1, -|u|^2] . [v, -|v|^2, 1]
}


class Scorer(nn.Module):
    """From user and item vectors to columns whose inner product is the score: score, temperature, bias.

    `popularity` [items] is where the biases start.
    """

    def __init__(self, score: str, sizes: Towers, popularity: Tensor) -> None:
        super().__init__()
        self.score = SCORES[score]
        self.columns = sizes.width + self.score.extra  # besides the bias
        temperature = torch.tensor(float(np.log(sizes.temperature)))
        self.log_temperature = nn.Parameter(temperature, requires_grad=sizes.learn_temperature)
        self.bias = nn.Parameter(popularity) if sizes.bias else None

    def left(self, users: Tensor) -> Tensor:
        """left [n, e] of user vectors [n, width]."""
        left = self.score.left(users) * torch.exp(-self.log_temperature)
        return left if self.bias is None else torch.cat([left, torch.ones_like(left[:, :1])], 1)

    def right(self, vectors: Tensor, items: Tensor) -> Tensor:
        """right [n, e] of the vectors [n, width] of items [n]."""
        right = self.score.right(vectors)
        return right if self.bias is None else torch.cat([right, self.bias[items][:, None]], 1)

    @torch.no_grad()
    def raise_biases(self, by: np.ndarray) -> None:
        """Add `by` [items] to the biases, and leave them on a grid."""
        assert self.bias is not None
        self.bias.copy_(snap(self.bias + torch.from_numpy(by).to(self.bias), WEIGHT_BITS))


class Export(nn.Module):
    """From left as it is trained to left as it is ranked by: with a trend blended and with a 1 for the prior, and on a
    grid. `start` stores what that takes of all users: their mean, and the grid's step.

    trend: None without one. columns: of left before.
    """

    mean: Tensor
    step: Tensor

    def __init__(self, trend: Trend | None, columns: int) -> None:
        super().__init__()
        self.trend = trend
        self.register_buffer("step", torch.zeros((), dtype=torch.float64))
        if trend is not None:
            self.register_buffer("mean", torch.zeros(columns, dtype=torch.float64))

    def start(self, left: Tensor) -> Tensor:
        """Store what `forward` needs of left [users, e] of all users. Returns all rows as it makes them, float32."""
        parts = left.split(ROWS)
        if self.trend is not None:
            total = torch.stack([part.double().sum(0) for part in parts]).sum(0)
            self.mean.copy_(snap(total / len(left), BITS))
        self.step.fill_(grid_step(max(self._blend(part).abs().max().item() for part in parts)))
        ranked = torch.empty(len(left), left.shape[1] + (self.trend is not None), dtype=torch.float32)
        for rows, part in zip(ranked.split(ROWS), parts, strict=True):
            rows.copy_(self(part))
        return ranked

    def forward(self, left: Tensor) -> Tensor:
        """Rows of left [n, e] for ranking, on the grid; with a trend [n, e + 1]."""
        step = self.step.to(left.device)
        return torch.round(self._blend(left) / step) * step

    def _blend(self, left: Tensor) -> Tensor:
        if self.trend is None:
            return left
        return torch.cat([self.trend.blend(left, self.mean.to(left.device)), torch.ones_like(left[:, :1])], 1)


def snap(values: Tensor, bits: int) -> Tensor:
    """The values rounded to multiples of 2^-bits of the largest one: see `matrices`."""
    step = grid_step(values.abs().max().item() if values.numel() else 0.0, bits)
    return torch.round(values / step) * step
