"""Recommendation lists, and which of their items are relevant: what every metric is computed from."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp


@dataclass(frozen=True)
class TrainItems:
    """The items as they are in train: how popular they are, and their categories.

    seen [users, items] CSR: who watched what in train; categories [items, categories] CSR: non-zero if an item has a
    category, such as a genre; head: the share of the items, the most watched ones, that are not long tail.
    """

    seen: sp.csr_matrix
    categories: sp.csr_matrix
    head: float

    @cached_property
    def watchers(self) -> np.ndarray:
        """[items] int64, how many users watched each item in train."""
        return np.bincount(self.seen.indices, minlength=self.seen.shape[1])

    @cached_property
    def users(self) -> int:
        """Number of users who watched anything in train."""
        return int(np.count_nonzero(np.diff(self.seen.indptr)))

    @cached_property
    def tail(self) -> np.ndarray:
        """[items] bool, whether each item is long tail: all but the most watched ones."""
        tail = np.ones(len(self.watchers), dtype=bool)
        tail[np.argsort(-self.watchers, kind="stable")[: round(self.head * len(tail))]] = False
        return tail


@dataclass(frozen=True)
class Lists:
    """Recommendation lists and which of their items are relevant: the user did watch them.

    items [users, k] int32, best first, -1 after the end of a shorter list; hits [users, k] bool: the item is relevant;
    relevant [users] int64: number of relevant items of each user, at least 1; history [users, items] CSR: what the same
    users watched in train.
    """

    items: np.ndarray
    hits: np.ndarray
    relevant: np.ndarray
    train_items: TrainItems
    history: sp.csr_matrix

    @property
    def k(self) -> int:
        """Maximum length of the lists."""
        return self.items.shape[1]

    @property
    def filled(self) -> np.ndarray:
        """[users, k] bool, false after the end of a list."""
        return self.items >= 0

    def first(self, k: int) -> "Lists":
        """The same lists, cut to k items."""
        return Lists(self.items[:, :k], self.hits[:, :k], self.relevant, self.train_items, self.history)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """[users], the mean of `values` [items] over the items of each list; 0 for an empty list."""
        total = np.where(self.filled, values[self.items], 0).sum(axis=1)
        return total / np.maximum(self.filled.sum(axis=1), 1)

    @cached_property
    def matrix(self) -> sp.csr_matrix:
        """Which items are in which list, [users, items] float32 of ones."""
        length = self.filled.sum(axis=1)
        ones, indptr = np.ones(length.sum(), dtype=np.float32), np.append(0, np.cumsum(length))
        return sp.csr_matrix((ones, self.items[self.filled], indptr), shape=self.history.shape)


def judge(
    items: np.ndarray, truth: sp.csr_matrix, train_items: TrainItems, history: sp.csr_matrix | None = None
) -> Lists:
    """Compare the lists `items` [users, k] with `truth` [users, items] CSR, what the same users did watch.

    history [users, items] CSR: what they watched in train; None if no metric needs it. Users without any relevant item
    are left out, as in RecTools.
    """
    active = np.diff(truth.indptr) > 0
    items, truth = items[active], truth[active]
    history = sp.csr_matrix(truth.shape, dtype=np.float32) if history is None else history[active]
    truth.sort_indices()
    width = truth.shape[1]
    row = np.arange(len(items), dtype=np.int64) * width
    relevant = (
        np.repeat(row, np.diff(truth.indptr)) + truth.indices
    )  # a pair of user and item as one integer, ascending
    pairs = row[:, None] + items
    place = np.minimum(np.searchsorted(relevant, pairs), len(relevant) - 1)
    hits = (relevant[place] == pairs) & (items >= 0) if len(relevant) else np.zeros(items.shape, dtype=bool)
    return Lists(items, hits, np.diff(truth.indptr).astype(np.int64), train_items, history)
