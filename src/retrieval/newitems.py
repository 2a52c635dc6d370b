"""Items that are not in train: a row of right from their features, for every model of vectors.

A ridge regression of right on the features of the items in train gives new items a row. It serves all models alike, and
ranks new items at least about as well as an item tower without ids does (see docs/results.md). Source: Gantner et al.
2010, "Learning attribute-to-feature mappings for cold-start recommendations".

If the model has a bias or a trend, taste counts only as far as features tell the taste of items that the regression has
not seen. Where they tell nothing of it, new items are ranked by their bias alone.
"""

from dataclasses import replace
from pathlib import Path

from retrieval.errors import Problem
from retrieval.histories import Features
from retrieval.matrices import Model, grid_step, snap

import numpy as np
import scipy.sparse as sp

FILE = "new_items.npy"  # in the folder of a model of vectors
PENALTY = 10.0  # as that many items with the mean row: a feature of few items says little
BITS = 12  # of a number on the grid, see `matrices`
TOLERANCE, ITERATIONS = 1e-12, 10_000  # of the solver: share of the gradient that is left, and at most so many
FOLDS = 5  # of the items, for `trust`
YOUNGEST = 0.2  # of the items, at least, for `trust`


def estimate(features: sp.csr_matrix, values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Ridge regression of `values` [items, d] on `features` [items, columns]: [1 + columns, d] float64.

    An item's weight is log(1 + its number of interactions), `counts` [items]: the row of a rarely watched one is noise.
    The first row is the mean; an item with features x is estimated as result[0] + x @ result[1:].
    """
    weights = np.log1p(counts.astype(np.float64))
    weights /= weights.mean()
    mean = (weights[:, None] * values).mean(axis=0)
    root = np.sqrt(weights)[:, None]
    solved = _ridge(sp.csr_matrix(features.multiply(root), dtype=np.float64), root * (values - mean))
    return snap(np.vstack([mean, solved]), BITS).astype(np.float64)


def _ridge(matrix: sp.csr_matrix, values: np.ndarray) -> np.ndarray:
    """argmin |matrix x - values|^2 + PENALTY |x|^2, [columns, d], by conjugate gradients, all columns side by side.

    Hestenes and Stiefel 1952, "Methods of conjugate gradients for solving linear systems".
    """
    across = sp.csr_matrix(matrix.T)
    left_over = across @ values
    solution, direction = np.zeros_like(left_over), left_over.copy()
    norms = np.square(left_over).sum(axis=0)
    enough = TOLERANCE**2 * norms
    for _ in range(ITERATIONS):
        if (norms <= enough).all():
            break
        product = across @ (matrix @ direction) + PENALTY * direction
        step = norms / _no_zeros((direction * product).sum(axis=0))
        solution += step * direction
        left_over -= step * product
        before, norms = norms, np.square(left_over).sum(axis=0)
        direction = left_over + norms / _no_zeros(before) * direction
    return solution


def _no_zeros(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, 1)


def trust(data: Features, right: np.ndarray) -> np.ndarray:
    """How much the features tell of each column of `right` [items, d], from 0 to 1: [d] float64.

    It is the variance that `estimate` explains over the variance that it leaves, at most 1: among the youngest items,
    which are most like new ones, each estimated from the items of the other FOLDS.
    """
    values, counts, fold = right.astype(np.float64), data.counts, np.arange(len(right)) % FOLDS
    estimated = np.empty_like(values)
    for each in range(FOLDS):
        seen = fold != each
        solved = estimate(data.described[seen], values[seen], counts[seen])
        estimated[~seen] = solved[0] + data.described[~seen] @ solved[1:]
    weights = np.log1p(counts.astype(np.float64))[:, None] * _youngest(data)[:, None]
    mean = (weights * values).sum(axis=0) / weights.sum()
    whole, left_over = ((weights * np.square(values - each)).sum(axis=0) for each in (mean, estimated))
    return np.clip((whole - left_over) / np.maximum(left_over, np.finfo(float).tiny), 0, 1)


def _youngest(data: Features) -> np.ndarray:
    """Mask [items] of the first buckets of ages with a share of YOUNGEST of the items; all if fewer have an age."""
    if data.ages is not None:
        count = np.cumsum(np.bincount(data.ages.indices, minlength=data.ages.shape[1]))
        enough = np.flatnonzero(count >= YOUNGEST * len(data.item_ids))
        if len(enough):
            return np.diff(data.ages[:, : enough[0] + 1].indptr) > 0
    return np.ones(len(data.item_ids), dtype=bool)


def learn(data: Features, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """What `rows_of` needs: `estimate`, with the columns of taste multiplied by `trust`, [1 + columns, d] float64.

    A column that is the same for all users is a bias. Without one only taste ranks items, and it has its full weight.
    """
    found, bias = estimate(data.described, right, data.counts), np.ptp(left, axis=0) == 0
    if bias.any() and len(right) >= FOLDS:
        found[1:] *= np.where(bias, 1, trust(data, right))
    return snap(found, BITS).astype(np.float64)


def save(out: Path, data: Features, left: np.ndarray, right: np.ndarray) -> None:
    """Write into the open folder of a model what `new_items` reads; nothing if the items have no features."""
    if data.described.shape[1]:
        np.save(out / FILE, learn(data, left, right).astype(np.float32))


def new_items(path: Path, model: Model, described: sp.csr_matrix) -> np.ndarray | None:
    """Rows of right [n, d] float32 of items from what is said of them, [n, columns] as `Features.described`.

    They are on the grid of `right` (see `matrices`), whatever other items are asked for with them. None if the model
    cannot score new items. Raises `Problem` if the file in its folder `path` does not fit.
    """
    learned = coefficients(path, model)
    return None if learned is None else rows_of(model, learned, described)


def coefficients(path: Path, model: Model) -> np.ndarray | None:
    """[1 + columns, d], what `rows_of` needs of the model folder `path`; None if the model cannot score new items."""
    if FILE not in model.card.get("files", {}):
        return None
    try:
        return np.load(path / FILE, allow_pickle=False).astype(np.float64)
    except (ValueError, OSError) as error:
        raise Problem(f"{path / FILE}: does not load: {error}; train the model again") from None


def rows_of(model: Model, coefficients: np.ndarray, described: sp.csr_matrix) -> np.ndarray:
    """As `new_items`, by what `coefficients` has read."""
    if described.shape[1] != len(coefficients) - 1:
        wrong = f"{described.shape[1]:,} columns, expected {len(coefficients) - 1:,}"
        raise Problem(f"model {model.name}: {FILE} does not fit the features of the items: {wrong}; train it again")
    rows = coefficients[0] + described @ coefficients[1:]
    step = grid_step(float(np.abs(model.right).max(initial=0.0)))
    return (np.rint(rows / step) * step).astype(np.float32)


def score_new(path: Path, model: Model, catalogue: Features) -> Model:
    """The model with a row for each new item of the catalogue; unchanged if it cannot score them."""
    rows = new_items(path, model, catalogue.described[len(model.items) :])
    return model if rows is None else replace(model, right=np.vstack([model.right, rows]), items=catalogue.item_ids)
