"""Metrics of recommendation lists: one value per user, from which error bars and comparisons of models follow.

A new metric is one function and its name in a table. It gets `Lists` and returns [users] float64, whose mean is the
metric, or one number for the lists of all users together. Metrics that RecTools has are defined as there.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from retrieval.evaluation.lists import Lists
from retrieval.stage import rounded

import numpy as np
import scipy.sparse as sp


def average_precision(lists: Lists) -> np.ndarray:
    """Sum over the hits of the precision at their rank, divided by the number of relevant items.

    RecTools' `MAP`. The divisor is not limited to k, so a user with more than k relevant items cannot reach 1.
    """
    precision = np.cumsum(lists.hits, axis=1) / np.arange(1, lists.k + 1)
    return (precision * lists.hits).sum(axis=1) / lists.relevant


def ndcg(lists: Lists) -> np.ndarray:
    """Sum over the hits of 1 / log2(rank + 1), divided by that of k hits, even if fewer are achievable.

    RecTools' `NDCG` with the default `divide_by_achievable=False`.
    """
    discount = 1 / _log2(np.arange(2, lists.k + 2))
    return (lists.hits * discount).sum(axis=1) / discount.sum()


def ndcg_achievable(lists: Lists) -> np.ndarray:
    """The same sum, divided by that of as many hits as the user has relevant items, at most k.

    RecTools' `NDCG` with `divide_by_achievable=True`, what papers report.
    """
    discount = 1 / _log2(np.arange(2, lists.k + 2))
    best = np.cumsum(discount)[np.minimum(lists.relevant, lists.k) - 1]
    return (lists.hits * discount).sum(axis=1) / best


def precision(lists: Lists) -> np.ndarray:
    """Number of hits divided by k, also for a shorter list: RecTools' `Precision`."""
    return lists.hits.sum(axis=1) / lists.k


def recall(lists: Lists) -> np.ndarray:
    """Number of hits divided by the number of relevant items: RecTools' `Recall`."""
    return lists.hits.sum(axis=1) / lists.relevant


def reciprocal_rank(lists: Lists) -> np.ndarray:
    """1 / rank of the first hit, 0 without a hit: RecTools' `MRR`."""
    return np.where(lists.hits.any(axis=1), 1 / (lists.hits.argmax(axis=1) + 1), 0.0)


def hit_rate(lists: Lists) -> np.ndarray:
    """1 if there is any hit: RecTools' `HitRate`."""
    return np.any(lists.hits, axis=1).astype(np.float64)


def novelty(lists: Lists) -> np.ndarray:
    """Mean of -log2(share of the train users who watched the item), in bits: RecTools' `MeanInvUserFreq`."""
    train = lists.train_items
    return lists.mean(math.log2(train.users) - _log2(np.maximum(train.watchers, 1)))


def _log2(counts: np.ndarray) -> np.ndarray:
    """log2 of integers [n]; that of numpy differs in its last bit between processors."""
    distinct, place = np.unique(counts, return_inverse=True)
    return np.array([math.log2(count) for count in distinct.tolist()])[place]


def coverage(lists: Lists) -> np.float64:
    """Share of all items that are recommended to anyone: RecTools' `CatalogCoverage`, normalized."""
    return np.count_nonzero(_recommended(lists)) / np.float64(len(lists.train_items.watchers))


def diversity(lists: Lists) -> np.ndarray:
    """Mean over the pairs of items in a list of the number of categories in which the two differ.

    RecTools' `IntraListDiversity` with the Hamming distance. With binary vectors f of categories and length L of the
    list, the sum over all pairs is L sum |f| - |sum f|^2, so pairs need not be formed.
    """
    length = lists.filled.sum(axis=1)
    counts = lists.matrix @ lists.train_items.categories.astype(bool).astype(np.float32)
    total = length * np.asarray(counts.sum(axis=1)).ravel() - np.asarray(counts.multiply(counts).sum(axis=1)).ravel()
    return total.astype(np.float64) / np.maximum(length * (length - 1) / 2, 1)


def calibration(lists: Lists, weight: float = 0.01) -> np.ndarray:
    """How far the categories of a list are from those of the user's history, in bits; 0 if they are alike.

    The Kullback-Leibler divergence of Steck (2018), "Calibrated Recommendations": sum over the categories c of
    p(c) log2(p(c) / q(c)). p is the mean over the items of the history of each item's distribution, in which its
    categories have equal shares; q is that of the list, mixed with p by `weight`. Items without a category do not
    count, and an empty list has the worst value, -log2(weight).
    """
    categories = sp.csr_matrix(lists.train_items.categories.astype(bool), dtype=np.float64)
    of_item = _shares(categories)
    p, q = _shares(lists.history @ of_item), _shares(lists.matrix @ of_item)
    p.sort_indices()
    mixed = sp.csr_matrix(weight * p + (1 - weight) * q.multiply(p > 0)).sorted_indices()  # non-zero where p is
    log2 = np.rint(np.log2(p.data / mixed.data) * 2.0**44) / 2.0**44  # the last bit differs between processors
    terms = sp.csr_matrix((p.data * log2, p.indices, p.indptr), shape=p.shape)
    return np.maximum(np.asarray(terms.sum(axis=1)).ravel(), 0)


