"""The two-tower model (DSSM): towers, score and biases, and the two matrices that come of them.

Huang et al. 2013, "Learning deep structured semantic models for web search using clickthrough data".
"""

from typing import Annotated, Self

from retrieval.dssm.batches import Batch, Batches
from retrieval.dssm.bodies import ARCHITECTURES
from retrieval.dssm.encoders import HISTORIES
from retrieval.dssm.scoring import SCORES
from retrieval.dssm.towers import ITEMS, ItemTower, Towers, UserTower, embedding
from retrieval.dssm.trend import Prior, Trend
from retrieval.histories import Features, Histories
from retrieval.params import Section, one_of
from retrieval.training.losses import LOSSES
from retrieval.training.negatives import AllItems, SampledItems

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn


class Options(Section):
    """The keys of params.yaml that say what the model is and what it is scored and trained by.

    history: auto is the bag where the last days are the test, the transformer for leave-last: what is watched next
    depends on what was watched last, what is watched within a week far less.
    """

    architecture: Annotated[str, one_of(ARCHITECTURES)]
    history: Annotated[str, one_of(["auto"], HISTORIES)]
    item: Annotated[str, one_of(ITEMS)]
    normalize: bool
    score: Annotated[str, one_of(["auto"], SCORES)]
    loss: Annotated[str, one_of(LOSSES)]
    towers: Towers
    trend: Trend

    @property
    def scored_by(self) -> str:
        """The score function: the loss's own for score=auto."""
        return LOSSES[self.loss].score if self.score == "auto" else self.score

    def settled(self, features: Features) -> Self:
        """These options with a history encoder for `auto`."""
        kind = "bag" if features.spec["split"] == "days" else "transformer"
        return self.model_copy(update={"history": kind if self.history == "auto" else self.history})

    @model_validator(mode="after")
    def _fits(self) -> "Options":
        loss, score = LOSSES[self.loss], self.scored_by
        if loss.margin and score != loss.score and not self.normalize:
            raise ValueError(
                f"loss={self.loss} with score={score} has no fixed scale for its margin: "
                f"expected score={loss.score}, or normalize=true"
            )
        if loss.margin and self.trend.enabled is True:
            raise ValueError(
                f"loss={self.loss} has a margin, and no trend is added to its scores: expected trend.enabled=auto"
            )
        if self.towers.width % self.towers.heads:
            raise ValueError(f"towers.width {self.towers.width} is no multiple of towers.heads {self.towers.heads}")
        return self


class DSSM(nn.Module):
    """score(user, item) = left . right, left [targets, e] made of the user and right [items, e] of the item.

    `model`: settled, with no history=auto.
    """

    mean: Tensor

    def __init__(self, features: Features, model: Options) -> None:
        super().__init__()
        options = model.towers
        self.count, self.length, self.tied = len(features.item_ids), options.length, options.tied
        self.item_tower = ItemTower(features.items, model.item, model.architecture, options)
        self.user_tower = UserTower(features.users, model.history, model.architecture, options)
        self.tokens = None if options.tied else embedding(len(features.item_ids), options.width)
        self.normalize, self.score = model.normalize, SCORES[model.scored_by]
        scaled = not LOSSES[model.loss].margin
        temperature = torch.tensor(float(np.log(options.temperature if scaled else 1.0)))
        self.log_temperature = nn.Parameter(temperature, requires_grad=scaled and options.learn_temperature)
        counts = torch.from_numpy(np.bincount(features.histories.item, minlength=len(features.item_ids)))
        popularity = ((counts + 1) / (counts + 1).sum()).log().float()
        self.prior = Prior(features, model.trend) if scaled and model.trend.applies(features) else None
        if self.prior is not None:
            self.trend = model.trend
            self.register_buffer("mean", torch.zeros(self.score(*torch.zeros(2, 1, options.width))[0].shape[1]))
        self.bias = nn.Parameter(popularity) if scaled and options.bias and self.prior is None else None

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.log_temperature.device

    def items(self, items: Tensor) -> Tensor:
        """Item vectors [n, width] of items [n]."""
        vectors = self.item_tower(items)
        return F.normalize(vectors, dim=1) if self.normalize else vectors

    def users(self, batch: Batch, table: Tensor) -> Tensor:
        """User vectors [targets, width]; `table` [items, width] holds the vectors of the items that tokens name."""
        vectors = self.user_tower(batch, table if self.tokens is None else self.tokens.weight)
        return F.normalize(vectors, dim=1) if self.normalize else vectors

    def forward(self, compared: AllItems | SampledItems) -> tuple[Tensor, Tensor]:
        """left [targets, e] and right [items, e] of a batch's targets and of the items that they are compared with."""
        vectors = self.items(compared.items)
        return self.columns(self.users(compared.batch, vectors), vectors, compared.items)

    def columns(self, users: Tensor, vectors: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """left [targets, e] and right [items, e] of user vectors and of the vectors of the given items."""
        left, right = self.score(users, vectors)
        left = left * torch.exp(-self.log_temperature)
        if self.bias is not None:
            left = torch.cat([left, torch.ones_like(left[:, :1])], 1)
            right = torch.cat([right, self.bias[items][:, None]], 1)
        return left, right

    @torch.no_grad()
    def vectors(self) -> Tensor:
        """The vectors [items, width] of all items."""
        self.eval()
        return self.items(torch.arange(self.count, device=self.device))

    @torch.no_grad()
    def matrices(self, histories: Histories) -> tuple[np.ndarray, np.ndarray]:
        """left [users, e], each user's after the whole history, and right [items, e]."""
        items = torch.arange(self.count, device=self.device)
        vectors = self.vectors()
        left, right = self.columns(vectors[:1], vectors, items)
        users, right = torch.empty(len(histories.indptr) - 1, left.shape[1]), right.cpu()
        for batch in Batches(histories, self.length).whole():
            rows = self.users(batch.to(self.device), vectors)
            users[batch.user] = self.columns(rows, vectors[:1], items[:1])[0].cpu()
        if self.prior is not None:
            self.mean.copy_(users.double().mean(0))
            users = self.trend.served(users, self.mean.cpu())
            users = torch.cat([users, torch.ones_like(users[:, :1])], 1)
            right = torch.cat([right, self.prior.serving()[:, None]], 1)
        return users.numpy(), right.numpy()
