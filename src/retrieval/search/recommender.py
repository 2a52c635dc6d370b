"""Recommendations from one model: the best items for a row of left, and the items similar to an item."""

from copy import copy
from dataclasses import replace
from pathlib import Path

from retrieval import matrices
from retrieval.errors import Problem
from retrieval.matrices import Matrix, Model
from retrieval.newcomers import newcomer
from retrieval.newitems import coefficients, rows_of
from retrieval.ranking import CHUNK, score, top, transposed
from retrieval.search.catalogue import Catalogue
from retrieval.search.indexes import Index, candidates
from retrieval.search.space import Space

import numpy as np
import scipy.sparse as sp

TopItems = tuple[np.ndarray, np.ndarray]  # rows of items [n] int64, best first, and their scores [n] float32


def load_model(path: Path, catalogue: Catalogue) -> Model:
    """Read a model folder. Raises `Problem` if its rows are not those of the catalogue's users and items of train."""
    model, items = matrices.load(path), catalogue.items[: catalogue.trained]
    for side, ids in (("users", catalogue.users), ("items", items)):
        if not np.array_equal(getattr(model, side), ids):
            raise Problem(f"{path}: its {side} are not those of the catalogue; run dvc repro")
    return replace(model, users=catalogue.users, items=items)  # one copy of the ids in memory


class Recommender:
    """`model` and how it is searched: `nearest` is a space and the index in it, None for exact search.

    `fold_in(watched, demographics)` gives the row of left [1, d] of a new user; None if the model has none for them.
    `right` [items, d] has the items of train, then the new ones of `with_items`; `has_new`: whether there can be any.
    """

    def __init__(self, path: Path, model: Model, nearest: tuple[Space, Index] | None) -> None:
        self.model, self.nearest = model, nearest
        self._is_history = model.kind == "history"
        self.fold_in = newcomer(path, model)
        self._coefficients = coefficients(path, model)
        self._use(model.right)

    @property
    def has_new(self) -> bool:
        """Whether the model can score items that are not in train."""
        return self._coefficients is not None

    def with_items(self, described: sp.csr_matrix) -> "Recommender":
        """This one with new items after those of train, by what is said of them, see `new_items`; itself if it cannot.

        Raises `Problem` if the model was trained on other features.
        """
        if self._coefficients is None:
            return self
        new = rows_of(self.model, self._coefficients, described)
        if not len(new):
            return self
        other = copy(self)
        other._use(np.vstack([self.model.right, new]))
        return other

    def _use(self, right: Matrix) -> None:
        self.right = right
        self._items = transposed(right, dense=not sp.issparse(self.model.left))
        self._similarity = None if self._is_history else _similarity(self.model.left, right)

    @property
    def is_personal(self) -> bool:
        """Whether scores depend on the user."""
        return self.model.kind != "constant"

    @property
    def compares_items(self) -> bool:
        """Whether `similar` works: the model has item-item weights or item vectors."""
        return self._is_history or self._similarity is not None

    def best(self, left: Matrix, seen: np.ndarray, k: int, allowed: np.ndarray | None = None) -> TopItems:
        """The k best items for one row of left [1, d], without the rows of items in `seen`; fewer if there are fewer.

        allowed: the rows that may be recommended, ascending, None for all; among them the search is always exact.
        Equal scores are in the order of the items.
        """
        count, trained = self.right.shape[0], len(self.model.items)
        seen = seen[seen < count]
        if allowed is not None:
            return self._exact(left, np.setdiff1d(allowed[allowed < count], seen), k)
        if self.nearest is not None:
            space, index = self.nearest
            found = candidates(index, space.query(left), seen, k)
            if found is not None:
                new = np.setdiff1d(np.arange(trained, count), seen)  # the index does not have them
                return self._exact(left, np.append(found, new), k)
        scores = self._scores(left)
        scores[seen] = -np.inf
        return _top(scores, k)

    def similar(self, item: int, k: int) -> TopItems:
        """The k items most like the item in row `item`, without the item itself.

        Item-item models rank by the weights from this item. Others rank by the cosine of the rows of right, without
        the columns of biases and trends, which say nothing about taste.
        """
        if self._is_history:
            one = sp.csr_matrix((np.ones(1, np.float32), [item], [0, 1]), shape=(1, len(self.model.items)))
            return self.best(one, np.array([item]), k)
        assert self._similarity is not None
        taste, norms = self._similarity
        right = self.right
        row = right[item]
        product = (right @ row.T).toarray()[:, 0] if sp.issparse(right) else right @ (row * taste)
        scores = np.asarray(product, np.float32) / (norms * norms[item])
        scores[item] = -np.inf
        return _top(scores, k)

    def _exact(self, left: Matrix, rows: np.ndarray, k: int) -> TopItems:
        """The k best of some rows of items, ascending."""
        positions, scores = _top(self._scores(left, rows), k)
        return rows[positions], scores

    def _scores(self, left: Matrix, rows: np.ndarray | None = None) -> np.ndarray:
        """The scores of all items, or of some rows."""
        if rows is not None and (sp.issparse(left) or sp.issparse(self._items)):  # rows of right may be very long
            return self._scores(left)[rows]
        items = self._items if rows is None else np.asarray(self.right)[rows].T
        out = np.empty((1, items.shape[1]), np.float32)
        score(left, items, out)
        return out[0]


def _top(scores: np.ndarray, k: int) -> TopItems:
    """Positions and values of the k highest of `scores` [n], leaving out -inf."""
    width = -(-max(len(scores), k) // CHUNK) * CHUNK
    padded = np.full((1, width), -np.inf, np.float32)
    padded[0, : len(scores)] = scores
    positions, best = (values[0] for values in top(padded, k))
    finite = ~np.isneginf(best)
    return positions[finite], best[finite]


def _similarity(left: Matrix, right: Matrix) -> tuple[np.ndarray, np.ndarray] | None:
    """What the cosine needs: 1 for columns of right about taste, else 0 [d], and the norms of the items over these
    columns [items]. None if no column is about taste: a column must vary over items and, if left is dense, users."""
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
