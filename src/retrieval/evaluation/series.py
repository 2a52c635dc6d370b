"""Data series for DVC's plots: a list of rows with x and one column per model."""

from collections.abc import Mapping
from typing import Any

from retrieval.evaluation.lists import Lists
from retrieval.evaluation.metrics import ndcg
from retrieval.stage import rounded

import numpy as np

Series = list[dict[str, Any]]
LONGEST = 20  # items per list in the plot of NDCG


def by_length(models: Mapping[str, Lists]) -> Series:
    """NDCG@k for each k up to the length of the lists, at most LONGEST."""
    longest = min(LONGEST, max(lists.k for lists in models.values()))
    return [
        {"k": k} | {name: rounded(ndcg(lists.first(k)).mean()) for name, lists in models.items()}
        for k in range(1, longest + 1)
    ]


def by_popularity(models: Mapping[str, Lists], parts: int = 10) -> Series:
    """Share of the recommendations that goes to each of `parts` parts of the items.

    Each part has the same number of watches in train: part 1 are the few most watched items, the last part is the long
    tail. Recommendations that follow the train data have equal shares.
    """
    watchers = next(iter(models.values())).train_items.watchers
    order = np.argsort(-watchers, kind="stable")
    before = np.cumsum(watchers[order]) - watchers[order]
    part = np.empty(len(order), dtype=np.int64)
    part[order] = np.minimum(before * parts // max(watchers.sum(), 1), parts - 1)
    shares = {}
    for name, lists in models.items():
        counts = np.bincount(part[lists.items[lists.filled]], minlength=parts)
        shares[name] = counts / max(counts.sum(), 1)
    return [{"part": p + 1} | {name: rounded(share[p]) for name, share in shares.items()} for p in range(parts)]
