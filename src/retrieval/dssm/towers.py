"""The two towers: ids, features and histories in, vectors out, and the columns whose inner product is the score."""

from typing import Annotated, Any

from retrieval.dssm.batches import Batch, ragged
from retrieval.dssm.bodies import ARCHITECTURES
from retrieval.dssm.encoders import HISTORIES
from retrieval.params import Positive, Section

import scipy.sparse as sp
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

ITEMS = ("features", "id", "both")


class Towers(Section):
    """Sizes of the towers.

    width: of the vectors and of every layer. dropout: of the bodies and the history encoders. id_dropout: how often an
    item's id is left out in training, so that an item that is new gets a vector from its features. length: items of a
    history that are read, the last ones. layers, heads: of a sequence encoder. half_life: in items, of what a bag
    remembers; 0 for a plain mean. tied: the history is read in the item tower's own vectors, else in vectors of its
    own. bias: items have one. temperature: scores are divided by it; learned from there on if `learn_temperature`.
    """

    width: Annotated[int, Field(ge=2, multiple_of=2)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    id_dropout: Annotated[float, Field(ge=0, lt=1)]
    length: Positive
    layers: Positive
    heads: Positive
    half_life: Annotated[float, Field(ge=0)]
    tied: bool
    bias: bool
    temperature: Annotated[float, Field(gt=0)]
    learn_temperature: bool


class Entries(nn.Module):
    """A sparse matrix [n, m] to multiply with; a row's entries are a bag of embeddings, never dense."""

    indptr: Tensor
    indices: Tensor
    data: Tensor

    def __init__(self, matrix: sp.csr_matrix) -> None:
        super().__init__()
        self.register_buffer("indptr", torch.from_numpy(matrix.indptr).long(), persistent=False)
        self.register_buffer("indices", torch.from_numpy(matrix.indices).long(), persistent=False)
        self.register_buffer("data", torch.from_numpy(matrix.data).float(), persistent=False)

    def forward(self, table: Tensor, rows: Tensor | None = None) -> Tensor:
        """matrix[rows] @ table [m, width], all rows of it where none are named."""
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
    """matrix @ table. The gradient is a product, too: that of a bag of embeddings sorts all entries at each step."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, matrix: Entries, transposed: Entries) -> Tensor:
        ctx.transposed = transposed
        return matrix(table)

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.transposed(gradient[0]), None, None


class Sparse(nn.Module):
    """A linear layer over sparse rows: matrix[rows] W + b. For one-hot columns it adds an embedding of each category.

    `whole`: it will be asked for all rows again and again, and keeps what it can use each time.
    """

    def __init__(self, matrix: sp.csr_matrix, width: int, whole: bool = False) -> None:
        super().__init__()
        bound = max(1, matrix.shape[1]) ** -0.5  # as nn.Linear starts
        self.weight = nn.Parameter(torch.empty(matrix.shape[1], width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(width).uniform_(-bound, bound))
        self.whole = whole
        self.read(matrix)

    def read(self, matrix: sp.csr_matrix) -> None:
        """Rows are rows of this matrix from now on: another one with the same columns, as for users who are new."""
        self.matrix = Entries(matrix)
        self.transposed = Entries(matrix.T.tocsr()) if self.whole else None

    def forward(self, rows: Tensor | None) -> Tensor:
        """[n, width] of rows [n], or of all rows."""
        if rows is None:
            return _Product.apply(self.weight, self.matrix, self.transposed) + self.bias
        return self.matrix(self.weight, rows) + self.bias


class ItemTower(nn.Module):
    """vector = id embedding + last layer(body(first layer(features))), or the one or the other alone."""

    def __init__(self, features: sp.csr_matrix, item: str, architecture: str, options: Towers) -> None:
        super().__init__()
        self.count, width = features.shape[0], options.width
        self.id_dropout = options.id_dropout if item == "both" else 0.0
        self.id = embedding(self.count, width) if item != "features" else None
        if item != "id":
            self.first, self.last = Sparse(features, width, whole=True), nn.Linear(width, width)
            self.body, _ = ARCHITECTURES[architecture](width, options.dropout)
        self.reads_features = item != "id"

    def forward(self, items: Tensor) -> Tensor:
        """Vectors [n, width] of items [n]."""
        every = len(items) == self.count and torch.equal(items, torch.arange(self.count, device=items.device))
        rows = None if every else items
        vector = self.last(self.body(self.first(rows))) if self.reads_features else torch.zeros(())
        if self.id is None:
            return vector
        known = self.id.weight if every else self.id(items)
        if self.training and self.id_dropout:
            known = known * (torch.rand(len(items), 1, device=items.device) >= self.id_dropout)
        return known + vector


class UserTower(nn.Module):
    """vector = last layer([body(first layer(features)), head(history)]), plus the history where it is a sequence.

    The notebook's tower with history=bag. A sequence encoder's state is a good user vector by itself: the last layer
    has only to add what the features say.
    """

    def __init__(self, features: sp.csr_matrix, history: str, architecture: str, options: Towers) -> None:
        super().__init__()
        width = options.width
        self.history = HISTORIES[history](
            width, options.length, options.layers, options.heads, options.dropout, options.half_life
        )
        self.first = Sparse(features, width)
        self.body, self.head = ARCHITECTURES[architecture](width, options.dropout)
        self.last = nn.Linear(2 * width, width)
        self.residual = history != "bag"

    def forward(self, batch: Batch, table: Tensor) -> Tensor:
        """Vectors [targets, width] of the users of each target, from the tokens before it, which read `table`."""
        state = self.history(table, batch)
        features = self.body(self.first(batch.user)).index_select(0, batch.row)
        vector = self.last(torch.cat([features, self.head(state)], 1))
        return vector + state if self.residual else vector


def embedding(count: int, width: int) -> nn.Embedding:
    """A table of small random vectors, [count, width]."""
    embedding = nn.Embedding(count, width)
    nn.init.normal_(embedding.weight, std=0.02)
    return embedding
