"""What the maps show, and by what their points are coloured."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from retrieval.drawing import maps as drawn
from retrieval.drawing import pictures
from retrieval.drawing.maps import _kinds, write_maps
from retrieval.evaluation.options import Evaluation
from retrieval.histories import Features, Histories
from retrieval.matrices import Model

import numpy as np
import pytest
import scipy.sparse as sp
from worlds import section

VOCABULARY = {"type": ["film", "series"], "genres": ["drama", "war"]}
OPTIONS = Evaluation(
    **section("evaluate", ks=[2, 3], head=0.25, resamples=10, negatives=2, points=3, map="tsne", candidates="train")
)
SEEN = np.array([[1, 0, 1, 0], [1, 0, 1, 1], [0, 0, 1, 0], [0, 0, 1, 0]], dtype=np.float32)  # counts 2, 0, 4, 1


def test_of_several_values_the_rarest_and_of_none_unknown() -> None:
    matrix = sp.csr_matrix(np.array([[1, 0, 1, 0], [0, 1, 1, 1], [0, 1, 0, 0], [1, 0, 1, 0]], dtype=np.float32))
    name, values = _kinds(matrix, VOCABULARY, "genres")
    assert name == "genres"
    assert values.tolist() == ["drama", "war", "unknown", "drama"]
    assert _kinds(matrix, VOCABULARY)[1].tolist() == ["film", "series", "series", "film"]
    assert _kinds(matrix, VOCABULARY, "studios")[0] == "type"


def test_of_counts_the_value_with_the_largest_share_of_all_rows() -> None:
    matrix = sp.csr_matrix(np.array([[0, 0, 9, 1], [0, 0, 4, 1], [0, 0, 7, 2]], dtype=np.float32))
    # shares of drama: 9/20, 4/20, 7/20; of war: 1/4, 1/4, 2/4
    assert _kinds(matrix, VOCABULARY, "genres")[1].tolist() == ["drama", "war", "war"]


def test_without_columns_all_are_unknown() -> None:
    assert _kinds(sp.csr_matrix((2, 0), dtype=np.float32), {})[1].tolist() == ["unknown", "unknown"]


def test_words_of_titles_are_no_kinds() -> None:
    spec = {"item_columns": {"type": ["film"], "title": ["dark"]}, "item_texts": {"title": [1.0]}}
    empty = sp.csr_matrix((1, 2), dtype=np.float32)
    histories = Histories(np.array([0, 0]), *(np.zeros(0, each) for each in (np.int32, np.int64, np.float32)))
    data = Features(histories, empty, empty, np.arange(1), np.arange(1), spec)
    assert data.categories == {"type": ["film"]}


def maps(monkeypatch: pytest.MonkeyPatch, user_columns: dict[str, list[str]]) -> tuple[dict[str, tuple], np.ndarray]:
    """The arguments with which each map is drawn, by file, and the test users. Points are the first two dimensions."""
    calls: dict[str, tuple] = {}

    def record(path: Path, *arguments: Any) -> None:
        calls[path.name] = arguments

    monkeypatch.setattr(pictures, "draw_map", record)
    monkeypatch.setattr(drawn, "project", lambda vectors, seed, kind: vectors[:, :2])
    monkeypatch.setattr(drawn, "ProcessPoolExecutor", lambda *_: ThreadPoolExecutor(1))  # a process has no patches
    seen = sp.csr_matrix(SEEN)
    histories = Histories(seen.indptr, seen.indices, np.zeros(seen.nnz, np.int64), np.ones(seen.nnz, np.float32))
    items = sp.csr_matrix(np.array([[1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1]], dtype=np.float32))
    users = sp.csr_matrix(np.eye(2, dtype=np.float32)[[0, 1, 0, 1]] if user_columns else np.zeros((4, 0), np.float32))
    spec = {"user_columns": user_columns, "item_columns": VOCABULARY}
    data = Features(histories, users, items, np.arange(4), np.arange(4), spec)
    test_users = np.array([1, 2])
    bias = np.ones((4, 1), np.float32)
    left, right = np.hstack([bias, VECTORS]), np.hstack([bias, VECTORS + 10])
    model = Model("dssm", "vectors", left, right, np.arange(4), np.arange(4), {})
    write_maps(Path("plots"), model, data, test_users, np.array(["A", "B", "C", "D"]), OPTIONS, seed=0)
    return calls, test_users


VECTORS = np.arange(8, dtype=np.float32).reshape(4, 2)


def test_the_map_of_items_is_of_the_most_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    title, points, (name, kinds), (amount, unit, counts), titles = maps(monkeypatch, {})[0]["items.png"]
    assert title == "Item vectors of dssm (t-SNE): near items go to the same users"
    np.testing.assert_array_equal(points, VECTORS[[2, 0, 3]] + 10)  # without the bias, in the order of popularity
    assert (name, kinds.tolist()) == ("genres", ["drama", "drama", "war"])
    assert (amount, unit, counts.tolist()) == ("popularity", "users per item", [4, 2, 1])
    assert titles.tolist() == ["C", "A", "D"]


def test_the_map_of_users_is_coloured_by_their_first_feature(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, test_users = maps(monkeypatch, {"sex": ["F", "M"]})
    title, points, kinds, (amount, unit, counts) = calls["users.png"]
    assert title == "User vectors of dssm (t-SNE): near users get the same items"
    np.testing.assert_array_equal(points, VECTORS[test_users])
    assert (kinds[0], kinds[1].tolist()) == ("sex", ["M", "F"])
    assert (amount, unit, counts.tolist()) == ("activity", "items per user", [3, 1])


def test_users_without_features_are_coloured_by_what_they_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, (name, kinds), _ = maps(monkeypatch, {})[0]["users.png"]
    assert name == "genres"
    assert kinds.tolist() == ["war", "drama"]  # user 1 alone watched item 3, which is war
