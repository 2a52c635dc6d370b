"""The FAISS indexes find nearest neighbours, and the recommender over them what exact search finds."""

import json

from retrieval import matrices
from retrieval.params import load, validate
from retrieval.search.indexes import INDEXES, Faiss, Indexes, has_index

import numpy as np
import pytest
from worlds import ROOT

NAMES = ("dssm", "ials")


@pytest.mark.parametrize("kind", INDEXES)
def test_an_index_finds_the_nearest_points_nearest_first(kind, tmp_path):
    points = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
    options = validate(Indexes, load(ROOT / "params.yaml")["index"])
    INDEXES[kind](points, options, tmp_path / "index.faiss")
    index = Faiss(tmp_path / "index.faiss")
    nearest = np.square(points[:20, None] - points[None]).sum(2).argsort(1)[:, :10]
    rows = index.search(points[:20], 10)
    assert (rows[:, 0] == np.arange(20)).all(), "a point is nearest to itself"
    assert np.mean([len(np.intersect1d(a, b)) for a, b in zip(rows, nearest, strict=True)]) > 9
    assert index.search(points[:1], 1000).shape == (1, 500), "no more than there are"


@pytest.mark.parametrize("kind", INDEXES)
def test_an_index_of_one_point_finds_it(kind, tmp_path):
    points = np.ones((1, 3), np.float32)
    INDEXES[kind](points, validate(Indexes, load(ROOT / "params.yaml")["index"]), tmp_path / "index.faiss")
    assert Faiss(tmp_path / "index.faiss").search(points, 10).tolist() == [[0]]


@pytest.mark.parametrize("kind", INDEXES)
@pytest.mark.parametrize("name", NAMES)
def test_recommendations_are_those_of_exact_search_and_never_what_was_seen(
    world, items_and_users, recommender, lists, name, kind
):
    near, exact = recommender(world, name, kind), recommender(world, name)
    shares = []
    for user, pair in enumerate(zip(lists(near, 10), lists(exact, 10), strict=True)):
        (items, scores), (expected, _) = pair
        assert len(items) == 10
        assert not np.isin(items, items_and_users.history(user)[0]).any()
        np.testing.assert_allclose(scores, near.model.right[items] @ near.model.left[user], rtol=1e-4, atol=1e-5)
        shares.append(len(np.intersect1d(items, expected)) / 10)
    assert np.mean(shares) > 0.95
    card = json.loads((world / "models" / "indexes" / name / "index.json").read_text(encoding="utf-8"))
    assert card["measured"][kind]["recall@10"] == pytest.approx(np.mean(shares)), "the stage measures the same"


@pytest.mark.parametrize(
    ("name", "expected"), [("dssm", True), ("ials", True), ("ease", False), ("itemknn", False), ("popular", False)]
)
def test_models_of_dense_vectors_have_an_index(world, name, expected):
    assert has_index(matrices.load(world / "models" / name)) == expected
    assert (world / "models" / "indexes" / name).exists() == expected
