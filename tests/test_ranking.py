"""The ranking is a full stable sort by falling score, whatever the matrices are made of."""

import threading

from retrieval import ranking
from retrieval.ranking import rank, rankings

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

KINDS = [("dense", "dense"), ("sparse", "dense"), ("sparse", "sparse"), ("dense", "sparse")]


def full_sort(scores: np.ndarray, k: int, seen: np.ndarray) -> list[list[int]]:
    """The slow twin: Python's own sort, a user at a time."""
    return [
        sorted((i for i in range(scores.shape[1]) if not watched[i]), key=lambda i: (-row[i], i))[:k]
        for row, watched in zip(scores, seen, strict=True)
    ]


def lists(items: np.ndarray) -> list[list[int]]:
    return [[int(i) for i in row if i >= 0] for row in items]


def whole(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Small whole numbers, many of them 0: products are exact, and ties are everywhere."""
    return rng.integers(-2, 3, (rows, columns)).astype(np.float32) * (rng.random((rows, columns)) < 0.5)


@pytest.mark.parametrize(("left_kind", "right_kind"), KINDS)
@pytest.mark.parametrize("items", [1, 9, 64, 65, 1000])
def test_equals_a_full_sort(left_kind: str, right_kind: str, items: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "SCORES", 64 * items)  # 150 users are three blocks, the last one short
    rng = np.random.default_rng(items)
    left, right = whole(rng, 150, 5), whole(rng, items, 5)
    seen = rng.random((150, items)) < 0.3
    made = {"dense": np.asarray, "sparse": sp.csr_matrix}
    mask = sp.csr_matrix(seen, dtype=np.float32)
    result = rank(made[left_kind](left), made[right_kind](right), np.arange(150), 10, mask)
    assert lists(result.items) == full_sort(left @ right.T, 10, seen)
    assert result.items.dtype == np.int32
    assert result.scores.dtype == np.float32
    row, place = np.nonzero(result.items >= 0)
    assert (result.scores[row, place] == (left @ right.T)[row, result.items[row, place]]).all()
    assert np.isneginf(result.scores[result.items < 0]).all()


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.integers(1, 30), st.sampled_from([0.0, 0.2, 0.98]))
def test_equals_a_full_stable_sort_for_any_shape(seed: int, items: int, k: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    left, right = whole(rng, 7, 3), whole(rng, items, 3)
    seen = rng.random((7, items)) < density
    result = rank(left, right, np.arange(7), k, sp.csr_matrix(seen, dtype=np.float32))
    assert lists(result.items) == full_sort(left @ right.T, k, seen)


@pytest.mark.parametrize("k", [1, 16, 17, 100, 1000])
@pytest.mark.parametrize("kind", ["different", "mostly equal", "all equal", "mostly left out"])
def test_any_k_of_a_thousand_items_equals_a_full_stable_sort(kind: str, k: int) -> None:
    rng = np.random.default_rng(k)
    right, left = rng.standard_normal((1000, 1), dtype=np.float32), np.array([[1], [-2], [0]], np.float32)
    some = rng.random(1000) < 0.02
    if kind == "mostly equal":
        right[~some] = 0
    if kind == "all equal":
        right[:] = 7
    seen = np.tile(~some if kind == "mostly left out" else some, (3, 1))
    result = rank(left, right, np.arange(3), k, sp.csr_matrix(seen, dtype=np.float32))
    assert lists(result.items) == full_sort(left @ right.T, k, seen)


def test_scores_that_are_no_numbers_still_make_lists() -> None:
    """A model may diverge in the last step before it is judged; the next epoch says so."""
    scores = ranking.blank(2, 64, 3)
    scores[0] = np.nan
    scores[1] = -np.arange(64)
    assert ranking.top(scores, 3)[0].tolist() == [[0, 1, 2], [0, 1, 2]]


def test_two_rankings_by_the_same_scores_are_those_that_each_has_by_its_own() -> None:
    rng = np.random.default_rng(3)
    left, right, users = whole(rng, 300, 4), whole(rng, 70, 4), np.arange(10, 290)
    seen, own = (sp.random(300, 70, 0.2, "csr", np.float32, rng) for _ in range(2))
    found = rankings(left, right, users, [(3, None), (20, seen)], own=own)
    expected = rank(left, right, users, 3, own=own), rank(left, right, users, 20, seen, own=own)
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one.items, other.items)
        assert np.array_equal(one.scores, other.scores)


def test_real_scores_of_either_sign_and_both_zeros() -> None:
    values = np.array([0.5, -0.0, 0.0, -1e-40, 1e-40, -3.5, 3e38, -3e38, 0.5], dtype=np.float32)
    result = rank(np.ones((1, 1), np.float32), values[:, None], np.array([0]), 9)
    # 3e38, 0.5 (items 0 and 8), 1e-40, then -0 and 0, which are equal (items 1 and 2), -1e-40, -3.5, -3e38
    assert result.items[0].tolist() == [6, 0, 8, 4, 1, 2, 3, 5, 7]


def test_a_popular_model_ties_at_the_border() -> None:
    counts = np.ones((5000, 1), dtype=np.float32)
    counts[[4000, 70]] = 9
    seen = sp.csr_matrix(([1.0, 1.0], ([1, 1], [0, 70])), shape=(2, 5000), dtype=np.float32)
    result = rank(np.ones((2, 1), np.float32), counts, np.arange(2), 5, seen)
    assert result.items.tolist() == [[70, 4000, 0, 1, 2], [4000, 1, 2, 3, 4]]


def test_ranks_the_users_that_it_is_asked_for() -> None:
    left = np.array([[1], [-1], [2]], dtype=np.float32)
    right = np.array([[1], [3], [2]], dtype=np.float32)
    seen = sp.csr_matrix(np.array([[0, 0, 0], [0, 0, 0], [0, 1, 0]], dtype=np.float32))
    assert rank(left, right, np.array([2, 1]), 2, seen).items.tolist() == [[2, 0], [0, 2]]
    assert rank(left, right, np.array([], dtype=np.int64), 2).items.shape == (0, 2)


@pytest.mark.parametrize("factors", [[2, 2, 2], [2, -1, 2]])
def test_a_popularity_is_ranked_as_any_other_model(factors: list[float]) -> None:
    """Scores 2, 6, 4 for a factor of 2; for -1 they are -1, -3, -2. Without what they have seen, users differ."""
    left, right = np.array(factors, np.float32)[:, None], np.array([[1], [3], [2]], np.float32)
    orders = {2: [1, 2, 0], -1: [0, 2, 1]}
    assert rank(left, right, np.arange(3), 3).items.tolist() == [orders[factor] for factor in factors]
    seen = sp.csr_matrix(np.array([[0, 1, 0], [0, 0, 0], [0, 0, 0]], dtype=np.float32))
    assert rank(left, right, np.arange(3), 1, seen).items[0, 0] == 2, "the best that is left of 2, 6, 4 without 6"


def test_the_number_of_threads_changes_no_bit() -> None:
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((rows, 128), dtype=np.float32) for rows in (1500, 15706))
    found = []
    for number in (1, 2, 3):
        with threadpool_limits(number, "blas"):
            found.append(rank(left, right, np.arange(1500), 10))
    for other in found[1:]:
        assert np.array_equal(other.items, found[0].items)
        assert np.array_equal(other.scores.view(np.int32), found[0].scores.view(np.int32))


@pytest.mark.parametrize("threads", [1, 2])
def test_as_many_blocks_run_at_once_as_blas_has_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "SCORES", 64)  # 64 users per block
    met, parts = threading.Barrier(threads, timeout=300), []  # broken if a block has to end before the next begins

    def work(part: slice, scores: np.ndarray) -> None:
        met.wait()
        parts.append(part.start)

    with threadpool_limits(threads, "blas"):
        ranking.each_block(work, np.ones((256, 1), np.float32), np.ones((1, 1), np.float32), np.arange(256))
    assert sorted(parts) == [0, 64, 128, 192]


def test_an_error_in_a_block_ends_the_ranking() -> None:
    left = right = np.ones((1000, 1), np.float32)
    unfit = sp.csr_matrix((999, 1000), dtype=np.float32)
    with pytest.raises(IndexError):
        rank(left, right, np.arange(1000), 10, unfit)


def test_scores_of_numbers_on_the_grid_are_exact_in_any_order() -> None:
    """Equal to sums of integers, rounded once: so is every other order of the columns, and every BLAS."""
    rng = np.random.default_rng(0)
    left, right = (rng.integers(-(2**20), 2**20, (rows, 130)) for rows in (9, 70))
    exact = (left @ right.T).astype(np.float64).astype(np.float32)
    for order in (np.arange(130), rng.permutation(130)):
        matrices = ((side[:, order] * 2.0**-20).astype(np.float32) for side in (left, right))
        scores = rank(*matrices, np.arange(9), 70)
        assert np.array_equal(np.take_along_axis(exact, scores.items, 1) * np.float32(2.0**-40), scores.scores)


def test_one_list_serves_all_users_of_a_constant_model() -> None:
    left, right = np.ones((5, 1), np.float32), np.array([[1], [3], [2]], np.float32)
    every = rank(left, right, np.arange(5), 2, constant=True)
    assert every.items.tolist() == [[1, 2]] * 5
    assert np.array_equal(every.items, rank(left, right, np.arange(5), 2).items)
