"""Recommendations from one model: the best items for a row of left, and the items similar to an item."""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from retrieval import matrices
from retrieval.errors import Problem
from retrieval.histories import Watched
from retrieval.matrices import Matrix, Model
from retrieval.newcomers import newcomer
from retrieval.newitems import coefficients, rows_of
from retrieval.ranking import SCORES, add, blank, score, top, transposed, widened
from retrieval.repeats import Repeats
from retrieval.search.catalogue import Catalogue
from retrieval.search.indexes import Index, candidates
from retrieval.search.space import Space

import numpy as np
import scipy.sparse as sp

Own: TypeAlias = sp.csr_matrix | None  # [n, items], what is added to the scores of n users
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

    `fold_in(watched, demographics)` gives the row of left [1, d] of a new user; None if the model has none for them, or
    if the package `missing` is not installed, as torch in the image of the service.
    `right` [items, d] has the items of train, then the new ones of `with_items`; `has_new`: whether there can be any.
    """

    def __init__(self, path: Path, model: Model, nearest: tuple[Space, Index] | None) -> None:
        self.model, self.nearest = model, nearest
        self._is_history = model.kind == "history"
        self.fold_in, self.missing = None, ""
        try:
            self.fold_in = newcomer(path, model)
        except ModuleNotFoundError as error:
            self.missing = str(error.name)
        self._coefficients = coefficients(path, model)
        self.repeats = Repeats(**model.card["repeats"]) if "repeats" in model.card else None
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

    def own(self, users: Sequence[int]) -> Own:
        """What the users' own items score more, of the users in these rows; None if the model has no such term."""
        return None if self.model.own is None else self.model.own[users]

    def own_of(self, watched: Watched) -> Own:
        """`own` of a user with this history, [1, items]."""
        return None if self.repeats is None else self.repeats.of(watched, len(self.model.items))

    def best(
        self, left: Matrix, seen: np.ndarray, k: int, allowed: np.ndarray | None = None, own: Own = None
    ) -> TopItems:
        """`best_of` one row of left [1, d]."""
        return self.best_of(left, [seen], k, allowed, own)[0]

    def best_of(
        self, left: Matrix, seen: Sequence[np.ndarray], k: int, allowed: np.ndarray | None = None, own: Own = None
    ) -> list[TopItems]:
        """The k best items, or fewer if there are fewer, for each row of left [n, d], without the items in its `seen`.

        allowed: the rows that may be recommended, ascending, None for all; among them the search is always exact, by
        one product per block of rows. own [n, items] is added to the scores. Equal scores are in the order of the
        items.
        """
        count = self.right.shape[0]
        seen = [each[each < count] for each in seen]
        own = None if own is None else widened(own, count)
        if allowed is None and self.nearest is not None:
            return [self._near(self.nearest, left[[row]], each, k, _part(own, row)) for row, each in enumerate(seen)]
        rows, size = None if allowed is None else allowed[allowed < count], max(1, SCORES // count)
        blocks = (slice(start, start + size) for start in range(0, len(seen), size))
        return [each for block in blocks for each in self._exact(left[block], seen[block], k, _part(own, block), rows)]

    def _near(self, nearest: tuple[Space, Index], left: Matrix, seen: np.ndarray, k: int, own: Own) -> TopItems:
        """The k best of what the index finds, of the user's own items, which it ranks too low, and of the new items,
        which it does not have."""
        space, index = nearest
        found = candidates(index, space.query(left), seen, k)
        if found is None:
            return self._exact(left, [seen], k, own)[0]
        new = np.arange(len(self.model.items), self.right.shape[0])
        found = found if own is None else np.union1d(found, own.indices)
        return self._exact(left, [seen], k, own, np.append(found, new))[0]

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
        return _top(scores[None], k)[0]

    def _exact(
        self, left: Matrix, seen: Sequence[np.ndarray], k: int, own: Own, rows: np.ndarray | None = None
    ) -> list[TopItems]:
        """`best_of` by one product with all items, or with the rows of some, ascending."""
        scores = self._scores(left, rows)
        if own is not None:
            add(scores, own if rows is None else own[:, rows])
        for line, each in zip(scores, seen, strict=True):
            line[each if rows is None else np.flatnonzero(np.isin(rows, each))] = -np.inf
        found = _top(scores, k)
        return found if rows is None else [(rows[positions], values) for positions, values in found]

    def _scores(self, left: Matrix, rows: np.ndarray | None = None) -> np.ndarray:
        """The scores [n, items] of all items, or of some rows."""
        if rows is not None and (sp.issparse(left) or sp.issparse(self._items)):  # rows of right may be very long
            return self._scores(left)[:, rows]
        items = self._items if rows is None else np.asarray(self.right)[rows].T
        out = np.empty((left.shape[0], items.shape[1]), np.float32)
        score(left, items, out)
        return out


def _part(own: Own, rows: int | slice) -> Own:
    return None if own is None else own[rows]


def _top(scores: np.ndarray, k: int) -> list[TopItems]:
    """Positions and values of the k highest of each row of `scores` [n, items], leaving out -inf."""
    rows, count = scores.shape
    padded = blank(rows, count, k)
    padded[:, :count] = scores
    positions, best = top(padded, k)
    finite = ~np.isneginf(best)
    return [(positions[row, finite[row]], best[row, finite[row]]) for row in range(rows)]


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
