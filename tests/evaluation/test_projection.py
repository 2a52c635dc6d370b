"""Maps: vectors with a small angle between them are near, and biases are ignored."""

import sys
from types import SimpleNamespace

from retrieval.evaluation import projection
from retrieval.evaluation.options import Evaluation
from retrieval.evaluation.projection import MIN_POINTS, project, taste
from retrieval.matrices import Model

import numpy as np
import pytest
from worlds import section


def test_dimensions_that_are_constant_on_either_side_are_no_taste() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.random((5, 4)), rng.random((6, 4))
    left[:, 1] = 1
    right[:, 3] = 1
    assert taste(Model("m", "vectors", left, right, np.arange(5), np.arange(6), {})).tolist() == [
        True,
        False,
        True,
        False,
    ]


def test_two_directions_are_two_clusters() -> None:
    rng = np.random.default_rng(0)
    vectors = np.repeat([[5.0, 0, 0], [0, 1, 1]], 40, axis=0) + rng.normal(0, 0.1, (80, 3))
    vectors *= 10 ** rng.uniform(-2, 2, (80, 1))  # lengths say nothing
    points = project(vectors, 1, "tsne")
    first, second = points[:40], points[40:]
    inner = max(np.linalg.norm(part - part.mean(axis=0), axis=1).mean() for part in (first, second))
    assert np.linalg.norm(first.mean(axis=0) - second.mean(axis=0)) > 2 * inner
    assert (points == project(vectors, 1, "tsne")).all()


@pytest.mark.parametrize("count", range(MIN_POINTS))
def test_too_few_points_are_all_in_the_middle(count: int) -> None:
    assert project(np.eye(6)[:count], 0, "tsne").tolist() == [[0, 0]] * count


def test_the_fewest_points_that_have_a_map_are_apart() -> None:
    points = project(np.eye(6)[:MIN_POINTS], 0, "tsne")
    assert points.shape == (MIN_POINTS, 2)
    assert len(np.unique(points, axis=0)) == MIN_POINTS


def test_umap_is_refused_where_it_is_missing_and_used_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    options = section("evaluate", map="umap")
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
