"""Metrics of recommended lists: a value a user, so that error bars and comparisons of models follow from it.

A new metric is one function and its name in a table. It gets `Lists` and returns [users] float64, whose mean is the
metric, or one number for the lists of all users together. Definitions are those of RecTools, where it has the metric.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp


@dataclass(frozen=True)
class TrainItems:
    """The items as train knows them: `seen` [users, items] CSR, who watched what; `features` [items, columns] CSR, not
    0 where an item has a feature; `head`, the share of items, the most watched ones, that are no long tail."""

    seen: sp.csr_matrix
    features: sp.csr_matrix
    head: float

    @cached_property
    def watchers(self) -> np.ndarray:
        """[items] int64, how many users watched each."""
        return np.bincount(self.seen.indices, minlength=self.seen.shape[1])

    @cached_property
    def users(self) -> int:
        """Number of users who watched anything."""
        return int(np.count_nonzero(np.diff(self.seen.indptr)))

    @cached_property
    def tail(self) -> np.ndarray:
        """[items] bool, true for all but the most watched ones."""
        tail = np.ones(len(self.watchers), dtype=bool)
        tail[np.argsort(-self.watchers, kind="stable")[: round(self.head * len(tail))]] = False
        return tail


@dataclass(frozen=True)
class Lists:
    """What is judged: `items` [users, k] int32, -1 where a list is shorter; `hits` [users, k] bool, true where the user
    did watch the item; `relevant` [users] int64, how many items the user did watch, never 0."""

    items: np.ndarray
    hits: np.ndarray
    relevant: np.ndarray
    catalogue: TrainItems

    @property
    def k(self) -> int:
        """Length of the lists."""
        return self.items.shape[1]

    @property
    def filled(self) -> np.ndarray:
        """[users, k] bool, false where a list has ended."""
        return self.items >= 0

    def first(self, k: int) -> "Lists":
        """The same lists, cut to k items."""
        return Lists(self.items[:, :k], self.hits[:, :k], self.relevant, self.catalogue)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """[users], the mean over each list of a value an item, [items]; 0 for an empty list."""
        total = np.where(self.filled, values[self.items], 0).sum(axis=1)
        return total / np.maximum(self.filled.sum(axis=1), 1)


def judge(items: np.ndarray, truth: sp.csr_matrix, catalogue: TrainItems) -> Lists:
    """Compare lists `items` [users, k] with `truth` [users, items], what the same users did watch.

    Users of whom `truth` has nothing are left out, as in RecTools.
    """
    known = np.diff(truth.indptr) > 0
    items, truth = items[known], truth[known]
    truth.sort_indices()
    width = truth.shape[1]
    keys = np.repeat(np.arange(len(items), dtype=np.int64) * width, np.diff(truth.indptr)) + truth.indices
    wanted = np.arange(len(items), dtype=np.int64)[:, None] * width + items
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    hits = (keys[place] == wanted) & (items >= 0) if len(keys) else np.zeros(items.shape, dtype=bool)
    return Lists(items, hits, np.diff(truth.indptr).astype(np.int64), catalogue)


def average_precision(lists: Lists) -> np.ndarray:
    """MAP: sum over hits of the precision up to their rank, over the number of relevant items.

    RecTools' `MAP`; the divisor is not cut to k, so a user with more than k relevant items cannot reach 1.
    """
    precision = np.cumsum(lists.hits, axis=1) / np.arange(1, lists.k + 1)
    return (precision * lists.hits).sum(axis=1) / lists.relevant


def ndcg(lists: Lists) -> np.ndarray:
    """Sum over hits of 1 / log2(rank + 1), over the same sum for k hits, however many the user could have.

    RecTools' `NDCG` with its default divisor (`divide_by_achievable=False`).
    """
    discount = 1 / np.log2(np.arange(2, lists.k + 2))
    return lists.hits @ discount / discount.sum()


def recall(lists: Lists) -> np.ndarray:
    """Hits over the number of relevant items: RecTools' `Recall`."""
    return lists.hits.sum(axis=1) / lists.relevant


def reciprocal_rank(lists: Lists) -> np.ndarray:
    """1 / rank of the first hit, 0 without one: RecTools' `MRR`."""
    return np.where(lists.hits.any(axis=1), 1 / (lists.hits.argmax(axis=1) + 1), 0.0)


def hit_rate(lists: Lists) -> np.ndarray:
    """1 if there is any hit: RecTools' `HitRate`."""
    return np.any(lists.hits, axis=1).astype(np.float64)


