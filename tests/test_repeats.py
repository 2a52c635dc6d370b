"""Repeats: what a user has had scores more, from training to the service."""

from dataclasses import replace
from pathlib import Path

from retrieval import histories, matrices
from retrieval.evaluation.distributions import Pairs, scores
from retrieval.ranking import rank
from retrieval.recommend import load
from retrieval.repeats import Repeats, counts
from retrieval.search.backends import Database, open_index
from retrieval.search.indexes import INDEXES
from retrieval.search.recommender import Recommender
from retrieval.serving.app import create
from retrieval.serving.settings import Settings
from retrieval.training.loop import fit
from retrieval.training.weighing import USUAL_REPEATS, blended

import numpy as np
import pytest
from starlette.testclient import TestClient
from worlds import ITEMS, USERS, favourites, features_of, most_frequent, training_params, write_world

NOTHING = np.zeros(0, np.int64)


def average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """Of lists of ten, the mean over users with anything in `truth`; RecTools' MAP@10."""
    some = truth.any(axis=1)
    lists = np.argsort(-scores[some], axis=1, kind="stable")[:, :10]
    hits = np.take_along_axis(truth[some], lists, axis=1)
    return float(((hits * hits.cumsum(1) / np.arange(1, 11)).sum(1) / truth[some].sum(1)).mean())


def test_events_count_half_when_half_life_events_came_after_them():
    """From the end, user 0 had item 1 at 0 and 3, item 2 at 1 and item 0 at 2; user 1 had item 2 at 0 and 1."""
    h = features_of([[1, 0, 2, 1], [2, 2]], 4).histories
    assert counts(h, 4, 0.0).toarray().tolist() == [[1, 2, 1, 0], [0, 0, 2, 0]]
    assert counts(h, 4, 1.0).toarray().tolist() == [[0.25, 1.125, 0.5, 0], [0, 0, 1.5, 0]]
    own = Repeats(gain=3.0, half_life=1.0).own(h, 4)
    assert own.dtype == np.float32
    assert own.toarray()[1] == pytest.approx([0, 0, 3 * np.log(2.5), 0], abs=1e-5)
    for user in range(2):
        of = h.indptr[user], h.indptr[user + 1]
        one = Repeats(gain=3.0, half_life=1.0).of((h.item[slice(*of)], h.time[slice(*of)]), 4)
        assert np.array_equal(one.toarray(), own[user].toarray())


@pytest.mark.parametrize("kind", ["days", "leave-last"])
def test_where_users_come_back_the_model_beats_their_most_frequent_items(kind, capsys):
    data, truth = favourites(kind)
    small = {
        "epochs": 4,
        "batch": 512,
        "width": 16,
        "dropout": 0.1,
        "weight": 0.1,
        "history": "bag",
        "exclude_seen": "auto",
    }
    params = training_params(data, user_weight=1.0, mean_weight=1.0, **small)
    assert not params.negatives.exclude_seen
    _, found = blended(params, data, fit(params, data).model)
    towers = found.left.astype(np.float64) @ found.right.T
    own = average_precision(towers + found.own.toarray(), truth)
    frequent = average_precision(most_frequent(data), truth)
    popular = average_precision(np.tile(data.counts, (len(truth), 1)), truth)
    assert own > 1.07 * frequent > 2 * popular
    assert own > 1.2 * average_precision(towers, truth)
    assert found.repeats.half_life == 10.0
    assert "train_dssm: repeats: gain" in capsys.readouterr().err


def test_where_nobody_comes_back_nothing_is_added():
    """Every item is new to its user: the held-out ones say so."""
    random = np.random.default_rng(0)
    data = features_of([random.permutation(30)[:8].tolist() for _ in range(200)], 30)
    data = replace(data, spec=data.spec | {"repeats": "keep"})
    params = training_params(data, epochs=1, weight=0.0)
    found = blended(params, data, fit(params, data).model)[1]
    assert found.own is None
    assert found.repeats is None


def test_without_held_out_items_there_is_a_usual_gain_and_half_life():
    data = features_of([[0, 0], [1, 2], [2]], 3)
    data = replace(data, spec=data.spec | {"repeats": "keep"})
    params = training_params(data, epochs=1)
    found = blended(params, data, fit(params, data).model)[1]
    assert found.repeats.half_life == USUAL_REPEATS.half_life
    assert found.own.toarray()[0, 0] > 0 == found.own.toarray()[0, 1]


def test_without_repeats_the_matrices_are_all():
    data = favourites("leave-last", users=40)[0]
    data = replace(data, spec=data.spec | {"repeats": "drop"})
    params = training_params(data, epochs=1)
    found = blended(params, data, fit(params, data).model)[1]
    assert found.own is None
    assert found.repeats is None


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Users come back to four items each. Only to be read."""
    return write_world(tmp_path_factory.mktemp("repeats") / "world", repeats="keep", columns=True)


@pytest.fixture(scope="module")
def model(world: Path) -> matrices.Model:
    """The world's DSSM."""
    return matrices.load(world / "models" / "dssm")


