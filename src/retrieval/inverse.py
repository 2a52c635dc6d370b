"""The inverse of a large positive definite matrix on all cores, with the same bits whatever their number.

By Cholesky's factors A = L L', block by block. Nearly all the work are products of blocks, which run side by side, each
on one thread. As in LAPACK's potrf and potri, it takes n^3 multiplications and no second matrix.
Source: Golub and Van Loan, "Matrix computations", 4.2.
"""

from concurrent.futures import Executor
from functools import partial

from retrieval.progress import Advance, progress
from retrieval.ranking import side_by_side

import numpy as np
from scipy.linalg import solve_triangular

BLOCK = 512  # rows and columns; another number has other last bits


def invert(matrix: np.ndarray, title: str) -> None:
    """Replace `matrix` [n, n] float64, symmetric and positive definite, by its inverse. Reads its lower half only.

    `title`: of the progress. Takes BLOCK further rows of memory per core. Raises numpy's `LinAlgError` if the matrix is
    not positive definite.
    """
    blocks = [slice(start, min(start + BLOCK, len(matrix))) for start in range(0, len(matrix), BLOCK)]
    with progress(title, 2 * len(blocks), "blocks") as advance, side_by_side() as (pool, _):
        diagonal = _factorize(matrix, blocks, pool, advance)
        for _ in pool.map(partial(_solve, matrix, blocks, diagonal), range(len(blocks))):
            advance(1)
    for rows in blocks:
        matrix[rows.stop :, rows] = matrix[rows, rows.stop :].T
        square = np.triu(matrix[rows, rows])
        matrix[rows, rows] = square + np.triu(square, 1).T


def _factorize(matrix: np.ndarray, blocks: list[slice], pool: Executor, advance: Advance) -> list[np.ndarray]:
    """Replace the blocks below the diagonal by those of L; returns the inverses of L's blocks on the diagonal."""
    diagonal = []
    for place, block in enumerate(blocks):
        factor = np.linalg.cholesky(matrix[block, block])
        diagonal.append(solve_triangular(factor, np.eye(len(factor)), lower=True))
        below = blocks[:place:-1]  # the longest rows first
        list(pool.map(partial(_scale, matrix, block, diagonal[-1]), below))
        list(pool.map(partial(_subtract, matrix, block), below))
        advance(1)
    return diagonal


def _scale(matrix: np.ndarray, block: slice, inverse: np.ndarray, rows: slice) -> None:
    matrix[rows, block] = matrix[rows, block] @ inverse.T


def _subtract(matrix: np.ndarray, block: slice, rows: slice) -> None:
    columns = slice(block.stop, rows.stop)
    matrix[rows, columns] -= matrix[rows, block] @ matrix[columns, block].T


def _solve(matrix: np.ndarray, blocks: list[slice], diagonal: list[np.ndarray], first: int) -> None:
    """Write the inverse's columns of a block, from the diagonal down, as rows above the diagonal, where L is not."""
    start, rest = blocks[first].start, list(zip(blocks, diagonal, strict=True))[first:]
    column = np.zeros((len(matrix) - start, len(diagonal[first])))
    np.fill_diagonal(column, 1)
    for block, inverse in rest:  # L Y = I
        part = column[block.start - start : block.stop - start]
        part -= matrix[block, start : block.start] @ column[: block.start - start]
        part[:] = inverse @ part
    for block, inverse in reversed(rest):  # L' X = Y
        part = column[block.start - start : block.stop - start]
        part -= matrix[block.stop :, block].T @ column[block.stop - start :]
        part[:] = inverse.T @ part
    matrix[blocks[first], start:] = column.T
