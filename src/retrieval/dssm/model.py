"""The two-tower model (DSSM): towers and scorer, and the two matrices that come of them.

Huang et al. 2013, "Learning deep structured semantic models for web search using clickthrough data".
"""

from pathlib import Path
from typing import Annotated

from retrieval import matrices
from retrieval.dssm.batches import Batch, Batches
from retrieval.dssm.bodies import ARCHITECTURES
from retrieval.dssm.encoders import HISTORIES
from retrieval.dssm.scoring import SCORES, WEIGHT_BITS, Scorer, snap
from retrieval.dssm.sizes import Towers
from retrieval.dssm.towers import ITEMS, ItemTower, UserTower, embedding
from retrieval.dssm.trend import Prior, Trend
from retrieval.histories import Features, Histories
from retrieval.params import Section, one_of

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

WEIGHTS = "towers.safetensors"


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
        self.scorer = Scorer(options.score, sizes, trend, popularity)
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
        return self.scorer.left(self.users(batch, vectors)), self.scorer.right(vectors, items)

    @torch.no_grad()
    def vectors(self) -> Tensor:
        """The vectors [items, width] of all items."""
        self.eval()
        return self.items(torch.arange(self.count, device=self.device))

    @torch.no_grad()
    def matrices(self, histories: Histories, users: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """left [users, e], each user's after the whole history, and right [items, e].

        users: rows of the features, ascending, that are the users of left; None for all.
        """
        vectors = snap(self.vectors(), matrices.BITS)
        right = self.scorer.right(vectors, torch.arange(self.count, device=self.device)).cpu()
        asked = torch.arange(len(histories.indptr) - 1) if users is None else torch.from_numpy(users)
        left = torch.empty(len(asked), right.shape[1], dtype=right.dtype)
        for batch in Batches(histories, self.length).whole(asked):
            rows = self.scorer.left(self.users(batch.to(self.device), vectors)).cpu()
            left[torch.searchsorted(asked, batch.user)] = rows
        ranked = self.scorer.finish(left)
        if self.prior is not None:
            right = torch.cat([right, self.prior.serving()[:, None]], 1)
        return ranked.numpy(), matrices.snap(right.numpy())

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

    def save(self, out: Path) -> None:
        """Write into an open folder what `newcomer` reads: weights and item vectors, which float32 holds exactly."""
        weights = {
            name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in self.state_dict().items()
        }
        save_file(weights, out / WEIGHTS)
        np.save(out / "tokens.npy", matrices.snap(self.vectors().cpu().numpy()))


def unit(vectors: Tensor, normalize: bool) -> Tensor:
    """The vectors [n, width], of length 1 if `normalize`."""
    return F.normalize(vectors, dim=1) if normalize else vectors
