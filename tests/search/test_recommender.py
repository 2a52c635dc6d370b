"""One model that answers: exact search is the ranking of evaluate, new users are folded in, items are compared."""

import sys
from dataclasses import replace
from pathlib import Path

from retrieval import histories, matrices
from retrieval.newcomers import newcomer
from retrieval.ranking import rank
from retrieval.search import catalogue
from retrieval.search.recommender import Recommender

import numpy as np
import pytest
import scipy.sparse as sp
from worlds import ITEMS, USERS, train_models

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["dssm", "ease", "ials", "itemknn", "popular", "popular_7d", "userknn"])
def test_exact_search_is_the_ranking_of_evaluate_for_every_user(world, recommender, lists, name):
    one = recommender(world, name)
    seen = histories.load(world / "features").seen
    expected = rank(one.model.left, one.model.right, np.arange(USERS), 10, seen)
    for user, (items, scores) in enumerate(lists(one, 10)):
        np.testing.assert_array_equal(items, expected.items[user])
        np.testing.assert_allclose(scores, expected.scores[user], rtol=1e-5, atol=1e-6)
        assert not np.isin(items, seen[user].indices).any()


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / "models" / "catalogue").exists(), reason="needs the models of `make repro`")
def test_every_user_of_the_models_that_make_repro_made_gets_the_ranking_of_evaluate():
    """Products are exact or sums in a fixed order, so that one row and many have equal scores, and equal ties."""
    items_and_users = catalogue.load(ROOT / "models" / "catalogue")
    users, seen = len(items_and_users.users), histories.load(ROOT / "data" / "features").seen
    for card in sorted((ROOT / "models").glob("[!.]*/card.json")):
        model, name = matrices.load(card.parent), card.parent.name
        one = Recommender(card.parent, model, None)
        expected = rank(model.left, model.right, np.arange(users), 10, seen)
        lists = [one.best(model.left[[user]], items_and_users.history(user)[0], 10) for user in range(users)]
        items, scores = (np.stack(part) for part in zip(*lists, strict=True))
        assert not any(np.isin(items[user], seen[user].indices).any() for user in range(users)), name
        np.testing.assert_array_equal(scores, expected.scores, err_msg=name)
        np.testing.assert_array_equal(items, expected.items, err_msg=name)


@pytest.mark.parametrize("name", ["dssm", "ease", "popular"])
@pytest.mark.parametrize("allowed", [None, np.arange(0, ITEMS, 2)], ids=["all", "some"])
def test_many_users_get_what_each_gets_however_many_fit_into_a_block(
    world, items_and_users, recommender, monkeypatch, name, allowed
):
    one = recommender(world, name)
    seen = [items_and_users.history(user)[0] for user in range(USERS)]
    expected = [one.best(one.model.left[[user]], seen[user], 7, allowed) for user in range(USERS)]
    for scores in (1, 4 * ITEMS, 2**22):
        monkeypatch.setattr("retrieval.search.recommender.SCORES", scores)
        found = one.best_of(one.model.left[np.arange(USERS)], seen, 7, allowed)
        np.testing.assert_equal(found, expected)


def test_without_the_package_that_a_fold_in_needs_there_is_none(world, monkeypatch):
    """As in the image of the service, which has no torch."""
    monkeypatch.setitem(sys.modules, "retrieval.dssm.newcomer", None)
    one = Recommender(world / "models" / "dssm", matrices.load(world / "models" / "dssm"), None)
    assert one.fold_in is None
    assert one.missing == "retrieval.dssm.newcomer"
    assert len(one.best(one.model.left[[0]], np.zeros(0, np.int64), 5)[0]) == 5


def test_all_unseen_items_come_back_once_if_k_is_larger(world, items_and_users, recommender, lists):
    for user, (items, scores) in enumerate(lists(recommender(world, "dssm"), 500)):
        unseen = np.setdiff1d(np.arange(ITEMS), items_and_users.history(user)[0])
        np.testing.assert_array_equal(np.sort(items), unseen)
        assert (np.diff(scores) <= 0).all()


def test_users_who_have_seen_nearly_everything_get_exact_search(world, recommender):
    """The inverted file reads some lists only and finds too little: exact search answers."""
    near, exact = recommender(world, "dssm", "ivf"), recommender(world, "dssm")
    seen, left = np.arange(ITEMS - 12), near.model.left[[0]]
    for values, expected in zip(near.best(left, seen, 10), exact.best(left, seen, 10), strict=True):
        np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("name", ["dssm", "ease", "itemknn", "popular"])