def _shares(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """The rows divided by their sums, [n, m] CSR float64; rows without entries stay empty."""
    total = np.asarray(matrix.sum(axis=1)).ravel()
    shares = matrix.data / np.repeat(total, np.diff(matrix.indptr))
    return sp.csr_matrix((shares, matrix.indices, matrix.indptr), shape=matrix.shape)


def serendipity(lists: Lists) -> np.ndarray:
    """Mean over a list of max(p - q, 0) for a hit and 0 for any other item: RecTools' `Serendipity`.

    p = 1 - (rank - 1) / items; q is the same of the item's rank by popularity, where equally popular items share a
    rank, and 0 for an item that nobody watched.
    """
    watchers = lists.train_items.watchers
    count = len(watchers)
    _, place = np.unique(-watchers, return_inverse=True)
    p = (count - np.arange(lists.k)) / count
    q = np.where(watchers > 0, (count - place) / count, 0.0)
    gain = np.maximum(p - q[lists.items], 0) * lists.hits
    return gain.sum(axis=1) / np.maximum(lists.filled.sum(axis=1), 1)


def popularity(lists: Lists) -> np.ndarray:
    """Mean number of train users who watched an item of the list: RecTools' `AvgRecPopularity`."""
    return lists.mean(lists.train_items.watchers)


def popularity_lift(lists: Lists) -> np.ndarray:
    """Mean popularity of the list, divided by that of the user's history, minus 1; 0 if either is empty.

    Positive if a user gets more popular items than the user watches: the relative difference of the means in Lesota et
    al. (2021), "Analyzing Item Popularity Bias of Music Recommender Systems".
    """
    size = np.diff(lists.history.indptr)
    history = lists.history @ lists.train_items.watchers.astype(np.float64) / np.maximum(size, 1)
    both = (size > 0) & lists.filled.any(axis=1)
    return np.where(both, popularity(lists) / np.where(both, history, 1) - 1, 0.0)


def long_tail(lists: Lists) -> np.ndarray:
    """Share of long-tail items in the list: APLT of Abdollahpouri, Burke, Mobasher (2019)."""
    return lists.mean(lists.train_items.tail)


def gini(lists: Lists) -> np.float64:
    """Gini index of how often items are recommended: 0 if all are equally often, near 1 if one item takes all."""
    counts = np.sort(_recommended(lists))
    steps = np.arange(1, len(counts) + 1)
    return ((2 * steps - len(counts) - 1) @ counts) / np.float64(max(len(counts) * counts.sum(), 1))


def sufficient(lists: Lists) -> np.ndarray:
    """1 if the list has k items: RecTools' `SufficientReco`."""
    return np.all(lists.filled, axis=1).astype(np.float64)


def covered_users(lists: Lists) -> np.ndarray:
    """1 if the list has any item: RecTools' `CoveredUsers`."""
    return np.any(lists.filled, axis=1).astype(np.float64)


def _recommended(lists: Lists) -> np.ndarray:
    """[items] int64, number of lists that each item is in."""
    return np.bincount(lists.items[lists.filled], minlength=len(lists.train_items.watchers))


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
    "precision": precision,
    "ndcg_achievable": ndcg_achievable,
    "diversity": diversity,
    "calibration": calibration,
    "serendipity": serendipity,
    "popularity": popularity,
    "popularity_lift": popularity_lift,
    "long_tail": long_tail,
    "gini": gini,
    "sufficient": sufficient,
    "covered_users": covered_users,
}

# Computed for every length of `evaluate.ks`.
BY_K: dict[str, Metric] = {"recall": recall} | METRICS | {"ndcg_achievable": ndcg_achievable}

# Computed on a test from which most watches of the most popular items are removed.
DEBIASED: dict[str, Metric] = {"debiased_map": average_precision, "debiased_recall": recall}


def values(lists: Lists, table: Mapping[str, Metric]) -> dict[str, np.ndarray]:
    """`name@k` -> the value per user, [users], or of all users together, []."""
    return {f"{name}@{lists.k}": np.asarray(metric(lists), dtype=np.float64) for name, metric in table.items()}


def by_k(lists: Lists, ks: Sequence[int]) -> dict[str, float]:
    """`name@k` -> the mean of each of BY_K over the first k items, for every k."""
    each = means({name: value for k in ks for name, value in values(lists.first(k), BY_K).items()})
    return {f"{name}@{k}": each[f"{name}@{k}"] for name in BY_K for k in ks}


def means(values: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The mean over users, rounded to six significant digits."""
    return {name: rounded(value.mean()) for name, value in values.items()}
