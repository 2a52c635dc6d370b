"""The map puts near what has a small angle between, and reads no bias."""

from retrieval.matrices import Model
from retrieval.projection import project, taste

import numpy as np


def test_constant_columns_of_either_side_are_no_taste() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.random((5, 4)), rng.random((6, 4))
    left[:, 1] = 1
    right[:, 3] = 1
    assert taste(Model("m", left, right, np.arange(5), np.arange(6), {})).tolist() == [True, False, True, False]


def test_two_directions_are_two_clusters() -> None:
    rng = np.random.default_rng(0)
    vectors = np.repeat([[5.0, 0, 0], [0, 1, 1]], 40, axis=0) + rng.normal(0, 0.1, (80, 3))
    vectors *= 10 ** rng.uniform(-2, 2, (80, 1))  # lengths say nothing
    places = project(vectors, seed=1)
    first, second = places[:40], places[40:]
    inner = max(np.linalg.norm(part - part.mean(axis=0), axis=1).mean() for part in (first, second))
    assert np.linalg.norm(first.mean(axis=0) - second.mean(axis=0)) > 2 * inner
    assert (places == project(vectors, seed=1)).all()


def test_few_points_have_a_map_too() -> None:
    for count in range(6):
        assert np.isfinite(project(np.eye(6)[:count], seed=0)).all()