def test_a_profile_with_a_users_history_and_demographics_is_that_user(world, items_and_users, recommender, name):
    """Folding in gives the row of left that the stage wrote."""
    one = recommender(world, name)
    for user in range(USERS):
        row = one.fold_in(items_and_users.history(user), items_and_users.demographics(user))
        left = one.model.left[[user]]
        row, left = (m.toarray() if sp.issparse(m) else m for m in (row, left))
        np.testing.assert_allclose(row, left, rtol=1e-4, atol=1e-5)


def test_with_a_trend_a_profile_is_that_user_too(copy, items_and_users):
    """The stage and the fold-in both halve the towers' part and subtract its mean."""
    train_models(copy, enabled=True, user_weight=0.5, mean_weight=0.0)
    model = matrices.load(copy / "models" / "dssm")
    width = model.card["params"]["towers"]["width"]
    assert np.abs(model.left[:, :width].mean(0)).max() < 1e-6 < np.abs(model.left[:, :width]).max()
    tower = newcomer(copy / "models" / "dssm", model)
    for user in range(USERS):
        row = tower(items_and_users.history(user), items_and_users.demographics(user))
        np.testing.assert_allclose(row, model.left[[user]], rtol=1e-4, atol=1e-5)


def test_a_column_may_have_several_values(copy):
    data = histories.load(copy / "features")
    users = data.users.tolil()
    users[1] = 1
    histories.save(copy / "features", replace(data, users=users.tocsr()))
    train_models(copy)
    items_and_users, model = catalogue.load(copy / "models" / "catalogue"), matrices.load(copy / "models" / "dssm")
    about = items_and_users.demographics(1)
    assert about == [("age", "old"), ("age", "young"), ("sex", "F"), ("sex", "M")]
    row = newcomer(copy / "models" / "dssm", model)(items_and_users.history(1), about)
    np.testing.assert_allclose(row, model.left[[1]], rtol=1e-4, atol=1e-5)


def test_profiles_without_history_differ_by_their_demographics(world, recommender):
    fold_in = recommender(world, "dssm").fold_in
    nothing = np.zeros(0, np.int64), np.zeros(0, np.int64)
    old, young, unknown = (fold_in(nothing, values) for values in ([("age", "old")], [("age", "young")], []))
    assert np.isfinite(unknown).all()
    assert np.abs(old - young).max() > 1e-4
    assert np.abs(old - unknown).max() > 1e-4


def test_a_model_of_similar_users_does_not_fold_in(world, recommender):
    assert recommender(world, "userknn").fold_in is None


@pytest.mark.parametrize(("name", "expected"), [("dssm", True), ("ease", True), ("ials", True), ("popular", False)])
def test_scores_of_all_models_but_popularity_depend_on_the_user(world, recommender, name, expected):
    assert recommender(world, name).is_personal == expected


def test_similar_items_are_cosines_of_taste_and_not_of_popularity(world, recommender):
    """After the towers' columns dssm's right has the bias, whose column of left is 1: the cosine leaves it out."""
    one = recommender(world, "dssm")
    bias = one.model.card["params"]["towers"]["width"]
    assert (one.model.left[:, bias] == 1).all()
    right = np.delete(one.model.right, bias, axis=1).astype(float)
    cosine = right @ right[4] / np.linalg.norm(right, axis=1) / np.linalg.norm(right[4])
    cosine[4] = -2
    items, scores = one.similar(4, 5)
    np.testing.assert_array_equal(items, np.argsort(-cosine)[:5])
    np.testing.assert_allclose(scores, np.sort(cosine)[::-1][:5], rtol=1e-5)


def test_similar_items_of_item_item_models_are_the_weights_from_the_item(world, recommender):
    one = recommender(world, "ease")
    weights = np.array(one.model.right[:, 4])
    weights[4] = -np.inf
    items, scores = one.similar(4, 5)
    np.testing.assert_array_equal(items, np.argsort(-weights, kind="stable")[:5])
    np.testing.assert_allclose(scores, weights[items], rtol=1e-6)


def test_popularity_compares_no_items(world, recommender):
    assert not recommender(world, "popular").compares_items
    assert recommender(world, "userknn").compares_items
