"""The space that nearest-neighbour indexes search: inner products become distances, and no ranking changes.

A graph or a clustering of the items finds the best inner products only where near items have near scores. Three steps
bring any two matrices there, none of which changes the order of a user's items:
    centre    right - mean(right): every item's score for a user is lower by the same number
    whiten    right T and left T^-1, where T is the principal axes of left times their root mean square: a step of one
              length changes scores as much in any direction
    lift      one more coordinate sqrt(max |r|^2 - |r|^2) gives all items one length, so that the nearest by distance
              are the best by inner product: Bachrach et al. 2014, "Speeding up the Xbox recommender system using a
              euclidean transformation for inner-product spaces"
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

LEAST = 1e-4  # of the largest axis of `left`: what varies less is noise of float32
SAMPLE = 100_000  # rows of `left` that the axes are worked out of, at most


@dataclass(frozen=True)
class Space:
    """`mean` [d] of right, `axes` [d, e] of right's rows (T) and `inverse` [d, e] of left's (T^-1 transposed)."""

    mean: np.ndarray
    axes: np.ndarray
    inverse: np.ndarray

    def items(self, right: np.ndarray) -> np.ndarray:
        """[items, e + 1] float32, the points that an index holds, all of one length."""
        rows = (right - self.mean) @ self.axes
        square = np.square(rows).sum(1)
        return np.ascontiguousarray(np.c_[rows, np.sqrt(square.max() - square)], np.float32)

    def query(self, left: np.ndarray) -> np.ndarray:
        """[users, e + 1] float32 of rows of left [users, d]: the nearest points are the items with the best scores."""
        rows = left @ self.inverse
        return np.ascontiguousarray(np.c_[rows, np.zeros(len(rows))], np.float32)


def fit(left: np.ndarray, right: np.ndarray) -> Space:
    """The space of two dense matrices, left [users, d] and right [items, d]."""
    rows = np.asarray(left[:: -(-len(left) // SAMPLE)], np.float64)
    moment = rows.T @ rows / len(rows)
    square, axes = np.linalg.eigh(moment)
    kept = square > (LEAST**2) * square[-1]
    size, axes = np.sqrt(square[kept]), axes[:, kept]
    return Space(np.asarray(right).mean(0), (axes * size).astype(np.float32), (axes / size).astype(np.float32))


def save(path: Path, space: Space) -> None:
    """Write the space to a .npz file."""
    np.savez(path, mean=space.mean, axes=space.axes, inverse=space.inverse)


def load(path: Path) -> Space:
    """Read the file that `save` wrote."""
    with np.load(path, allow_pickle=False) as file:
        return Space(file["mean"], file["axes"], file["inverse"])
