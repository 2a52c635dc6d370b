"""The two-tower model (DSSM): towers and scorer.

Huang et al. 2013, "Learning deep structured semantic models for web search using clickthrough data".
"""

from typing import Annotated

from retrieval.dssm.batches import Batch
from retrieval.dssm.bodies import ARCHITECTURES
from retrieval.dssm.encoders import HISTORIES
from retrieval.dssm.scoring import SCORES, WEIGHT_BITS, Scorer, snap
from retrieval.dssm.sizes import Towers
from retrieval.dssm.towers import ITEMS, ItemTower, UserTower, embedding
from retrieval.dssm.trend import Prior, Trend
from retrieval.histories import Features
from retrieval.params import Section, one_of

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Options(Section):
    """The keys of params.yaml that say what the model is. `training.resolve` puts a value where they say `auto`."""

    architecture: Annotated[str, one_of(ARCHITECTURES)]
    history: Annotated[str, one_of(["auto"], HISTORIES)]
    item: Annotated[str, one_of(ITEMS)]
    normalize: bool
    score: Annotated[str, one_of(["auto"], SCORES)]
    towers: Towers
    trend: Trend


class DSSM(nn.Module):
    """score(user, item) = left . right, left [targets, e] made of the user and right [items, e] of the item.

    `options` are resolved: none of them is `auto`.
    """

    def __init__(self, features: Features, options: Options) -> None:
        super().__init__()
        sizes, trend = options.towers, options.trend if options.trend.enabled else None
        self.count, self.length, self.tied = len(features.item_ids), sizes.length, sizes.tied
        self.normalize = options.normalize
        counts = torch.from_numpy(features.counts)
        popularity = ((counts + 1) / (counts + 1).sum(dtype=torch.float64)).log().to(torch.get_default_dtype())
        self.scorer = Scorer(options.score, sizes, popularity)
        self.item_tower = ItemTower(features.items, options.item, options.architecture, sizes)
        self.user_tower = UserTower(features.users, options.history, options.architecture, sizes)
        self.tokens = None if sizes.tied else embedding(self.count, sizes.width)
        self.prior = None if trend is None else Prior(features, trend)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.scorer.log_temperature.device

    def items(self, items: Tensor) -> Tensor:
        """Item vectors [n, width] of items [n]."""
        return unit(self.item_tower(items), self.normalize)

    def users(self, batch: Batch, table: Tensor) -> Tensor:
        """User vectors [targets, width]; `table` [items, width] holds the vectors of the items that tokens name."""
        return unit(self.user_tower(batch, table if self.tokens is None else self.tokens.weight), self.normalize)

    def forward(self, batch: Batch, items: Tensor) -> tuple[Tensor, Tensor]:
        """left [targets, e] of a batch's targets and right [n, e] of items [n], among them those that tokens name."""
        vectors = self.items(items)
        return self.left(batch, vectors), self.scorer.right(vectors, items)

    def left(self, batch: Batch, table: Tensor) -> Tensor:
        """left [targets, e]; `table` as in `users`."""
        return self.scorer.left(self.users(batch, table))

    def right(self, vectors: Tensor) -> Tensor:
        """right [items, e] of all items, by their vectors."""
        return self.scorer.right(vectors, torch.arange(self.count, device=self.device))

    @torch.no_grad()
    def vectors(self) -> Tensor:
        """The vectors [items, width] of all items."""
        self.eval()
        return self.items(torch.arange(self.count, device=self.device))

    @torch.no_grad()
    def largest_weight(self) -> float:
        """The size of the largest weight; NaN if one is."""
        return torch.stack([weight.abs().max() for weight in self.parameters() if weight.numel()]).max().item()

    @torch.no_grad()
    def snap(self) -> None:
        """Round all weights to their grid, so that trainings that differ only in the last bits give the same model."""
        for tensor in (*self.parameters(), *self.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(snap(tensor, WEIGHT_BITS))


def unit(vectors: Tensor, normalize: bool) -> Tensor:
    """The vectors [n, width], of length 1 if `normalize`."""
    return F.normalize(vectors, dim=1) if normalize else vectors
