"""The space that indexes search: inner products become distances, and no ranking changes.

A graph or a clustering of the items finds the best inner products only if nearby items have similar scores. Three steps
give any two matrices this property; none of them changes the order of a user's items:
    centre    right - mean(right): lowers all scores of a user by the same number
    whiten    right T and left T^-1, with T the principal axes of left times their root mean square: a step of a given
              length changes scores by the same amount in every direction
    lift      one more coordinate, sqrt(max |r|^2 - |r|^2), gives all items the same length: the nearest by distance are
              then the best by inner product. Bachrach et al. 2014, "Speeding up the Xbox recommender system using a
              euclidean transformation for inner-product spaces"
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

MIN_AXIS = 1e-4  # share of the longest axis of `left`; shorter axes are float32 noise
MAX_ROWS = 100_000  # rows of `left` from which the axes are computed


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
        rows = (right - self.mean) @ self.axes
        square = np.square(rows).sum(1)
        return np.ascontiguousarray(np.c_[rows, np.sqrt(square.max() - square)], np.float32)

    def query(self, left: np.ndarray) -> np.ndarray:
        """[users, e + 1] float32 for left [users, d]: the points nearest to a query are its best items."""
        rows = left @ self.inverse
        return np.ascontiguousarray(np.c_[rows, np.zeros(len(rows))], np.float32)


def fit(left: np.ndarray, right: np.ndarray) -> Space:
    """The space of two dense matrices, left [users, d] and right [items, d]."""
    rows = np.asarray(left[:: -(-len(left) // MAX_ROWS)], np.float64)
    moment = rows.T @ rows / len(rows)
    square, axes = np.linalg.eigh(moment)
    above_noise = square > (MIN_AXIS**2) * square[-1]
    size, axes = np.sqrt(square[above_noise]), axes[:, above_noise]
    return Space(np.asarray(right).mean(0), (axes * size).astype(np.float32), (axes / size).astype(np.float32))


def save(path: Path, space: Space) -> None:
    """Write the space to a .npz file."""
    np.savez(path, mean=space.mean, axes=space.axes, inverse=space.inverse)


def load(path: Path) -> Space:
    """Read a file written by `save`."""
    with np.load(path, allow_pickle=False) as file:
        return Space(file["mean"], file["axes"], file["inverse"])
