"""What the service answers by: the space of indexes, exact and approximate search, new users, catalogue, checks."""

import json
import shutil
from pathlib import Path

from retrieval import histories, matrices
from retrieval.dssm.newcomer import Tower
from retrieval.errors import Problem
from retrieval.ranking import rank
from retrieval.search import space
from retrieval.search.catalogue import Catalogue
from retrieval.search.recommender import Recommender
from retrieval.serving import store
from retrieval.serving.settings import Settings

import faiss
import numpy as np
import pytest
import scipy.sparse as sp
from folders import ITEMS, USERS, build, reindex, resave, train
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def loaded(world: Path) -> store.Store:
    return store.load(Settings(models=world / "models"))


@pytest.fixture
def copy(world: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world, tmp_path / "world"))


def answers(recommender: Recommender, known: Catalogue, k: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return [recommender.best(recommender.model.left[[u]], known.history(u)[0], k) for u in range(USERS)]


@pytest.mark.parametrize("name", ["dssm", "ease", "ials", "itemknn", "popular", "popular_7d", "userknn"])
def test_exact_search_is_the_ranking_of_evaluate_for_every_user(world, loaded, name):
    recommender = loaded.models[name]
    seen = histories.load(world / "features").seen
    expected = rank(recommender.model.left, recommender.model.right, np.arange(USERS), 10, seen)
    for user, (items, scores) in enumerate(answers(recommender, loaded.catalogue, 10)):
        np.testing.assert_array_equal(items, expected.items[user])
        np.testing.assert_allclose(scores, expected.scores[user], rtol=1e-5, atol=1e-6)
        assert not np.isin(items, seen[user].indices).any()


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / "models" / "catalogue").exists(), reason="needs the models of `make repro`")
def test_every_user_of_the_models_that_make_repro_made_gets_the_ranking_of_evaluate():
    """A product with one row and one with many round differently in the last bit: only near ties may change places."""
    loaded = store.load(Settings(models=ROOT / "models"))
    known, users = loaded.catalogue, len(loaded.catalogue.users)
    seen = histories.load(ROOT / "data" / "features").seen
    for name, recommender in loaded.models.items():
        left, right = recommender.model.left, recommender.model.right
        expected = rank(left, right, np.arange(users), 10, seen)
        found = [recommender.best(left[[user]], known.history(user)[0], 10) for user in range(users)]
        items, scores = (np.stack(part) for part in zip(*found, strict=True))
        assert not any(np.isin(items[user], seen[user].indices).any() for user in range(users)), name
        np.testing.assert_allclose(scores, expected.scores, rtol=1e-4, atol=1e-5, err_msg=name)
        assert (items != expected.items).any(1).sum() <= 0.01 * users, name


def test_all_that_is_unseen_comes_back_once_where_k_is_more_than_there_is(loaded):
    for user, (items, scores) in enumerate(answers(loaded.models["dssm"], loaded.catalogue, 500)):
        unseen = np.setdiff1d(np.arange(ITEMS), loaded.catalogue.history(user)[0])
        np.testing.assert_array_equal(np.sort(items), unseen)
        assert (np.diff(scores) <= 0).all()


@settings(max_examples=30, deadline=None)
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
    reached = (left.astype(float) * right.astype(float)[nearest]).sum(1)
    np.testing.assert_allclose(reached, best, rtol=1e-3, atol=1e-3 * np.abs(right).max())


def test_without_the_space_a_graph_of_vectors_far_from_the_origin_finds_little():
    """Why there is a space: one offset, which changes no ranking, takes plain inner products' recall away."""
    rng = np.random.default_rng(0)
    right = (rng.normal(size=(2000, 16)) + 5).astype(np.float32)
    left = np.c_[rng.normal(size=(50, 15)), np.ones(50)].astype(np.float32)
    best = np.argsort(-(left @ right.T), axis=1)[:, :10]

    def recall(points: np.ndarray, queries: np.ndarray, metric: int) -> float:
        graph = faiss.IndexHNSWFlat(points.shape[1], 16, metric)
        graph.hnsw.efSearch = 128
        graph.add(points)
        found = graph.search(queries, 10)[1]
        return float(np.mean([len(np.intersect1d(a, b)) for a, b in zip(found, best, strict=True)])) / 10

    fitted = space.fit(left, right)
    assert recall(right, left, faiss.METRIC_INNER_PRODUCT) < 0.75
    assert recall(fitted.items(right), fitted.query(left), faiss.METRIC_L2) > 0.95


