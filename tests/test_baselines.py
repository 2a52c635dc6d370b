"""The baselines against hand-worked numbers, slow twins and the libraries that they are known from."""

import json
from dataclasses import replace
from functools import partial

import train_baselines
from retrieval import baselines, histories, matrices, ranking
from retrieval.baselines import BASELINES, DAY, Baselines, nearest
from retrieval.errors import Problem
from retrieval.histories import Features, Histories

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from implicit.cpu import als
from implicit.cpu.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import EASEModel, ImplicitALSWrapperModel, ImplicitItemKNNWrapperModel, PopularModel
from worlds import section

PARAMS: dict[str, dict[str, float]] = {
    "itemknn": {"neighbours": 3},
    "userknn": {"neighbours": 4, "pool": 1000},
    "ease": {"regularization": 5.0, "items": 1000},
    "ials": {"factors": 8, "regularization": 0.1, "alpha": 2.0, "iterations": 3},
}


def params(**sections: dict[str, float]) -> Baselines:
    """params.yaml with PARAMS and the changes."""
    values = section("baselines")
    for changes in (PARAMS, sections):
        for name, change in changes.items():
            values[name] |= change
    return Baselines(**values)


def test_small_data_have_30_iterations():
    features = world([(0, 0, 0), (0, 1, 1), (1, 1, 0)])
    assert params(ials={"iterations": "auto"}).resolve(features).ials.iterations == 30
    assert params(ials={"iterations": 4}).resolve(features).ials.iterations == 4


def world(rows: list[tuple[int, int, int]]) -> Features:
    """Features of rows (user, item, time), sorted by user and time; ids are 100 + user and 500 + item."""
    user, item, time = (np.array(column) for column in zip(*rows, strict=True))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(user))])
    weight = np.ones(len(rows), dtype=np.float32)
    users, items = len(indptr) - 1, int(item.max()) + 1
    return Features(
        Histories(indptr, item.astype(np.int32), time.astype(np.int64), weight),
        sp.csr_matrix((users, 0), dtype=np.float32),
        sp.csr_matrix((items, 0), dtype=np.float32),
        np.arange(users) + 100,
        np.arange(items) + 500,
        {"moment": int(time.max()) + 1, "data": "planted"},
    )


@pytest.fixture(scope="module")
def groups() -> Features:
    """80 users and 30 items in two groups that mostly keep to themselves; every user and every item is there."""
    rng = np.random.default_rng(7)
    rows = []
    for user in range(80):
        taste = np.where(np.arange(30) % 2 == user % 2, 9.0, 1.0)
        items = rng.choice(30, size=rng.integers(1, 9), replace=False, p=taste / taste.sum())
        rows += [(user, int(item), int(time)) for item, time in zip({*items, user % 30}, range(99), strict=False)]
    return world(rows)


def scores(features: Features, name: str, **sections: dict[str, float]) -> np.ndarray:
    """What the two matrices of a baseline say, [users, items]."""
    left, right = BASELINES[name].train(features, params(**sections), 1)
    product = left @ right.T
    return product.toarray() if sp.issparse(product) else product


def dataset(features: Features) -> Dataset:
    h = features.histories
    columns = {
        Columns.User: features.user_ids[h.user],
        Columns.Item: features.item_ids[h.item],
        Columns.Weight: 1.0,
        Columns.Datetime: pd.to_datetime(h.time, unit="s"),
    }
    return Dataset.construct(pd.DataFrame(columns))


def assert_recommends_the_same(features: Features, name: str, model: object, **sections: dict[str, float]) -> None:
    """The library's ten best unseen items have our scores, and no other unseen item has a better one."""
    data = dataset(features)
    recos = model.fit(data).recommend(features.user_ids, data, k=10, filter_viewed=True)
    ours = np.where(features.seen.toarray() > 0, -np.inf, scores(features, name, **sections))
    user = np.searchsorted(features.user_ids, recos[Columns.User])
    item = np.searchsorted(features.item_ids, recos[Columns.Item])
    np.testing.assert_allclose(ours[user, item], recos[Columns.Score], rtol=1e-4, atol=1e-5)
    best = -np.sort(-ours, axis=1)[user, recos[Columns.Rank] - 1]
    np.testing.assert_allclose(best, recos[Columns.Score], rtol=1e-4, atol=1e-5)


