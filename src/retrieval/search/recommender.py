"""One model that answers: the best items of a row of left, without what was seen, and the items like an item."""

from pathlib import Path

from retrieval.dssm.newcomer import Constant, Watched, newcomer
from retrieval.matrices import Matrix, Model
from retrieval.ranking import CHUNK, score, top, transposed
from retrieval.search.catalogue import Catalogue
from retrieval.search.indexes import Index
from retrieval.search.space import Space

import numpy as np
import scipy.sparse as sp

DEEPEST = 1000  # items that an index is asked for, at most; who has seen more is served by exact search
Found = tuple[np.ndarray, np.ndarray]  # rows of items [n] int64, best first, and their scores [n] float32


class History:
    """A model whose left is the history itself (ItemKNN, EASE): a row of ones at what was watched."""

    def __init__(self, items: int) -> None:
        self._items = items

    def __call__(self, watched: Watched, demographics: dict[str, str]) -> sp.csr_matrix:
        items = np.sort(watched[0])
        return sp.csr_matrix((np.ones(len(items), np.float32), items, [0, len(items)]), shape=(1, self._items))


class Recommender:
    """`model` with what searches it: `nearest` is an index and the space that it lies in, None for exact search."""

    def __init__(self, path: Path, model: Model, catalogue: Catalogue, nearest: tuple[Space, Index] | None) -> None:
        self.model, self.nearest = model, nearest
        self._items = transposed(model.right, dense=not sp.issparse(model.left))
        self._is_history = model.kind == "history"
        self.row_of = History(len(model.items)) if self._is_history else newcomer(path, model)
        self._likeness = None if self._is_history else _likeness(model)

    @property
    def is_personal(self) -> bool:
        """Whether users are given different lists, beside what they have seen."""
        return not isinstance(self.row_of, Constant)

    @property
    def compares_items(self) -> bool:
        """Whether the model has vectors of items that can be compared."""
        return self._is_history or self._likeness is not None

    def best(self, left: Matrix, seen: np.ndarray, k: int) -> Found:
        """The k best items of one row of left [1, d], without the rows of items in `seen`; fewer where there are no
        more. Equal scores are in the order of the items."""
        if self.nearest is not None and len(seen) + k <= DEEPEST:
            space, index = self.nearest
            rows = index.search(space.query(left), len(seen) + k)[0]
            rows = np.setdiff1d(rows[rows >= 0], seen)
            if len(rows) >= k:
                places, scores = _first(self._scores(left, rows), k)
                return rows[places], scores
        scores = self._scores(left)
        scores[seen] = -np.inf
        return _first(scores, k)

    def similar(self, item: int, k: int) -> Found:
        """The k items most like the item in row `item`, itself left out.

        Of a model of item-item weights: the weights that go out from the item. Of all others: the cosine of the rows
        of right, without the columns that are no taste (biases and trends, which are one number for all users).
        """
        if self._is_history:
            one = sp.csr_matrix((np.ones(1, np.float32), [item], [0, 1]), shape=(1, len(self.model.items)))
            return self.best(one, np.array([item]), k)
        assert self._likeness is not None
        taste, norms = self._likeness
        right = self.model.right
        row = right[item]
        product = (right @ row.T).toarray()[:, 0] if sp.issparse(right) else right @ (row * taste)
        scores = np.asarray(product, np.float32) / (norms * norms[item])
        scores[item] = -np.inf
        return _first(scores, k)

    def _scores(self, left: Matrix, rows: np.ndarray | None = None) -> np.ndarray:
        items = self._items if rows is None else np.asarray(self.model.right)[rows].T
        out = np.empty((1, items.shape[1]), np.float32)
        score(left, items, out)
        return out[0]


def _first(scores: np.ndarray, k: int) -> Found:
    """Places and scores of the k highest of `scores` [n], without those that are -inf."""
    width = -(-max(len(scores), k) // CHUNK) * CHUNK
    padded = np.full((1, width), -np.inf, np.float32)
    padded[0, : len(scores)] = scores
    places, best = (values[0] for values in top(padded, k))
    there = ~np.isneginf(best)
    return places[there], best[there]


def _likeness(model: Model) -> tuple[np.ndarray, np.ndarray] | None:
    """Which columns of right are taste [d] and each row's length over them [items]; None where no column is."""
    left, right = model.left, model.right
    if not isinstance(right, np.ndarray):
        return np.ones(right.shape[1], np.float32), _no_zeros(np.sqrt(np.asarray(right.multiply(right).sum(1))[:, 0]))
    taste = np.ptp(right, axis=0) > 0
    if not sp.issparse(left):
        taste &= np.ptp(left, axis=0) > 0
    if not taste.any():
        return None
    return taste.astype(np.float32), _no_zeros(np.sqrt(np.square(right[:, taste]).sum(1)))


def _no_zeros(norms: np.ndarray) -> np.ndarray:
    return np.where(norms > 0, norms, 1).astype(np.float32)