@pytest.mark.parametrize("backend", ["hnsw", "ivf"])
def test_indexes_find_what_exact_search_finds_and_never_what_was_seen(world, loaded, backend):
    near = store.load(Settings(models=world / "models", backend=backend))
    report = json.loads((world / "index.json").read_text(encoding="utf-8"))
    for name in ("dssm", "ials"):
        assert near.models[name].nearest is not None
        shared = []
        for user, (items, scores) in enumerate(answers(near.models[name], near.catalogue, 10)):
            assert len(items) == 10
            assert not np.isin(items, near.catalogue.history(user)[0]).any()
            model = near.models[name].model
            np.testing.assert_allclose(scores, model.right[items] @ model.left[user], rtol=1e-4, atol=1e-5)
            exact = loaded.models[name].best(model.left[[user]], near.catalogue.history(user)[0], 10)[0]
            shared.append(len(np.intersect1d(items, exact)) / 10)
        assert np.mean(shared) == pytest.approx(report[name][backend]["recall@10"])
        assert np.mean(shared) > 0.95
    assert near.models["ease"].nearest is None


def test_who_has_seen_nearly_all_is_served_by_exact_search(world, loaded):
    """The inverted file looks into some lists only and finds too little: exact search answers."""
    near = store.load(Settings(models=world / "models", backend="ivf")).models["dssm"]
    seen = np.arange(ITEMS - 12)
    left = near.model.left[[0]]
    for got, expected in zip(near.best(left, seen, 10), loaded.models["dssm"].best(left, seen, 10), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_the_index_of_another_model_is_refused(copy):
    path = copy / "models" / "ials"
    model = matrices.load(path)
    resave(path, model, right=model.right * 2)
    store.load(Settings(models=copy / "models"))
    with pytest.raises(Problem, match="index of another ials"):
        store.load(Settings(models=copy / "models", backend="hnsw"))
    reindex(copy)
    store.load(Settings(models=copy / "models", backend="hnsw"))


@pytest.mark.parametrize("name", ["dssm", "ease", "itemknn", "popular"])
def test_a_profile_with_a_users_history_and_demographics_is_that_user(loaded, name):
    """The user tower on the spot gives the row of left that the stage wrote."""
    recommender, known = loaded.models[name], loaded.catalogue
    assert recommender.row_of is not None
    for user in range(USERS):
        row = recommender.row_of(known.history(user), known.demographics(user))
        left = recommender.model.left[[user]]
        row, left = (m.toarray() if sp.issparse(m) else m for m in (row, left))
        np.testing.assert_allclose(row, left, rtol=1e-4, atol=1e-5)


def test_beside_a_trend_a_profile_is_that_user_too(copy, loaded):
    """The towers' part is halved and taken less its mean, in the stage and on the spot alike."""
    train(copy, enabled=True, personal=0.5, common=0.0)
    model = matrices.load(copy / "models" / "dssm")
    assert np.abs(model.left[:, :-1].mean(0)).max() < 1e-6 < np.abs(model.left[:, :-1]).max()
    tower, known = Tower(copy / "models" / "dssm", model), loaded.catalogue
    for user in range(USERS):
        row = tower(known.history(user), known.demographics(user))
        np.testing.assert_allclose(row, model.left[[user]], rtol=1e-4, atol=1e-5)


def test_a_profile_without_history_is_told_apart_by_its_demographics(loaded):
    row_of = loaded.models["dssm"].row_of
    nothing = np.zeros(0, np.int64), np.zeros(0, np.int64)
    old, young, unsaid = (row_of(nothing, said) for said in ({"age": "old"}, {"age": "young"}, {}))
    assert np.isfinite(unsaid).all()
    assert np.abs(old - young).max() > 1e-4
    assert np.abs(old - unsaid).max() > 1e-4


def test_models_of_trained_users_alone_make_no_row_of_a_profile(loaded):
    assert loaded.models["ials"].row_of is None
    assert loaded.models["userknn"].row_of is None


def test_similar_items_are_cosines_of_taste_and_not_of_popularity(loaded):
    """dssm's right ends in the bias, whose column of left is 1 for all users: it is no part of the cosine."""
    recommender = loaded.models["dssm"]
    right = recommender.model.right[:, :-1].astype(float)
    cosine = right @ right[4] / np.linalg.norm(right, axis=1) / np.linalg.norm(right[4])
    cosine[4] = -2
    items, scores = recommender.similar(4, 5)
    np.testing.assert_array_equal(items, np.argsort(-cosine)[:5])
    np.testing.assert_allclose(scores, np.sort(cosine)[::-1][:5], rtol=1e-5)


def test_similar_items_of_item_item_models_are_the_weights_that_go_out(loaded):
    recommender = loaded.models["ease"]
    weights = np.array(recommender.model.right[:, 4])
    weights[4] = -np.inf
    np.testing.assert_array_equal(recommender.similar(4, 5)[0], np.argsort(-weights, kind="stable")[:5])
    assert not loaded.models["popular"].compares_items


def test_the_catalogue_knows_items_and_users(loaded):
    known = loaded.catalogue
    assert known.item_row(3 + 7 * 12) == 12
    assert known.item_row(4) is None
    assert known.user(10 * 59 + 5) == 59
    assert known.user(2**62) is None
    assert known.user(-1) is None
    assert (known.titles[12], known.years[12], known.genres[12]) == ("Film 12", "1994", ["Comedy"])
    assert (known.titles[0], known.genres[1]) == (None, ["Drama", "War"])
    assert set(known.demographics(0)) == {"age", "sex"}


def test_items_are_found_by_a_part_of_their_title_the_most_watched_first(loaded):
    known = loaded.catalogue
    found = known.find_items("fILM 1", 500)
    assert sorted(found) == [1, *range(10, 20), *range(100, 150)]
    assert (np.diff(known.watched[found]) <= 0).all()
    assert known.find_items("no such film", 5) == []
    assert known.find_items(".*", 5) == []


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**19 - 1).map(str) | st.from_regex(r"\A[0-9]{1,3}\Z"))
def test_users_are_found_by_their_first_digits(digits):
    ids = np.array([0, 1, 5, 12, 15, 123, 129, 1200, 2**63 - 1])
    known = Catalogue(ids[:1], ids, *[ids] * 5, [], [], [], ids, {}, 0)
    expected = [i for i in ids.tolist() if str(i).startswith(str(int(digits)))]
    assert sorted(known.find_users(digits, 100)) == expected