@pytest.fixture(scope="module")
def every(model: matrices.Model) -> np.ndarray:
    """The scores [users, items] of all items of train, in float32 as the ranker's."""
    dense = (model.left.astype(np.float64) @ model.right.T.astype(np.float64)).astype(np.float32)
    return dense + model.own.toarray()


def order(scores: np.ndarray, k: int) -> list[int]:
    """The k best, of equal ones the first."""
    return np.argsort(-scores, kind="stable")[:k].tolist()


def test_the_ranker_adds_them(world: Path, model: matrices.Model, every: np.ndarray) -> None:
    seen = histories.load(world / "features").seen
    ranking = rank(model.left, model.right, np.arange(USERS), 10, own=model.own)
    assert ranking.items.tolist() == [order(row, 10) for row in every]
    assert np.array_equal(ranking.scores, np.take_along_axis(every, ranking.items, 1))
    watched = np.take_along_axis(seen.toarray(), ranking.items, 1)
    assert watched[:, 0].mean() > 0.9
    without = rank(model.left, model.right, np.arange(USERS), 10, seen, own=model.own)
    plain = rank(model.left, model.right, np.arange(USERS), 10, seen)
    assert np.array_equal(without.items, plain.items)


def test_the_score_of_a_pair_has_them(model: matrices.Model, every: np.ndarray) -> None:
    users, row = np.array([3, 7]), np.array([0, 0, 1, 1])
    item = np.array([model.own[3].indices[0], 100, model.own[7].indices[0], 5])
    varying = np.ptp(model.right, axis=0) > 0
    constant = model.left[:, ~varying] @ model.right[0, ~varying]  # the user's own bias ranks nothing
    found = scores(model, Pairs(users, row, item))
    np.testing.assert_allclose(found, every[users[row], item] - constant[users[row]], rtol=1e-5)


@pytest.mark.parametrize("backend", ["exact", *INDEXES])
def test_the_service_adds_them_with_and_without_an_index(world, model, every, backend) -> None:
    nearest = open_index(backend, world / "models" / "indexes" / "dssm", model, Database("", "", 300))
    one = Recommender(world / "models" / "dssm", model, nearest)
    for user in range(USERS):
        found, values = one.best(model.left[[user]], NOTHING, 10, own=one.own([user]))
        assert set(order(every[user], 4)) & set(model.own[user].indices.tolist()) <= set(found.tolist())
        assert np.array_equal(values, every[user, found])
    allowed = np.arange(0, ITEMS, 2)
    lists = one.best_of(model.left[:5], [NOTHING] * 5, 10, allowed, one.own(range(5)))
    assert [found.tolist() for found, _ in lists] == [(2 * np.array(order(row, 10))).tolist() for row in every[:5, ::2]]


def test_a_profile_with_a_users_history_is_that_user(world, every) -> None:
    h = histories.load(world / "features").histories
    users = h.user[:400:20]
    with TestClient(create(Settings(models=world / "models")), raise_server_exceptions=False) as client:
        for user in np.unique(users).tolist():
            asked = {"k": 5, "exclude_seen": False}
            known = client.post("/reco/dssm", json={"user_id": 10 * user + 5, **asked}).json()
            assert [(item - 3) // 7 for item in known["items"]] == order(every[user], 5)
            about = client.get(f"/users/{10 * user + 5}/history?k=100").json()
            visits = [{"item_id": visit["item_id"], "date": visit["date"]} for visit in about["history"][::-1]]
            body = {"history": visits, "demographics": about["demographics"], **asked}
            profile = client.post("/reco/dssm", json=body).json()
            assert profile["items"] == known["items"]
            assert profile["scores"] == pytest.approx(known["scores"], rel=1e-4)
            assert any(known["seen"])
            left_out = client.post("/reco/dssm", json=body | {"exclude_seen": True}).json()
            assert not any(left_out["seen"])


def test_python_and_the_files_have_them(world, every) -> None:
    one, half = load(world / "models" / "dssm"), np.arange(0, ITEMS, 2)
    found = one.recommend(k=5, exclude_seen=False)["item_id"].to_numpy().reshape(USERS, 5)
    assert ((found - 3) // 7).tolist() == [order(row, 5) for row in every]
    found = one.recommend(k=5, exclude_seen=False, only=(7 * half + 3).tolist())["item_id"].to_numpy().reshape(USERS, 5)
    assert ((found - 3) // 7).tolist() == [half[order(row, 5)].tolist() for row in every[:, half]]
