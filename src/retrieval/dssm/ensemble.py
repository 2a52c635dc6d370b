"""Models whose scores are averaged, and the two matrices that come of them.

Trainings that differ in their seed alone differ in what they get wrong: the mean of their scores is better than one of
them, and depends less on the seed. It is the inner product of their columns side by side. Source: Lakshminarayanan,
Pritzel and Blundell 2017, "Simple and scalable predictive uncertainty estimation using deep ensembles".
"""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from retrieval import matrices
from retrieval.dssm.batches import Batch, Batches
from retrieval.dssm.model import DSSM
from retrieval.dssm.scoring import Export, snap
from retrieval.histories import Histories

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

WEIGHTS, TOKENS = "towers.safetensors", "tokens.npy"  # in the folder of the model


class Ensemble(nn.Module):
    """score(user, item) = left . right, the mean of the members' scores. One member alone is its own mean.

    The members are trained with the same parameters on the same data.
    """

    def __init__(self, members: Sequence[DSSM]) -> None:
        super().__init__()
        first = members[0]
        self.members: Sequence[DSSM] = cast(Sequence[DSSM], nn.ModuleList(members))
        self.count, self.prior, columns = first.count, first.prior, len(members) * first.scorer.columns
        self.export = Export(None if first.prior is None else first.prior.options, columns).to(first.device)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.members[0].device

    def vectors(self) -> Tensor:
        """The vectors [items, members x width] of all items."""
        return torch.cat([member.vectors() for member in self.members], 1)

    def left(self, batch: Batch, table: Tensor) -> Tensor:
        """left [targets, e]; `table` [items, members x width] holds the vectors of the items that tokens name."""
        return mean([m.left(batch, part) for m, part in zip(self.members, self._parts(table), strict=True)])

    def right(self, vectors: Tensor) -> Tensor:
        """right [items, e] of all items, by their vectors."""
        return torch.cat([m.right(part) for m, part in zip(self.members, self._parts(vectors), strict=True)], 1)

    def _parts(self, vectors: Tensor) -> tuple[Tensor, ...]:
        return vectors.chunk(len(self.members), 1)

    @torch.no_grad()
    def raise_biases(self, by: np.ndarray) -> None:
        """Add `by` [items] to the items' biases."""
        for member in self.members:
            member.scorer.raise_biases(by)

    @torch.no_grad()
    def matrices(self, histories: Histories, users: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """left [users, e], each user's after the whole history, and right [items, e].

        users: rows of the features, ascending, that are the users of left; None for all.
        """
        vectors = snap(self.vectors(), matrices.BITS)
        right = self.right(vectors).cpu()
        asked = torch.arange(len(histories.indptr) - 1) if users is None else torch.from_numpy(users)
        left = torch.empty(len(asked), right.shape[1], dtype=right.dtype)
        for batch in Batches(histories, self.members[0].length).whole(asked):
            rows = self.left(batch.to(self.device), vectors).cpu()
            left[torch.searchsorted(asked, batch.user)] = rows
        ranked = self.export.start(left)
        if self.prior is not None:
            right = torch.cat([right, self.prior.serving()[:, None]], 1)
        return ranked.numpy(), matrices.snap(right.numpy())

    def save(self, out: Path) -> None:
        """Write into an open folder what `newcomer` reads: weights and item vectors, which float32 holds exactly."""
        weights = {
            name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in self.state_dict().items()
        }
        save_file(weights, out / WEIGHTS)
        np.save(out / TOKENS, matrices.snap(self.vectors().cpu().numpy()))


def mean(lefts: Sequence[Tensor]) -> Tensor:
    """left [n, members x e] of the mean score, of each member's left [n, e]."""
    return torch.cat([*lefts], 1) / len(lefts)