def test_random_users_are_users(loaded):
    drawn = loaded.catalogue.find_users("", 20)
    assert len(set(drawn)) == 20
    assert all(loaded.catalogue.user(user) is not None for user in drawn)


def break_bytes(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.unlink()
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda m: break_bytes(m / "dssm" / "right.npy"), "right.npy: is not the file"),
        (lambda m: break_bytes(m / "catalogue" / "time.npy"), "time.npy: is not what"),
        (lambda m: (m / "dssm" / "left.npy").unlink(), "left.npy is missing"),
        (lambda m: shutil.rmtree(m / "dssm"), "dssm: no such model"),
        (lambda m: shutil.rmtree(m / "catalogue"), "catalogue.json is missing"),
        (lambda m: (m / "ials" / "card.json").write_text("{"), "ials: is no model folder"),
    ],
)
def test_broken_folders_are_refused(copy, broken, reason):
    broken(copy / "models")
    with pytest.raises(Problem, match=reason):
        store.load(Settings(models=copy / "models"))


def test_models_of_other_items_or_users_are_refused(copy):
    path = copy / "models" / "ials"
    model = matrices.load(path)
    resave(path, model, items=model.items[::-1])
    with pytest.raises(Problem, match="is not the catalogue's list of items"):
        store.load(Settings(models=copy / "models"))


def test_only_the_models_named_are_served(world):
    some = store.load(Settings(models=world / "models", serve=["dssm", "popular"]))
    assert list(some.models) == ["dssm", "popular"]
    with pytest.raises(Problem, match="did you mean 'dssm'"):
        store.load(Settings(models=world / "models", default="dsm"))