def novelty(lists: Lists) -> np.ndarray:
    """Mean of -log2(share of train users who watched the item), in bits: RecTools' `MeanInvUserFreq`."""
    catalogue = lists.catalogue
    return lists.mean(-np.log2(np.maximum(catalogue.watchers, 1) / catalogue.users))


def coverage(lists: Lists) -> np.float64:
    """Share of the items that are recommended to anyone: RecTools' `CatalogCoverage`, normalised."""
    return np.count_nonzero(_recommended(lists)) / np.float64(len(lists.catalogue.watchers))


def diversity(lists: Lists) -> np.ndarray:
    """Mean over the pairs in a list of the number of features in which the two items differ.

    RecTools' `IntraListDiversity` with the Hamming distance. With f the items' rows of zeros and ones and L the length
    of the list, the sum over the pairs is L sum |f| - |sum f|^2, so no pair is ever formed.
    """
    length = lists.filled.sum(axis=1)
    ones = np.ones(length.sum(), dtype=np.float32)
    features = lists.catalogue.features.astype(bool).astype(np.float32)
    chosen = sp.csr_matrix(
        (ones, lists.items[lists.filled], np.append(0, np.cumsum(length))), shape=(len(length), features.shape[0])
    )
    counts = chosen @ features
    total = length * np.asarray(counts.sum(axis=1)).ravel() - np.asarray(counts.multiply(counts).sum(axis=1)).ravel()
    return total.astype(np.float64) / np.maximum(length * (length - 1) / 2, 1)


def serendipity(lists: Lists) -> np.ndarray:
    """Mean of max(p - q, 0) over the hits, 0 for other items, with p = 1 - (rank - 1) / items and q the same of the
    item's rank by popularity, 0 for an item that nobody watched: RecTools' `Serendipity`. Equal counts share a rank."""
    watchers = lists.catalogue.watchers
    count = len(watchers)
    _, place = np.unique(-watchers, return_inverse=True)
    anyone = np.where(watchers > 0, (count - place) / count, 0.0)
    own = (count - np.arange(lists.k)) / count
    gain = np.maximum(own - anyone[lists.items], 0) * lists.hits
    return gain.sum(axis=1) / np.maximum(lists.filled.sum(axis=1), 1)


def popularity(lists: Lists) -> np.ndarray:
    """Mean number of train users who watched the item: RecTools' `AvgRecPopularity`."""
    return lists.mean(lists.catalogue.watchers)


def long_tail(lists: Lists) -> np.ndarray:
    """Share of the list that is long tail: APLT of Abdollahpouri, Burke, Mobasher (2019)."""
    return lists.mean(lists.catalogue.tail)


def gini(lists: Lists) -> np.float64:
    """Gini index of how often each item is recommended: 0 if all items are equally often, 1 if one item takes all."""
    counts = np.sort(_recommended(lists))
    steps = np.arange(1, len(counts) + 1)
    return ((2 * steps - len(counts) - 1) @ counts) / np.float64(max(len(counts) * counts.sum(), 1))


def _recommended(lists: Lists) -> np.ndarray:
    """[items] int64, how often each item is recommended."""
    return np.bincount(lists.items[lists.filled], minlength=len(lists.catalogue.watchers))


Metric = Callable[[Lists], np.ndarray | np.float64]

METRICS: dict[str, Metric] = {
    "map": average_precision,
    "ndcg": ndcg,
    "recall": recall,
    "novelty": novelty,
    "coverage": coverage,
}

BEYOND: dict[str, Metric] = {
    "mrr": reciprocal_rank,
    "hitrate": hit_rate,
    "diversity": diversity,
    "serendipity": serendipity,
    "popularity": popularity,
    "long_tail": long_tail,
    "gini": gini,
}

# Judged by a test from which most watches of the most popular items are taken, as their rank says little of a model.
DEBIASED: dict[str, Metric] = {"debiased_map": average_precision, "debiased_recall": recall}


def values(lists: Lists, table: Mapping[str, Metric]) -> dict[str, np.ndarray]:
    """`name@k` -> the value of each user, [users], or of all together, []."""
    return {f"{name}@{lists.k}": np.asarray(metric(lists), dtype=np.float64) for name, metric in table.items()}


def means(values: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The mean over users, to six significant digits."""
    return {name: rounded(value.mean()) for name, value in values.items()}


def rounded(value: float) -> float:
    """Six significant digits: enough for any comparison, and a `git diff` that shows changes that mean something."""
    return float(f"{value:.6g}")
