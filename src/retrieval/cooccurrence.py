"""Co-occurrence: what is watched together, added to the scores of a model of vectors as further columns.

Towers learn what predicts the next item; what any item of a history says about the others is learned faster by a linear
model, a ridge regression of the histories X [users, items] on themselves. Within the span of an orthonormal basis Q
[items, r] it scores the items of a history x by

    x Q M Q',    M = (T + lambda I)^-1 T,    T = Q' X' X Q

which is a row of left, x Q M, and a row of right, Q, again. Sources: Steck 2019, "Embarrassingly shallow autoencoders
for sparse data"; Halko, Martinsson and Tropp 2011, "Finding structure with randomness", for Q.
"""

from dataclasses import dataclass
from typing import Annotated

from retrieval.matrices import grid_step, snap
from retrieval.params import AUTO, Positive, Section

import numpy as np
import scipy.sparse as sp
from pydantic import Field

FILE = "cooccurrence.npy"  # in the folder of a model: Q M
ITERATIONS = 5  # of the subspace; with more, metrics change as with another seed
BLOCK = 2**16  # users at a time


class Cooccurrence(Section):
    """`weight`: of the standard deviation of these scores over the items, relative to that of the towers' scores.

    auto: what held-out items say, see `training.weighing`. rank: number of columns. regularization: lambda, in
    interactions.
    """

    weight: Annotated[float, Field(ge=0, le=10), AUTO]
    rank: Positive
    regularization: Annotated[float, Field(ge=1e-3, le=1e9)]


def factors(seen: sp.csr_matrix, options: Cooccurrence, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Q M and Q, [items, r] float64 each, of who watched what, `seen` [users, items] of ones.

    r is `rank`, or the number of items if that is less. Q spans about the same as the first r right singular vectors of
    `seen`: a random start is multiplied by X'X + lambda I and orthonormalised, ITERATIONS times.
    """
    items, penalty = seen.shape[1], options.regularization
    start = np.random.default_rng(seed).standard_normal((items, min(options.rank, items)))
    basis = np.linalg.qr(start)[0]
    for _ in range(ITERATIONS):
        basis = np.linalg.qr(_gram_times(seen, basis) + penalty * basis)[0]
    inner = basis.T @ _gram_times(seen, basis)
    return basis @ np.linalg.solve(inner + penalty * np.eye(len(inner)), inner), basis


def _gram_times(seen: sp.csr_matrix, basis: np.ndarray) -> np.ndarray:
    """X' X Q, block by block: X Q of all users would be the largest matrix of all."""
    result = np.zeros_like(basis)
    for start in range(0, seen.shape[0], BLOCK):
        block = seen[start : start + BLOCK]
        result += block.T @ (block @ basis)
    return result


@dataclass(frozen=True)
class Blended:
    """A model's matrices with these columns, and what `Blend` needs beside them and the weight; no `read` for 0."""

    left: np.ndarray
    right: np.ndarray
    read: np.ndarray | None = None
    step: float = 0.0


class Blend:
    """Rows of left from those of the model alone and the histories.

    right [items, e + r] of the blended model; `read` [items, r] is Q M; step: of the grid of left, see `matrices`.
    """

    def __init__(self, right: np.ndarray, read: np.ndarray, weight: float, step: float = 0.0) -> None:
        exact, own = np.asarray(right, np.float64), right.shape[1] - read.shape[1]
        self.read, self.weight, self.step = read.astype(np.float64), weight, step
        self._model, self._columns = covariance(exact[:, :own]), covariance(exact[:, own:])

    def left(self, rows: np.ndarray, histories: sp.csr_matrix) -> np.ndarray:
        """[n, e + r] float32 on the grid, of rows [n, e] of the model alone and histories [n, items] of ones."""
        return (np.rint(self.exact(rows, histories) / self.step) * self.step).astype(np.float32)

    def exact(self, rows: np.ndarray, histories: sp.csr_matrix) -> np.ndarray:
        """As `left`, float64 before it is rounded. A user without a history gets zeros."""
        rows, columns = np.asarray(rows, np.float64), histories @ self.read
        own = spread(columns, self._columns)
        factor = self.weight * spread(rows, self._model) / np.where(own > 0, own, 1)
        return np.hstack([rows, factor[:, None] * columns])


def spread(left: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """The standard deviation over the items of the scores of each row of left [n, d], [n]."""
    return np.sqrt(np.maximum(((left @ covariance) * left).sum(axis=1), 0))


def blend(left: np.ndarray, right: np.ndarray, seen: sp.csr_matrix, options: Cooccurrence, seed: int) -> Blended:
    """Add the columns to left [users, e] and right [items, e] with the weight of `options`, a number.

    The scale of the columns is shared by both sides evenly. With weight 0 there are none.
    """
    weight = float(options.weight)
    if not weight:
        return Blended(left, right)
    read, basis = factors(seen, options, seed)
    variance = np.trace(covariance(right)) / max(np.trace(covariance(basis)), np.finfo(float).tiny)
    read, right = snap(read), snap(np.hstack([right, np.sqrt(weight * variance) * basis]))
    maker, out = Blend(right, read, weight), np.empty((len(left), right.shape[1]), np.float32)
    parts = [slice(start, start + BLOCK) for start in range(0, len(left), BLOCK)]
    maker.step = grid_step(max(float(np.abs(maker.exact(left[part], seen[part])).max()) for part in parts))
    for part in parts:
        out[part] = maker.left(left[part], seen[part])
    return Blended(out, right, read, maker.step)


def covariance(matrix: np.ndarray) -> np.ndarray:
    """[d, d] of the columns of matrix [n, d]."""
    centred = np.asarray(matrix, np.float64) - np.mean(matrix, axis=0, dtype=np.float64)
    return centred.T @ centred / len(centred)
