"""Distributions of a model's scores of items that users watched, and of items that they did not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from retrieval.evaluation.series import Series
from retrieval.matrices import Model
from retrieval.ranking import blank, each_block, places, top
from retrieval.stage import rounded

import numpy as np
import scipy.sparse as sp

BINS = 50
BLOCK = 256  # users at a time


@dataclass(frozen=True)
class Pairs:
    """Pairs of a user and an item: users [S], rows of the model; row [n], indices into users, ascending; item [n]."""

    users: np.ndarray
    row: np.ndarray
    item: np.ndarray


def sample(
    watched: sp.csr_matrix, excluded: sp.csr_matrix, limit: int, negatives: int, rng: np.random.Generator
) -> dict[str, Pairs]:
    """Pairs of up to `limit` random users who watched anything; watched, excluded [users, items] CSR.

    "watched": every item that they watched. "other": for each user up to `negatives` distinct random items that are
    neither in `watched` nor in `excluded`.
    """
    active = np.flatnonzero(np.diff(watched.indptr))
    users = np.sort(rng.choice(active, min(limit, len(active)), replace=False))
    pairs = watched[users].tocoo()
    order = np.argsort(pairs.row, kind="stable")
    row, item = (
        np.concatenate(parts) for parts in zip(*_others(watched + excluded, users, negatives, rng), strict=True)
    )
    return {"watched": Pairs(users, pairs.row[order], pairs.col[order]), "other": Pairs(users, row, item)}


def scores(model: Model, pairs: Pairs) -> np.ndarray:
    """The score [n] of each pair by a model of dense matrices, without the user's bias, which ranks nothing."""
    result = np.empty(len(pairs.row), dtype=np.float32)
    varying = np.ptp(model.right, axis=0) > 0
    left, right = np.asarray(model.left[pairs.users])[:, varying], np.asarray(model.right)[:, varying]

    def collect(part: slice, block: np.ndarray) -> None:
        first, last = np.searchsorted(pairs.row, [part.start, part.stop])
        result[first:last] = block[pairs.row[first:last] - part.start, pairs.item[first:last]]

    each_block(collect, left, right, np.arange(len(left)), title=f"{model.name}, scores")
    if model.own is not None:
        result += np.asarray(model.own[pairs.users[pairs.row], pairs.item])[0]
    return result


def densities(samples: Mapping[str, np.ndarray]) -> Series:
    """Histograms on common bins: rows of `score`, the middle of the bin, and the density of each sample.

    The bins span all but the lowest and the highest 0.1 % of the scores.
    """
    low, high = np.quantile(np.concatenate(list(samples.values())).astype(np.float64), [0.001, 0.999])
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    counts = {name: np.histogram(values, edges)[0] for name, values in samples.items()}
    width = edges[1] - edges[0]
    return [
        {"score": rounded((edges[b] + edges[b + 1]) / 2)}
        | {name: rounded(count[b] / (max(len(samples[name]), 1) * width)) for name, count in counts.items()}
        for b in range(BINS)
    ]


def _others(
    watched: sp.csr_matrix, users: np.ndarray, count: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows and items of unwatched pairs, in blocks of users: the `count` items with the lowest random numbers."""
    items = watched.shape[1]
    for start in range(0, len(users), BLOCK):
        block = watched[users[start : start + BLOCK]]
        numbers = blank(block.shape[0], items, count)
        numbers[:, :items] = -rng.random(block.shape, dtype=np.float32)
        numbers[places(block)] = -np.inf
        chosen, best = top(numbers, count)
        row, column = np.nonzero(~np.isneginf(best))
        yield start + row, chosen[row, column]