def slow_nearest(rows: np.ndarray, pool: list[int], neighbours: int) -> np.ndarray:
    """Twin of `nearest`: one pair of rows at a time."""
    out = np.zeros((len(rows), len(pool)))
    for row, mine in enumerate(rows):
        found = []
        for place, other in enumerate(pool):
            both = (mine * rows[other]).sum()
            if other != row and both > 0:
                found.append((-both / np.sqrt(np.float32(mine.sum() * rows[other].sum())), place))
        for cosine, place in sorted(found)[:neighbours]:
            out[row, place] = -cosine
    return out


def example() -> Features:
    """User 0 watched items 0 and 1, user 1 watched item 0."""
    return world([(0, 0, 1), (0, 1, 2), (1, 0, 1)])


def alternating(seen: np.ndarray, factors: int, regularization: float, alpha: float, iterations: int) -> np.ndarray:
    """Twin of implicit's ALS, seed 1: each user solves sum over all items of c (p - u v)^2 + regularization u^2."""
    random = np.random.default_rng(1)
    users, items = (random.random((rows, factors), dtype=np.float32) * 0.01 for rows in seen.shape)
    for _ in range(iterations):
        users = solve(seen, items, regularization, alpha)
        items = solve(seen.T, users, regularization, alpha)
    return users @ items.T


def solve(seen: np.ndarray, others: np.ndarray, regularization: float, alpha: float) -> np.ndarray:
    weights = [np.diag(np.where(row > 0, alpha, 1.0)) for row in seen]
    penalty = regularization * np.eye(others.shape[1])
    return np.array(
        [
            np.linalg.solve(others.T @ c @ others + penalty, others.T @ c @ row)
            for c, row in zip(weights, seen, strict=True)
        ]
    )


# Scores of `example` with PARAMS, [users, items]
WORKED = {
    "popular": [[2, 1], [2, 1]],
    "popular_7d": [[2, 1], [2, 1]],
    # The cosine of the items is 1/sqrt(2*1), and an item is not its own neighbour
    "itemknn": [[0.5**0.5, 0.5**0.5], [0, 0.5**0.5]],
    # So is that of the users: user 0 gets item 0 from user 1, user 1 both items from user 0
    "userknn": [[0.5**0.5, 0], [0.5**0.5, 0.5**0.5]],
    # X'X + 5 = [[7, 1], [1, 6]], inverse [[6, -1], [-1, 7]] / 41; B01 = -P01/P11 = 1/7, B10 = -P10/P00 = 1/6
    "ease": [[1 / 6, 1 / 7], [0, 1 / 7]],
    "ials": alternating(np.array([[1.0, 1.0], [1.0, 0.0]]), **PARAMS["ials"]),
}


@pytest.mark.parametrize("name", BASELINES)
def test_worked_example(name: str):
    assert name in WORKED, f"add the scores of {name!r} for `example` to WORKED in {__file__}, its parameters to PARAMS"
    np.testing.assert_allclose(scores(example(), name), WORKED[name], atol=1e-4)


def test_popular_counts_by_hand():
    week = 7 * DAY
    features = world([(0, 0, 0), (0, 1, week - 1), (1, 1, 5), (1, 2, week + 5), (2, 0, 4), (2, 1, 6)])
    assert scores(features, "popular").tolist() == [[2, 3, 1]] * 3
    # The last interaction is at week + 5, so that the week starts at 5, inclusive: item 0 at 0 and 4 is out.
    assert scores(features, "popular_7d").tolist() == [[0, 3, 1]] * 3
    # Users who come back count once: user 0 to item 1 in the week, user 2 to item 0 before it.
    features = world([(0, 0, 0), (0, 1, week - 1), (0, 1, week), (1, 1, 5), (1, 2, week + 5), (2, 0, 3), (2, 0, 4)])
    assert scores(features, "popular").tolist() == [[2, 2, 1]] * 3
    assert scores(features, "popular_7d").tolist() == [[0, 2, 1]] * 3


@pytest.mark.parametrize(("name", "period"), [("popular", None), ("popular_7d", pd.Timedelta(days=7))])
def test_popular_counts_as_rectools(name: str, period: pd.Timedelta | None):
    rng = np.random.default_rng(3)
    watched = sorted((int(u), int(t), int(i)) for u, i, t in rng.integers(0, [20, 9, 12], size=(90, 3)))
    features = world([(u, i, t * DAY) for u, i, t in {(u, i): (u, i, t) for u, t, i in watched}.values()])
    h = features.histories
    model = PopularModel(period=period).fit(dataset(features))
    items, counts = model.popularity_list
    expected = dict(zip(dataset(features).item_id_map.convert_to_external(items), counts, strict=True))
    ours = dict(zip(features.item_ids, scores(features, name)[0], strict=True))
    assert len(h.item) > 50
    assert {item: count for item, count in ours.items() if count} == expected


