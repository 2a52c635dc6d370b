"""The space of the indexes: the nearest points are the items with the best scores."""

from pathlib import Path

from retrieval.search import space

import faiss
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st


def matrices_far_from_the_origin(offset: float) -> tuple[np.ndarray, np.ndarray]:
    """left [50, 16] and right [2000, 16]; in left's last column no user varies, as in that of a bias."""
    rng = np.random.default_rng(0)
    right = (rng.normal(size=(2000, 16)) + offset).astype(np.float32)
    return np.c_[rng.normal(size=(50, 15)), np.ones(50)].astype(np.float32), right


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.floats(0, 100), st.floats(0, 1))
def test_the_nearest_points_are_the_best_scores_whatever_the_matrices(seed, width, offset, spread):
    """Vectors far from the origin, of different lengths, and with a direction in which no user varies."""
    rng = np.random.default_rng(seed)
    right = (rng.normal(size=(200, width)) * np.exp(spread * rng.normal(size=(200, 1))) + offset).astype(np.float32)
    left = np.c_[rng.normal(size=(50, width - 1)), np.ones(50)].astype(np.float32)
    fitted = space.fit(left, right)
    points, queries = fitted.items(right), fitted.query(left)
    assert np.ptp(np.linalg.norm(points.astype(float), axis=1)) < 1e-3 * np.linalg.norm(points[0])
    best = (left.astype(float) @ right.astype(float).T).max(1)
    nearest = np.square(queries[:, None].astype(float) - points[None].astype(float)).sum(2).argmin(1)
    scores = (left.astype(float) * right.astype(float)[nearest]).sum(1)
    np.testing.assert_allclose(scores, best, rtol=1e-3, atol=1e-3 * np.abs(right).max())


def test_without_the_space_a_graph_of_vectors_far_from_the_origin_finds_little():
    """Why there is a space: an offset that changes no ranking ruins the recall of plain inner products."""
    left, right = matrices_far_from_the_origin(5)
    best = np.argsort(-(left @ right.T), axis=1)[:, :10]

    def recall(points: np.ndarray, queries: np.ndarray, metric: int) -> float:
        graph = faiss.IndexHNSWFlat(points.shape[1], 16, metric)
        graph.hnsw.efSearch = 128
        graph.add(points)
        rows = graph.search(queries, 10)[1]
        return float(np.mean([len(np.intersect1d(a, b)) for a, b in zip(rows, best, strict=True)])) / 10

    fitted = space.fit(left, right)
    assert recall(right, left, faiss.METRIC_INNER_PRODUCT) < 0.75
    assert recall(fitted.items(right), fitted.query(left), faiss.METRIC_L2) > 0.95


def test_directions_in_which_no_user_varies_are_dropped():
    left, right = matrices_far_from_the_origin(0)
    left[:, 0] = 0
    fitted = space.fit(left, right)
    assert fitted.axes.shape == fitted.inverse.shape == (16, 15)
    assert fitted.items(right).shape == (2000, 16)
    np.testing.assert_allclose(fitted.axes.T @ fitted.inverse, np.eye(15), atol=1e-5)


def test_a_space_is_the_same_after_saving_and_loading(tmp_path: Path):
    left, right = matrices_far_from_the_origin(1)
    fitted = space.fit(left, right)
    space.save(tmp_path / "space.npz", fitted)
    loaded = space.load(tmp_path / "space.npz")
    np.testing.assert_array_equal(loaded.items(right), fitted.items(right))
    np.testing.assert_array_equal(loaded.query(left), fitted.query(left))
