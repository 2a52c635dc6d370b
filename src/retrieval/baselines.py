"""The classic baselines, each as two matrices: left[user] . right[item] is the score, as in the model's own library.

Every function takes (features, params, seed) and returns left [users, d] and right [items, d]. All of them read only
who watched what, as ones: no weights and no features.
"""

from collections.abc import Callable
from typing import Annotated, NamedTuple

from retrieval.histories import DAY, Features
from retrieval.inverse import invert
from retrieval.matrices import Matrix, snap
from retrieval.params import AUTO, Positive, Section
from retrieval.progress import progress
from retrieval.ranking import each_block, top

import numpy as np
import scipy.sparse as sp
from pydantic import Field
from threadpoolctl import threadpool_limits

EASE_BITS, IALS_BITS = 17, 14  # of numbers on the grid, see `matrices`
ITERATIONS, FEWEST_ITERATIONS = 30, 5  # for iterations=auto: on small data, and at least on large
ROWS = 256  # rows of a sparse product that are made dense at a time


class ItemKNN(Section):
    """K nearest items, cosine."""

    neighbours: Positive


class UserKNN(Section):
    """K nearest users, cosine, among the `pool` most recent users."""

    neighbours: Positive
    pool: Positive


class EASE(Section):
    """`regularization`: the paper's lambda, in interactions. `items`: how many items have weights, the most watched."""

    regularization: float = Field(ge=1e-3, le=1e9)
    items: Positive


class IALS(Section):
    """Implicit ALS: `alpha` is the weight of a watched item, 1 that of any other.

    iterations: auto is 30, or fewer for large data, see `Features.passes`.
    """

    factors: Annotated[int, Field(ge=1, le=65_536)]
    regularization: float = Field(ge=0, le=1e6)
    alpha: float = Field(ge=1e-3, le=1e6)
    iterations: Annotated[Positive, AUTO]


class Baselines(Section):
    """The section `baselines` of params.yaml."""

    itemknn: ItemKNN
    userknn: UserKNN
    ease: EASE
    ials: IALS

    def resolve(self, features: Features) -> "Baselines":
        """With a number of iterations."""
        iterations = features.passes(self.ials.iterations, ITERATIONS, FEWEST_ITERATIONS)
        return self.model_copy(update={"ials": self.ials.model_copy(update={"iterations": iterations})})


def popular(features: Features, params: Baselines, seed: int) -> tuple[Matrix, Matrix]:
    """How many users watched the item: RecTools' PopularModel."""
    return _popular(features, features.counts)


def popular_7d(features: Features, params: Baselines, seed: int) -> tuple[Matrix, Matrix]:
    """How many users watched the item in the 7 days before the last interaction: PopularModel(period=7 days)."""
    time, items = features.histories.time, len(features.item_ids)
    recent = features.histories.only(time >= time.max() - 7 * DAY).matrix(items)
    return _popular(features, np.bincount(recent.indices, minlength=items))


def itemknn(features: Features, params: Baselines, seed: int) -> tuple[Matrix, Matrix]:
    """Sum of the similarities of the watched items to the item, each watched item having K neighbours.

    An item is not its own neighbour, so K here is K + 1 in implicit's CosineRecommender.
    Source: Sarwar et al. 2001, "Item-based collaborative filtering recommendation algorithms".
    """
    items = sp.csr_matrix(features.seen.T)
    near = nearest(items, np.arange(items.shape[0]), params.itemknn.neighbours)
    return features.seen, sp.csr_matrix(near.T)


def userknn(features: Features, params: Baselines, seed: int) -> tuple[Matrix, Matrix]:
    """Sum of the similarities to the user of those of his K neighbours who watched the item.

    Comparing all users with all would take time quadratic in their number, so neighbours come from the `pool` most
    recent users. With up to `pool` users it is the exact UserKNN.
    """
    histories = features.histories
    last = histories.time[histories.indptr[1:] - 1]
    pool = np.sort(np.argsort(-last, kind="stable")[: params.userknn.pool])
    return nearest(features.seen, pool, params.userknn.neighbours), sp.csr_matrix(features.seen[pool].T)


