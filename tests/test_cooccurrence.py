"""Co-occurrence as further columns of a model's two matrices."""

from retrieval import matrices
from retrieval.cooccurrence import Blend, Cooccurrence, blend, factors, spread

import numpy as np
import pytest
import scipy.sparse as sp
from worlds import section


def options(**changes) -> Cooccurrence:
    return Cooccurrence(**section("cooccurrence", weight=0.1) | changes)


def planted(users: int = 60, items: int = 12, seed: int = 0) -> sp.csr_matrix:
    """Items come in pairs that are watched together, 2 i and 2 i + 1; each user has some pairs."""
    pairs = np.random.default_rng(seed).random((users, items // 2)) < 0.4
    return sp.csr_matrix(pairs.repeat(2, axis=1).astype(np.float32))


def test_with_all_dimensions_it_is_the_ridge_regression_of_the_histories_on_themselves():
    seen = planted() + sp.random(60, 12, 0.1, "csr", np.float32, np.random.default_rng(1))
    seen.data[:] = 1
    read, basis = factors(sp.csr_matrix(seen), options(rank=12, regularization=3.0), 0)
    gram = (seen.T @ seen).toarray().astype(float)
    expected = np.linalg.solve(gram + 3 * np.eye(12), gram)  # argmin |X - X B|^2 + 3 |B|^2
    assert read @ basis.T == pytest.approx(expected, abs=1e-12)


def test_a_few_dimensions_are_those_of_the_largest_singular_values():
    seen = planted(400, 40)  # of rank 20: pairs of equal columns
    read, basis = factors(seen, options(rank=20, regularization=1.0), 0)
    gram = (seen.T @ seen).toarray().astype(float)
    assert read @ basis.T == pytest.approx(np.linalg.solve(gram + np.eye(40), gram), abs=1e-3)
    assert basis.T @ basis == pytest.approx(np.eye(20), abs=1e-12)


def test_blocks_of_users_change_nothing(monkeypatch):
    seen, chosen = planted(), options(rank=4)
    whole = blend(np.ones((60, 2), np.float32), np.eye(12, 2, dtype=np.float32), seen, chosen, 0)
    monkeypatch.setattr("retrieval.cooccurrence.BLOCK", 7)
    parts = blend(np.ones((60, 2), np.float32), np.eye(12, 2, dtype=np.float32), seen, chosen, 0)
    assert np.array_equal(whole.left, parts.left)
    assert np.array_equal(whole.right, parts.right)


def test_the_weight_is_the_ratio_of_the_standard_deviations_of_the_two_parts_of_a_users_scores():
    random, seen = np.random.default_rng(0), planted()
    left, right = random.standard_normal((60, 3)).astype(np.float32), random.standard_normal((12, 3)).astype(np.float32)
    blended = blend(left, right, seen, options(weight=0.25, rank=5), 0)
    assert blended.left.shape == (60, 8)
    assert blended.right.shape == (12, 8)
    model, extra = blended.left[:, :3] @ blended.right[:, :3].T, blended.left[:, 3:] @ blended.right[:, 3:].T
    assert model == pytest.approx(left @ right.T, abs=1e-4)
    some = np.diff(seen.indptr) > 0
    assert extra[some].std(axis=1) / model[some].std(axis=1) == pytest.approx(0.25, rel=1e-4)
    read, basis = factors(seen, options(rank=5), 0)
    alone = seen @ read @ basis.T
    for user in np.flatnonzero(some):
        assert np.corrcoef(extra[user], alone[user])[0, 1] == pytest.approx(1, abs=1e-5)


def test_a_user_without_a_history_gets_zeros():
    seen = sp.vstack([planted(), sp.csr_matrix((1, 12), dtype=np.float32)]).tocsr()
    blended = blend(np.ones((61, 2), np.float32), np.eye(12, 2, dtype=np.float32), seen, options(rank=4), 0)
    assert not blended.left[60, 2:].any()
    assert blended.left[:60, 2:].any()


def test_scores_of_the_blended_matrices_are_exact_in_float64():
    """Products of numbers on two grids of 20 bits: any order of the sum gives the same bits."""
    random, seen = np.random.default_rng(0), planted()
    left, right = (matrices.snap(random.standard_normal((rows, 30))) for rows in (60, 12))
    blended = blend(left, right, seen, options(weight=2.0, rank=12), 0)
    left, right = blended.left.astype(np.float64), blended.right.astype(np.float64)
    scores = [sum(left[:, [i]] * right[:, i] for i in order) for order in (range(42), reversed(range(42)))]
    assert np.array_equal(*scores)


def test_spread_is_the_standard_deviation_over_the_items():
    # scores of [1, 2] for items (0, 0), (1, 1), (2, 2): 0, 3, 6; their deviation is sqrt(6)
    items = np.array([[0.0, 0], [1, 1], [2, 2]])
    covariance = np.cov(items, rowvar=False, bias=True)
    assert spread(np.array([[1.0, 2]]), covariance) == pytest.approx([6**0.5])


def test_blend_needs_only_what_a_model_folder_holds():
    seen, left = planted(), np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)
    right = np.random.default_rng(1).standard_normal((12, 3)).astype(np.float32)
    blended = blend(left, right, seen, options(rank=5), 0)
    again = Blend(blended.right, blended.read, 0.1, blended.step).left(left, seen)
    assert np.array_equal(again, blended.left)


def test_with_weight_0_the_matrices_are_those_of_the_model():
    left, right = np.ones((60, 2), np.float32), np.eye(12, 2, dtype=np.float32)
    blended = blend(left, right, planted(), options(weight=0.0), 0)
    assert blended.left is left
    assert blended.right is right
    assert blended.read is None
