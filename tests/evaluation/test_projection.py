"""The map puts near what has a small angle between, and reads no bias."""

import sys
from types import SimpleNamespace

from retrieval.evaluation import projection
from retrieval.evaluation.assessment import Evaluation
from retrieval.evaluation.projection import project, taste
from retrieval.matrices import Model

import numpy as np
import pytest


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
    places = project(vectors, 1, "tsne")
    first, second = places[:40], places[40:]
    inner = max(np.linalg.norm(part - part.mean(axis=0), axis=1).mean() for part in (first, second))
    assert np.linalg.norm(first.mean(axis=0) - second.mean(axis=0)) > 2 * inner
    assert (places == project(vectors, 1, "tsne")).all()


def test_few_points_have_a_map_too() -> None:
    for count in range(6):
        assert np.isfinite(project(np.eye(6)[:count], 0, "tsne")).all()


def test_umap_is_refused_where_it_is_missing_and_used_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"k": 10, "longest": 12, "head": 0.2, "resamples": 50, "negatives": 10, "points": 40, "map": "umap"}
    monkeypatch.setattr(projection, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="umap needs a package that is not installed: pip install umap-learn"):
        Evaluation(**options)

    class UMAP:
        def __init__(self, **options: object) -> None:
            assert options["random_state"] == 7

        def fit_transform(self, vectors: np.ndarray) -> np.ndarray:
            return vectors[:, :2] + 1

    monkeypatch.setattr(projection, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=UMAP))
    assert (project(np.eye(6), 7, Evaluation(**options).map) == np.eye(6)[:, :2] + 1).all()
