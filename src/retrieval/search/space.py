"""The space that indexes search: inner products become distances, and no ranking changes.

A graph or a clustering of the items finds the best inner products only if nearby items have similar scores. Three steps
give any two matrices this property; none of them changes the order of a user's items:
    centre    right - mean(right): lowers all scores of a user by the same number
    whiten    right T and left T^-1, with T T' the mean of left' left: a step of a given length changes the scores of
              all users by the same amount in every direction
    lift      one more coordinate, sqrt(max |r|^2 - |r|^2), gives all items the same length: the nearest by distance are
              then the best by inner product. Bachrach et al. 2014, "Speeding up the Xbox recommender system using a
              euclidean transformation for inner-product spaces"
"""

from dataclasses import dataclass
from pathlib import Path

from retrieval.matrices import snap
from retrieval.stage import write_npz

import numpy as np

MIN_AXIS = 1e-4  # share of the longest axis of `left`; shorter axes are noise
MAX_ROWS = 100_000  # rows of `left` from which the axes are computed
ROW_BITS = 12  # of these rows on the grid (see `matrices`), so that sums of 100,000 products are exact


@dataclass(frozen=True)
class Space:
    """`mean` [d] of right, `axes` [d, e] for rows of right (T) and `inverse` [d, e] for rows of left (T^-1 transposed).

    e <= d is the number of axes along which left varies.
    """

    mean: np.ndarray
    axes: np.ndarray
    inverse: np.ndarray

    def items(self, right: np.ndarray) -> np.ndarray:
        """[items, e + 1] float32: the points to index, all of the same length."""
        rows = _product(right - self.mean, self.axes)
        square = np.square(rows).sum(1)
        return np.ascontiguousarray(np.c_[rows, np.sqrt(square.max() - square)], np.float32)

    def query(self, left: np.ndarray) -> np.ndarray:
        """[users, e + 1] float32 for left [users, d]: the points nearest to a query are its best items."""
        rows = _product(np.asarray(left), self.inverse)
        return np.ascontiguousarray(np.c_[rows, np.zeros(len(rows))], np.float32)


def fit(left: np.ndarray, right: np.ndarray) -> Space:
    """The space of two dense matrices, left [users, d] and right [items, d]; the same on every machine."""
    rows = snap(left[:: -(-len(left) // MAX_ROWS)], ROW_BITS).astype(np.float64)
    axes, chosen = _factor(rows.T @ rows / len(rows))
    inverse = np.zeros_like(axes)
    inverse[chosen] = _inverse(axes[chosen]).T
    return Space(np.asarray(right, np.float64).mean(0), axes, inverse)


def _factor(moment: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """T [d, e] with T T' = moment [d, d], and e of its rows that are a lower triangle: pivoted Cholesky.

    In plain numpy, as LAPACK differs between processors. It ends where what is left is noise.
    """
    rest, axes, chosen = moment.copy(), [], list[int]()
    while len(chosen) < len(moment) and rest.diagonal().max() > MIN_AXIS**2 * moment.diagonal().max():
        pivot = int(rest.diagonal().argmax())
        axis = rest[:, pivot] / np.sqrt(rest[pivot, pivot])
        axis[chosen] = 0
        rest -= axis[:, None] * axis
        rest[pivot] = rest[:, pivot] = 0
        axes.append(axis)
        chosen.append(pivot)
    return np.stack(axes, 1), chosen


def _inverse(lower: np.ndarray) -> np.ndarray:
    """The inverse of a lower triangle [e, e], by substitution."""
    inverse = np.zeros_like(lower)
    for i, row in enumerate(np.eye(len(lower))):
        for k in range(i):
            row -= lower[i, k] * inverse[k]
        inverse[i] = row / lower[i, i]
    return inverse


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a [n, d] @ b [d, e] float64, summed in the order of d on every machine."""
    total = np.zeros((len(a), b.shape[1]))
    for k in range(len(b)):
        total += a[:, [k]] * b[k]
    return total


def save(path: Path, space: Space) -> None:
    """Write the space to a .npz file."""
    write_npz(path, mean=space.mean, axes=space.axes, inverse=space.inverse)


def load(path: Path) -> Space:
    """Read a file written by `save`."""
    with np.load(path, allow_pickle=False) as file:
        return Space(file["mean"], file["axes"], file["inverse"])
