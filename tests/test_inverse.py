"""The inverse is that of LAPACK, and the same to the bit with any number of threads."""

from retrieval import inverse
from retrieval.inverse import invert

import numpy as np
import pytest
from scipy.linalg import inv
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inverse, "BLOCK", 8)


def positive(count: int, least: float = 1.0) -> np.ndarray:
    """[count, count] of five random vectors, with `least` as all but five of the eigenvalues."""
    vectors = np.random.default_rng(count).random((5, count))
    return vectors.T @ vectors + least * np.eye(count)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 50])
def test_equals_lapack(count: int) -> None:
    matrix = positive(count)
    expected = inv(matrix)
    invert(matrix, "inverse")
    np.testing.assert_allclose(matrix, expected, rtol=1e-9, atol=1e-12)
    assert (matrix == matrix.T).all()


def test_by_hand() -> None:
    """[[4, 2], [2, 3]] has the determinant 8, so its inverse is [[3, -2], [-2, 4]] / 8."""
    matrix = np.array([[4.0, 2.0], [2.0, 3.0]])
    invert(matrix, "inverse")
    np.testing.assert_allclose(matrix, [[0.375, -0.25], [-0.25, 0.5]], rtol=1e-15)


def test_reads_the_lower_half_only() -> None:
    matrix = positive(20)
    half = np.where(np.tri(20, dtype=bool), matrix, np.nan)
    invert(matrix, "inverse")
    invert(half, "inverse")
    assert (half == matrix).all()


def test_is_as_exact_as_lapack_where_columns_are_nearly_dependent() -> None:
    """Eigenvalues from 1e-5 to 64. Shorter code, which sweeps block after block out of the matrix, is off by 1e-5."""
    matrix = positive(50, least=1e-5)
    ours, theirs = matrix.copy(), inv(matrix, assume_a="pos")
    invert(ours, "inverse")
    assert abs(matrix @ ours - np.eye(50)).max() < 10 * abs(matrix @ theirs - np.eye(50)).max()


def test_any_number_of_threads_computes_the_same_bits() -> None:
    inverses = []
    for threads in (1, 2, 5):
        matrix = positive(50)
        with threadpool_limits(threads, "blas"):
            invert(matrix, "inverse")
        inverses.append(matrix)
    assert (inverses[0] == inverses[1]).all()
    assert (inverses[0] == inverses[2]).all()


def test_refuses_a_matrix_that_is_not_positive_definite() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        invert(np.diag([1.0] * 10 + [-1.0]), "inverse")