def test_nearest_by_hand():
    rows = sp.csr_matrix(np.array([[1, 1, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0], [0, 1, 0, 0]], dtype=np.float32))
    # Row 0: 2/sqrt(2*4) = 0.71 with row 1, 1/sqrt(2*1) = 0.71 with rows 2 and 3; of the three equal ones two stay.
    # Row 2: 1 with row 3, which is its like, 0.71 with row 0 and 1/sqrt(4) = 0.5 with row 1.
    near = nearest(rows, np.arange(4), 2).toarray()
    np.testing.assert_allclose(near[0], [0, np.sqrt(0.5), np.sqrt(0.5), 0], rtol=1e-6)
    np.testing.assert_allclose(near[2], [np.sqrt(0.5), 0, 0, 1], rtol=1e-6)


@given(st.data())
def test_nearest_is_its_slow_twin(data: st.DataObject):
    rows = np.array(data.draw(st.lists(st.lists(st.integers(0, 1), min_size=4, max_size=4), min_size=1, max_size=9)))
    pool = sorted(data.draw(st.sets(st.integers(0, len(rows) - 1), min_size=1)))
    neighbours = data.draw(st.integers(1, 6))
    matrix = sp.csr_matrix(rows, dtype=np.float32)
    matrix.data[:] = 1
    np.testing.assert_allclose(
        nearest(matrix, np.array(pool), neighbours).toarray(), slow_nearest(rows, pool, neighbours), rtol=1e-6
    )


def test_blocks_change_nothing(groups: Features, monkeypatch: pytest.MonkeyPatch):
    whole = {name: scores(groups, name) for name in ("itemknn", "userknn", "ease")}
    monkeypatch.setattr(baselines, "ROWS", 7)
    monkeypatch.setattr(ranking, "SCORES", 1)  # blocks of 64 users
    for name, expected in whole.items():
        np.testing.assert_array_equal(scores(groups, name), expected, err_msg=name)


def test_itemknn_scores_as_implicit(groups: Features):
    # Among as many neighbours as there are items no tie is cut off, and both libraries must agree to the last item.
    model = ImplicitItemKNNWrapperModel(CosineRecommender(K=31, num_threads=1))
    assert_recommends_the_same(groups, "itemknn", model, itemknn={"neighbours": 30})


def test_itemknn_is_its_slow_twin(groups: Features):
    seen = groups.seen.toarray()
    near = slow_nearest(seen.T, list(range(30)), 3)
    np.testing.assert_allclose(scores(groups, "itemknn"), seen @ near, rtol=1e-5)


def test_userknn_is_its_slow_twin(groups: Features):
    seen = groups.seen.toarray()
    near = slow_nearest(seen, list(range(80)), 4)
    assert (np.diag(near) == 0).all()
    np.testing.assert_allclose(scores(groups, "userknn"), near @ seen, rtol=1e-5)


def test_userknn_pool_is_the_users_who_came_last():
    features = world([(0, 0, 1), (0, 1, 9), (1, 0, 2), (1, 2, 3), (2, 0, 4), (2, 3, 8), (3, 0, 2), (3, 4, 8)])
    # Last interactions at 9, 3, 8, 8: a pool of two holds user 0 and, of 2 and 3 that are equal, the first.
    left, right = BASELINES["userknn"].train(features, params(userknn={"pool": 2}), 1)
    assert right.toarray().T.tolist() == [[1, 1, 0, 0, 0], [1, 0, 0, 1, 0]]
    # Every two users share item 0 of their two items: 1/sqrt(2*2). Nobody is his own neighbour.
    assert left.toarray().tolist() == [[0, 0.5], [0.5, 0.5], [0.5, 0], [0.5, 0.5]]