def ease(features: Features, params: Baselines, seed: int) -> tuple[Matrix, Matrix]:
    """B = I - P / diag(P), P = (X'X + lambda I)^-1; score X B. Steck 2019, "Embarrassingly shallow autoencoders".

    RecTools' EASEModel learns the same B and ranks by X B', which is not the paper's score.
    Memory and time are those of one dense float64 matrix of items, inverted in place: 2 GB for KION's 15,706. In a
    larger catalogue only the `items` most watched have weights; the others score 0.
    """
    counts = features.counts
    chosen = np.sort(np.argsort(-counts, kind="stable")[: params.ease.items])
    seen, items = features.seen[:, chosen], len(chosen)
    by_item = sp.csr_matrix(seen.T)
    weights = np.empty((items, items))
    for start in range(0, items, ROWS):
        block = slice(start, start + ROWS)
        weights[block] = (by_item[block] @ seen).toarray()
    weights[np.diag_indices(items)] += params.ease.regularization
    invert(weights, "ease")
    weights /= -np.diag(weights)[:, None]
    np.fill_diagonal(weights, 0)
    weights = snap(weights, EASE_BITS, overwrite=True)
    if items == len(counts):
        return features.seen, weights
    length = np.zeros(len(counts), dtype=np.int64)
    length[chosen] = items
    columns = np.tile(chosen.astype(np.int32), items)
    rows = np.r_[0, np.cumsum(length)]
    return features.seen, sp.csr_matrix((weights.ravel(), columns, rows), shape=(len(counts), len(counts)))


def ials(features: Features, params: Baselines, seed: int) -> tuple[Matrix, Matrix]:
    """User and item factors of implicit's ALS, in float64 from the start that implicit draws in float32.

    Hu, Koren and Volinsky 2008, "Collaborative filtering for implicit feedback datasets". Rows are solved one by one,
    so that the number of threads changes no bit.
    """
    from implicit.cpu.als import AlternatingLeastSquares

    random, factors = np.random.default_rng(seed), params.ials.factors
    start = [(random.random((rows, factors), dtype=np.float32) * 0.01).astype(float) for rows in features.seen.shape]
    with threadpool_limits(1, "blas"), progress("ials", params.ials.iterations, "iterations") as advance:
        model = AlternatingLeastSquares(**params.ials.model_dump(), dtype=np.float64)
        model.user_factors, model.item_factors = start
        model.fit(features.seen, show_progress=False, callback=lambda *_: advance(1))
    return snap(model.user_factors, IALS_BITS), snap(model.item_factors, IALS_BITS)


class Baseline(NamedTuple):
    """What trains a baseline, the kind of its matrices, and for vectors what folds in new users, see `newcomers`."""

    train: Callable[[Features, Baselines, int], tuple[Matrix, Matrix]]
    kind: str
    newcomer: str | None = None


BASELINES: dict[str, Baseline] = {
    "popular": Baseline(popular, "constant"),
    "popular_7d": Baseline(popular_7d, "constant"),
    "itemknn": Baseline(itemknn, "history"),
    "userknn": Baseline(userknn, "neighbours"),
    "ease": Baseline(ease, "history"),
    "ials": Baseline(ials, "vectors", "least_squares"),
}


def nearest(rows: sp.csr_matrix, pool: np.ndarray, neighbours: int) -> sp.csr_matrix:
    """Cosine of each row with the `neighbours` most similar rows of the pool, itself left out.

    rows [n, m] of ones; pool [p] numbers of rows. Returns [n, p] CSR with at most `neighbours` numbers per row, all
    above zero; of equal ones the first of the pool stay.
    """
    n, p = rows.shape[0], len(pool)
    size = np.maximum(np.diff(rows.indptr), 1).astype(np.float32)
    of_pool, place = size[pool], np.full(n, -1)
    place[pool] = np.arange(p)
    column = np.empty((n, min(neighbours, p)), dtype=np.int32)
    cosine = np.empty(column.shape, dtype=np.float32)

    def keep(part: slice, shared: np.ndarray) -> None:
        """shared^2 / size is in the order of the cosines, and rounds equal ones to equal numbers."""
        likeness = shared[:, :p]
        np.square(likeness, out=likeness)
        likeness /= of_pool
        itself = np.flatnonzero(place[part] >= 0)
        likeness[itself, place[part][itself]] = 0
        column[part], squared = top(shared, column.shape[1])
        cosine[part] = np.sqrt(squared / size[part, None])

    each_block(keep, rows, rows[pool], np.arange(n), column.shape[1], "neighbours")
    alike = cosine > 0
    near = sp.csr_matrix((cosine[alike], column[alike], np.r_[0, np.cumsum(alike.sum(1))]), shape=(n, p))
    near.sort_indices()
    return near


def _popular(features: Features, counts: np.ndarray) -> tuple[Matrix, Matrix]:
    return np.ones((len(features.user_ids), 1), dtype=np.float32), counts.astype(np.float32)[:, None]
