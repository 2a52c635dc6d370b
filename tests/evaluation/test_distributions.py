"""Pairs of watched and of other items, their scores, and the densities of the scores."""

from retrieval.evaluation.distributions import BINS, densities, sample, scores
from retrieval.matrices import Model

import numpy as np
import pytest
import scipy.sparse as sp


def world(users: int = 300, items: int = 90) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    draw = np.random.default_rng(0).random((users, items))
    draw[7] = 0.5  # watched nothing
    return sp.csr_matrix(draw < 0.1, dtype=np.float32), sp.csr_matrix(draw > 0.8, dtype=np.float32)


def test_samples_are_all_watched_items_and_random_others() -> None:
    watched, excluded = world()
    pairs = sample(watched, excluded, 280, 70, np.random.default_rng(1))
    users = pairs["watched"].users
    assert len(users) == 280
    assert (np.diff(users) > 0).all()
    assert 7 not in users
    mine = pairs["watched"]
    np.testing.assert_array_equal(
        sp.csr_matrix((np.ones(len(mine.row)), (mine.row, mine.item)), (280, 90)).toarray(), watched[users].toarray()
    )
    free = (watched + excluded)[users].toarray() == 0
    other = pairs["other"]
    assert free[other.row, other.item].all()
    assert len(set(zip(other.row, other.item, strict=True))) == len(other.row)
    np.testing.assert_array_equal(np.bincount(other.row, minlength=280), np.minimum(free.sum(axis=1), 70))
    assert (np.diff(other.row) >= 0).all()
    assert (np.diff(mine.row) >= 0).all()


def test_every_unwatched_item_is_drawn_equally_often() -> None:
    watched = sp.csr_matrix(np.eye(1, 11, dtype=np.float32).repeat(4000, axis=0))
    other = sample(watched, watched, 4000, 2, np.random.default_rng(1))["other"]
    counts = np.bincount(other.item)
    assert counts[0] == 0
    np.testing.assert_allclose(counts[1:], 800, rtol=0.15)  # 4000 users, 2 of 10 items each


def test_scores_are_left_times_right_without_the_users_bias() -> None:
    rng = np.random.default_rng(3)
    left, right = rng.random((300, 4), dtype=np.float32), rng.random((90, 4), dtype=np.float32)
    right[:, 2] = 1  # column 2 of left is the user's bias
    model = Model("m", "vectors", left, right, np.arange(300), np.arange(90), {})
    for pairs in sample(*world(), 200, 5, rng).values():
        rest = [0, 1, 3]
        expected = (left[pairs.users[pairs.row]][:, rest] * right[pairs.item][:, rest]).sum(axis=1)
        np.testing.assert_allclose(scores(model, pairs), expected, rtol=1e-5)


def test_densities_integrate_to_one_and_have_the_mean_of_the_sample() -> None:
    rng = np.random.default_rng(4)
    samples = {"low": rng.normal(0, 1, 20000), "high": rng.normal(3, 1, 20000), "none": np.array([])}
    series = densities(samples)
    assert len(series) == BINS
    width = series[1]["score"] - series[0]["score"]
    for name, mean in (("low", 0), ("high", 3)):
        density = np.array([row[name] for row in series])
        assert density.sum() * width == pytest.approx(1, abs=0.01)
        middle = np.array([row["score"] for row in series])
        assert (density * middle).sum() / density.sum() == pytest.approx(mean, abs=0.05)
    assert all(row["none"] == 0 for row in series)


def test_equal_scores_are_in_one_bin_of_density_one() -> None:
    series = densities({"a": np.full(9, 2.0)})
    assert series[0]["score"] == pytest.approx(2 + 1 / BINS / 2)  # 50 bins from 2 to 3
    assert series[0]["a"] == pytest.approx(BINS)
    assert all(row["a"] == 0 for row in series[1:])
