"""How a model scores what users watched and what they did not: the distributions of the score over both."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from retrieval.evaluation.metrics import rounded
from retrieval.evaluation.series import Series
from retrieval.matrices import Model
from retrieval.ranking import each_block

import numpy as np
import scipy.sparse as sp

BINS = 50


@dataclass(frozen=True)
class Pairs:
    """Pairs of users and items: `users` [S], rows; `row` [n], places in `users`, ascending; `item` [n]."""

    users: np.ndarray
    row: np.ndarray
    item: np.ndarray


def sample(
    watched: sp.csr_matrix, known: sp.csr_matrix, users: int, negatives: int, rng: np.random.Generator
) -> dict[str, Pairs]:
    """Pairs of at most `users` random users of `watched` [users, items].

    "watched": all that they watched; "other": of each, `negatives` different random items, or all there are, that stand
    neither in `watched` nor in `known` [users, items].
    """
    active = np.flatnonzero(np.diff(watched.indptr))
    chosen = np.sort(rng.choice(active, min(users, len(active)), replace=False))
    mine = watched[chosen].tocoo()
    order = np.argsort(mine.row, kind="stable")
    row, item = (np.concatenate(parts) for parts in zip(*_others(watched + known, chosen, negatives, rng), strict=True))
    return {"watched": Pairs(chosen, mine.row[order], mine.col[order]), "other": Pairs(chosen, row, item)}


def scores(model: Model, pairs: Pairs) -> np.ndarray:
    """The score [n] of each pair by a model of dense matrices, without the user's bias, which orders nothing."""
    result = np.empty(len(pairs.row), dtype=np.float32)
    columns = np.ptp(model.right, axis=0) > 0
    left, right = np.asarray(model.left[pairs.users])[:, columns], np.asarray(model.right)[:, columns]

    def keep(part: slice, block: np.ndarray) -> None:
        first, last = np.searchsorted(pairs.row, [part.start, part.stop])
        result[first:last] = block[pairs.row[first:last] - part.start, pairs.item[first:last]]

    each_block(keep, left, right, np.arange(len(left)), title=f"{model.name}, scores")
    return result


def densities(samples: Mapping[str, np.ndarray]) -> Series:
    """Histograms on common bins, which span all but the outermost 0.1 % of the scores: rows of `score`, the middle of
    the bin, and the density of each sample."""
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
    """Rows and items of the unwatched pairs: each item of a block of users gets a random number, the least ones win."""
    count = min(count, watched.shape[1])
    for start in range(0, len(users), 256):
        block = watched[users[start : start + 256]]
        numbers = rng.random(block.shape, dtype=np.float32)
        numbers[np.repeat(np.arange(block.shape[0]), np.diff(block.indptr)), block.indices] = 2
        items = np.argpartition(numbers, count - 1, axis=1)[:, :count]
        row, place = np.nonzero(np.take_along_axis(numbers, items, axis=1) < 2)
        yield start + row, items[row, place]
