"""The two towers: ids, features and histories in, vectors out, and the columns whose inner product is the score."""

from typing import Any

from retrieval.dssm.batches import Batch, ragged
from retrieval.dssm.bodies import ARCHITECTURES
from retrieval.dssm.encoders import HISTORIES
from retrieval.dssm.sizes import Towers

import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

ITEMS = ("features", "id", "both")


class Entries(nn.Module):
    """A sparse matrix [n, m] as a factor of a product: a row's entries are a bag of embeddings, never dense."""

    indptr: Tensor
    indices: Tensor
    data: Tensor

    def __init__(self, matrix: sp.csr_matrix, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("indptr", torch.from_numpy(matrix.indptr).long(), persistent=False)
        self.register_buffer("indices", torch.from_numpy(matrix.indices).long(), persistent=False)
        self.register_buffer("data", torch.from_numpy(matrix.data).to(dtype), persistent=False)

    def forward(self, table: Tensor, rows: Tensor | None = None) -> Tensor:
        """matrix[rows] @ table [m, width]; all rows for rows=None."""
        if rows is None:
            return _bags(table, self.indices, self.indptr[:-1], self.data)
        first = self.indptr[rows]
        size = self.indptr[rows + 1] - first
        row, rank = ragged(size)
        at = first[row] + rank
        return _bags(table, self.indices[at], size.cumsum(0) - size, self.data[at])


def _bags(table: Tensor, indices: Tensor, offsets: Tensor, data: Tensor) -> Tensor:
    return F.embedding_bag(indices, table, offsets, mode="sum", per_sample_weights=data)


class _Product(torch.autograd.Function):
    """matrix @ table, whose gradient is a product, too: an embedding bag's gradient sorts all entries at each step."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, matrix: Entries, transposed: Entries) -> Tensor:
        ctx.transposed = transposed
        return matrix(table)

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.transposed(gradient[0]), None, None


class Sparse(nn.Module):
    """A linear layer over sparse rows: matrix[rows] W + b. For one-hot columns it adds an embedding of each category.

    `whole`: all rows are asked for at every step, so the transposed matrix is made once.
    """

    def __init__(self, matrix: sp.csr_matrix, width: int, whole: bool = False) -> None:
        super().__init__()
        bound = max(1, matrix.shape[1]) ** -0.5  # as nn.Linear starts
        self.weight = nn.Parameter(torch.empty(matrix.shape[1], width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(width).uniform_(-bound, bound))
        self.whole = whole
        self.read(matrix)

    def read(self, matrix: sp.csr_matrix) -> None:
        """Take rows from this matrix from now on: another one with the same columns, as for new users."""
        dtype = self.weight.dtype
        self.matrix = Entries(matrix, dtype)
        self.transposed = Entries(matrix.T.tocsr(), dtype) if self.whole else None

    def forward(self, rows: Tensor | None) -> Tensor:
        """[n, width] of rows [n], or of all rows."""
        if rows is None:
            return _Product.apply(self.weight, self.matrix, self.transposed) + self.bias
        return self.matrix(self.weight, rows) + self.bias


class ItemTower(nn.Module):
    """vector = id embedding + last layer(body(first layer(features))), or one of the two alone."""

    def __init__(self, features: sp.csr_matrix, item: str, architecture: str, sizes: Towers) -> None:
        super().__init__()
        self.count, width = features.shape[0], sizes.width
        self.id_dropout = sizes.id_dropout if item == "both" else 0.0
        self.id = embedding(self.count, width) if item != "features" else None
        if item != "id":
            self.first, self.last = Sparse(features, width, whole=True), nn.Linear(width, width)
            self.body, _ = ARCHITECTURES[architecture](sizes)
        self.reads_features = item != "id"

    def forward(self, items: Tensor) -> Tensor:
        """Vectors [n, width] of items [n]."""
        every = len(items) == self.count and torch.equal(items, torch.arange(self.count, device=items.device))
        rows = None if every else items
        vector = self.last(self.body(self.first(rows))) if self.reads_features else torch.zeros(())
        if self.id is None:
            return vector
        own = self.id.weight if every else self.id(items)
        if self.training and self.id_dropout:
            own = own * (torch.rand(len(items), 1, device=items.device) >= self.id_dropout)
        return own + vector


class UserTower(nn.Module):
    """vector = last layer([body(first layer(features)), head(history)]), plus the history's state if it is a sequence.

    With history=bag it is the notebook's tower. A sequence encoder's state is a good user vector by itself: the last
    layer only adds what the features say.
    """

    def __init__(self, features: sp.csr_matrix, history: str, architecture: str, sizes: Towers) -> None:
        super().__init__()
        width = sizes.width
        self.history = HISTORIES[history](sizes)
        self.first = Sparse(features, width)
        self.body, self.head = ARCHITECTURES[architecture](sizes)
        self.last = nn.Linear(2 * width, width)
        self.residual = history != "bag"

    def forward(self, batch: Batch, table: Tensor) -> Tensor:
        """Vectors [targets, width] of each target's user, from the tokens before it; `table` [items, width] as in
        `encoders`."""
        state = self.history(table, batch)  # [targets, width]
        features = self.body(self.first(batch.user)).index_select(0, batch.row)  # [rows, width] to [targets, width]
        vector = self.last(torch.cat([features, self.head(state)], 1))
        return vector + state if self.residual else vector


def embedding(count: int, width: int) -> nn.Embedding:
    """A table of small random vectors, [count, width]."""
    embedding = nn.Embedding(count, width)
    nn.init.normal_(embedding.weight, std=0.02)
    return embedding