@pytest.fixture
def finest_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare with a library by its own numbers, as float32 holds them."""
    for name in ("EASE_BITS", "IALS_BITS"):
        monkeypatch.setattr(baselines, name, 40)


def test_ease_by_hand():
    features = example()
    # X'X + 1 = [[3, 1], [1, 2]], inverse [[2, -1], [-1, 3]] / 5; B01 = -P01/P11 = 1/3, B10 = -P10/P00 = 1/2.
    expected = np.array([[1 / 2, 1 / 3], [0, 1 / 3]])
    # On the grid of numbers up to 1/2, whose power of two is 1: steps of 2^-17
    np.testing.assert_allclose(scores(features, "ease", ease={"regularization": 1.0}), expected, atol=2**-18)


def test_ease_of_a_large_catalogue_knows_the_most_watched_items(groups: Features):
    capped = scores(groups, "ease", ease={"items": 12})
    seen = groups.seen.toarray()
    kept = np.sort(np.argsort(-seen.sum(axis=0), kind="stable")[:12])
    inverse = np.linalg.inv(seen[:, kept].T @ seen[:, kept] + 5 * np.eye(12))
    np.testing.assert_allclose(capped[:, kept], seen[:, kept] @ (np.eye(12) - inverse / np.diag(inverse)), atol=1e-5)
    assert not np.delete(capped, kept, axis=1).any()


def test_ease_has_the_weights_of_rectools(groups: Features, finest_grid: None):
    data = dataset(groups)
    weight = EASEModel(regularization=5.0).fit(data).weight
    theirs = data.get_user_item_matrix() @ weight
    item = data.item_id_map.convert_to_internal(groups.item_ids)
    np.testing.assert_allclose(scores(groups, "ease"), theirs[:, item], rtol=1e-4, atol=1e-6)


def test_ials_scores_as_rectools(groups: Features, finest_grid: None):
    """In float64 from implicit's own start in float32."""
    model = AlternatingLeastSquares(**PARAMS["ials"], dtype=np.float64, num_threads=1)
    random = np.random.default_rng(1)
    model.user_factors, model.item_factors = (
        (random.random((rows, 8), dtype=np.float32) * 0.01).astype(np.float64) for rows in groups.seen.shape
    )
    # RecTools numbers items as they appear, and the random start follows that order.
    order = dataset(groups).item_id_map.external_ids - 500
    rank = np.argsort(order).astype(np.int32)
    renamed = replace(groups, histories=replace(groups.histories, item=rank[groups.histories.item]))
    assert_recommends_the_same(renamed, "ials", ImplicitALSWrapperModel(model))


def test_ials_is_the_same_to_the_bit_on_any_number_of_threads(groups: Features, monkeypatch: pytest.MonkeyPatch):
    left, right = BASELINES["ials"].train(groups, params(), 1)
    for threads in (1, 2, 3):
        monkeypatch.setattr(als, "AlternatingLeastSquares", partial(AlternatingLeastSquares, num_threads=threads))
        assert [each.tobytes() for each in BASELINES["ials"].train(groups, params(), 1)] == [
            left.tobytes(),
            right.tobytes(),
        ]
    assert BASELINES["ials"].train(groups, params(), 2)[0].tobytes() != left.tobytes()


@pytest.mark.parametrize("name", ["itemknn", "userknn", "ease", "ials"])
def test_taste_is_found(groups: Features, name: str):
    unseen = np.where(groups.seen.toarray() > 0, -np.inf, scores(groups, name))
    own = unseen.argmax(axis=1) % 2 == np.arange(80) % 2
    assert own.mean() > 0.8


def test_stage_writes_every_baseline(groups: Features, tmp_path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "features").mkdir()
    histories.save(tmp_path / "features", groups)
    stage = train_baselines.TrainBaselinesParams(seed=1, baselines=params())
    for name in BASELINES:
        train_baselines.main(stage, tmp_path / "features", tmp_path / "models" / name)
        model = matrices.load(tmp_path / "models" / name)
        product = model.left @ model.right.T
        product = product.toarray() if sp.issparse(product) else product
        np.testing.assert_allclose(product, scores(groups, name), rtol=1e-6)
        assert model.users.tolist() == groups.user_ids.tolist()
        assert model.items.tolist() == groups.item_ids.tolist()
        own = params().model_dump(include={name})
        assert model.card["params"] == {"seed": 1, "baselines": own}, "of another model they may change"
        assert len(model.card["data"]) == 64
    spec = json.loads((tmp_path / "features" / "spec.json").read_text())
    assert model.card["data"] == spec["data"]
    assert len(capsys.readouterr().out.splitlines()) == len(BASELINES)


def test_the_name_of_the_folder_is_that_of_a_baseline(tmp_path):
    stage = train_baselines.TrainBaselinesParams(seed=1, baselines=params())
    with pytest.raises(Problem, match=r"models/eas: unknown baseline 'eas'; .*did you mean 'ease'"):
        train_baselines.main(stage, tmp_path / "features", tmp_path / "models" / "eas")
