"""Metrics: worked by hand, against RecTools, and against a slow twin."""

import inspect
from collections import Counter
from math import log2

from retrieval.evaluation import metrics
from retrieval.evaluation.lists import Lists, TrainItems, judge
from retrieval.evaluation.metrics import BEYOND, BY_K, METRICS, by_k, means, values
from retrieval.stage import rounded

import numpy as np
import pandas as pd
import pytest
import rectools.metrics as rt
import scipy.sparse as sp
from rectools.metrics.distances import PairwiseHammingDistanceCalculator

# Train: item 0 was watched by users 0, 1, 2, 3; item 1 by 0 and 1; item 2 by 2; item 3 by nobody.
SEEN = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0]], dtype=np.float32)
CATEGORIES = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]], dtype=np.float32)
ALL = METRICS | BEYOND


def example() -> Lists:
    """User 0 gets items 2 and 3 and watched 3, 1, 0; user 1 gets item 2 alone and watched it."""
    train_items = TrainItems(sp.csr_matrix(SEEN), sp.csr_matrix(CATEGORIES), head=0.25)
    truth = sp.csr_matrix(np.array([[1, 1, 0, 1], [0, 0, 1, 0]], dtype=np.float32))
    return judge(np.array([[2, 3], [2, -1]], dtype=np.int32), truth, train_items, train_items.seen[:2])


# A metric's value for each user of `example`, or its one number for all lists
WORKED = {
    "map": [1 / 2 / 3, 1],  # user 0: a hit at rank 2, precision 1/2, of three relevant items
    "ndcg": [1 / log2(3) / (1 + 1 / log2(3)), 1 / (1 + 1 / log2(3))],  # two hits at ranks 1 and 2 would be 1
    "recall": [1 / 3, 1],
    "novelty": [2, 2],  # one of four users watched item 2, none item 3, which counts as one: log2(4)
    "coverage": 2 / 4,  # items 2 and 3
    "mrr": [1 / 2, 1],
    "hitrate": [1, 1],
    "precision": [1 / 2, 1 / 2],
    "ndcg_achievable": [1 / log2(3) / (1 + 1 / log2(3)), 1],  # user 1 can have one hit only
    "diversity": [1, 0],  # items 2 and 3 differ in the second category; one item alone has no pair
    # Both users watched item 0, of category 0, and item 1, of 0 and 1: p = 3/4, 1/4, 0. User 0 gets items 2 and 3, of
    # 1 and 2, and of 2: q = 0, 1/4, 3/4, and with 1 % of p 3/400, 1/4. User 1 gets item 2: q = 0, 1/2, 1/2.
    "calibration": [
        3 / 4 * log2(100) + 1 / 4 * log2(1),
        3 / 4 * log2(100) + 1 / 4 * log2(1 / 4 / (0.99 / 2 + 0.01 / 4)),
    ],
    # Ranks by popularity: items 0, 1, 2 are 1, 2, 3; nobody watched item 3. User 0, rank 2: p = 3/4 against 0, over
    # 2 items; user 1, rank 1: p = 4/4 against (4 + 1 - 3) / 4 = 2/4, over 1 item.
    "serendipity": [3 / 8, 1 / 2],
    "popularity": [1 / 2, 1],
    "popularity_lift": [1 / 2 / 3 - 1, 1 / 3 - 1],  # items 0 and 1 of the histories have 4 and 2 watchers
    "long_tail": [1, 1],  # the head is item 0, one of four
    "gini": 7 / 12,  # counts 0 0 1 2: (-3 * 0 - 1 * 0 + 1 * 1 + 3 * 2) / (4 * 3)
    "sufficient": [1, 0],
    "covered_users": [1, 1],
}


@pytest.mark.parametrize("name", ALL)
def test_worked_example(name: str) -> None:
    assert name in WORKED, f"add the values of {name!r} for `example` to WORKED in {__file__}, worked by hand"
    np.testing.assert_allclose(ALL[name](example()), WORKED[name], rtol=1e-12)


def world(seed: int, users: int = 60, items: int = 40, k: int = 7) -> tuple[Lists, sp.csr_matrix]:
    """Random lists, one of them short and one empty, with a long-tailed train, a test, and categories."""
    rng = np.random.default_rng(seed)
    draw = rng.random((users, items))
    seen = draw < np.linspace(0.6, 0, items)
    truth = sp.csr_matrix((draw > 0.9) & ~seen, dtype=np.float32)
    lists = np.argsort(rng.random((users, items)) + 2 * seen - 0.4 * (draw > 0.9), axis=1)[:, :k].astype(np.int32)
    active = np.flatnonzero(np.diff(truth.indptr))
    lists[active[3], 4:] = -1
    lists[active[5]] = -1
    categories = sp.csr_matrix(rng.random((items, 6)) < 0.3, dtype=np.float32)
    train_items = TrainItems(sp.csr_matrix(seen, dtype=np.float32), categories, head=0.2)
    return judge(lists, truth, train_items, train_items.seen), truth


def frame(matrix: sp.csr_matrix) -> pd.DataFrame:
    pairs = matrix.tocoo()
    return pd.DataFrame({"user_id": pairs.row, "item_id": pairs.col})


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_rectools(seed: int) -> None:
    lists, truth = world(seed)
    k, train_items = lists.k, lists.train_items
    users = np.flatnonzero(np.diff(truth.indptr))
    assert 10 < len(users) == len(lists.items)
    row, place = np.nonzero(lists.filled)
    reco = pd.DataFrame({"user_id": users[row], "item_id": lists.items[row, place], "rank": place + 1})
    assert len(set(row)) < len(users), "one list is empty"
    distance = PairwiseHammingDistanceCalculator(pd.DataFrame(train_items.categories.toarray()))
    theirs = {
        "map": rt.MAP(k), "ndcg": rt.NDCG(k), "recall": rt.Recall(k), "novelty": rt.MeanInvUserFreq(k),
        "mrr": rt.MRR(k), "hitrate": rt.HitRate(k), "precision": rt.Precision(k),
        "ndcg_achievable": rt.NDCG(k, divide_by_achievable=True), "diversity": rt.IntraListDiversity(k, distance),
        "serendipity": rt.Serendipity(k), "popularity": rt.AvgRecPopularity(k), "sufficient": rt.SufficientReco(k),
        "covered_users": rt.CoveredUsers(k),
    }  # fmt: skip
    facts = {
        "reco": reco,
        "interactions": frame(truth),
        "prev_interactions": frame(train_items.seen),
        "catalog": np.arange(len(train_items.watchers)),
    }
    for name, metric in theirs.items():
        names = set(inspect.signature(metric.calc_per_user).parameters) & set(facts)
        expected = metric.calc_per_user(**{each: facts[each] for each in names}).reindex(users, fill_value=0)
        np.testing.assert_allclose(ALL[name](lists), expected, rtol=1e-5, atol=1e-12, err_msg=name)
    assert ALL["coverage"](lists) == rt.CatalogCoverage(k, normalize=True).calc(reco, facts["catalog"])


def slow(items: list[int], relevant: set[int], k: int) -> dict[str, float]:
    """One user's metrics by their definition, item by item."""
    hits = [item in relevant for item in items]
    precision = [sum(hits[: place + 1]) / (place + 1) for place in range(len(items))]
    return {
        "map": sum(p for p, hit in zip(precision, hits, strict=True) if hit) / len(relevant),
        "ndcg": sum(1 / log2(place + 2) for place, hit in enumerate(hits) if hit)
        / sum(1 / log2(place + 2) for place in range(k)),
        "recall": sum(hits) / len(relevant),
        "mrr": next((1 / (place + 1) for place, hit in enumerate(hits) if hit), 0),
        "hitrate": float(any(hits)),
    }


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_the_slow_twin_user_by_user(seed: int) -> None:
    lists, truth = world(seed)
    relevant = [set(row.indices.tolist()) for row in truth if row.nnz]
    rows = [[i for i in row if i >= 0] for row in lists.items.tolist()]
    expected = [slow(row, wanted, lists.k) for row, wanted in zip(rows, relevant, strict=True)]
    for name in expected[0]:
        np.testing.assert_allclose(ALL[name](lists), [user[name] for user in expected], err_msg=name)


def test_gini_and_long_tail_by_their_definition() -> None:
    lists, _ = world(5)
    counts = [sum(item in row for row in lists.items.tolist()) for item in range(40)]
    differences = sum(abs(a - b) for a in counts for b in counts)
    assert metrics.gini(lists) == pytest.approx(differences / (2 * len(counts) * sum(counts)))
    head = set(sorted(range(40), key=lambda item: (-lists.train_items.watchers[item], item))[:8])  # 20 % of 40
    filled = [[i for i in row if i >= 0] for row in lists.items.tolist()]
    expected = [sum(item not in head for item in row) / max(len(row), 1) for row in filled]
    np.testing.assert_allclose(metrics.long_tail(lists), expected)


@pytest.mark.parametrize("seed", range(3))
def test_calibration_and_popularity_lift_by_their_definition(seed: int) -> None:
    lists, truth = world(seed)
    train_items = lists.train_items
    of_item = [set(row.indices.tolist()) for row in train_items.categories]
    assert set() in of_item, "an item without a category"

    def distribution(items: list[int]) -> Counter[int]:
        """category -> its share, where an item's categories share one vote."""
        votes: Counter[int] = Counter()
        for item in items:
            votes.update({category: 1 / len(of_item[item]) for category in of_item[item]})
        return Counter({category: vote / votes.total() for category, vote in votes.items()})

    def popularity(items: list[int]) -> float:
        return sum(int(train_items.watchers[item]) for item in items) / len(items)

    calibration, lift = [], []
    for row, user in zip(lists.items.tolist(), np.flatnonzero(np.diff(truth.indptr)), strict=True):
        items, history = [i for i in row if i >= 0], train_items.seen[user].indices.tolist()
        p, q = distribution(history), distribution(items)
        calibration.append(sum(p[c] * log2(p[c] / (0.99 * q[c] + 0.01 * p[c])) for c in p))
        lift.append(popularity(items) / popularity(history) - 1 if items and history else 0)
    np.testing.assert_allclose(metrics.calibration(lists), calibration, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(metrics.popularity_lift(lists), lift, rtol=1e-9)


def test_a_list_like_the_history_is_calibrated() -> None:
    """Items 0 and 1 again, and other items with the same shares of categories."""
    train_items = TrainItems(sp.csr_matrix(SEEN[:, [0, 1, 0, 1]]), sp.csr_matrix(CATEGORIES[[0, 1, 0, 1]]), head=0.25)
    truth = sp.csr_matrix(np.ones((2, 4), dtype=np.float32))
    lists = judge(np.array([[1, 0], [2, 3]], dtype=np.int32), truth, train_items, train_items.seen[:2])
    np.testing.assert_allclose(metrics.calibration(lists), 0, atol=1e-12)


def test_without_a_history_there_is_no_calibration_and_no_lift() -> None:
    one = example()
    lists = judge(one.items, sp.csr_matrix(np.ones((2, 4), dtype=np.float32)), one.train_items)
    assert metrics.calibration(lists).tolist() == [0, 0]
    assert metrics.popularity_lift(lists).tolist() == [0, 0]


def test_every_k_cuts_the_lists() -> None:
    lists, _ = world(2)
    found = by_k(lists, [2, 5])
    assert list(found) == [f"{name}@{k}" for name in BY_K for k in (2, 5)]
    assert list(found)[:2] == ["recall@2", "recall@5"]
    for k in (2, 5):
        expected = means(values(lists.first(k), BY_K))
        assert {name: value for name, value in found.items() if name.endswith(f"@{k}")} == expected


def test_cut_lists_are_judged_as_short_ones() -> None:
    lists, truth = world(1)
    whole = np.full((truth.shape[0], lists.k), -1, dtype=np.int32)
    whole[np.diff(truth.indptr) > 0] = lists.items
    short = judge(whole[:, :3], truth, lists.train_items, lists.train_items.seen)
    for name, value in values(lists.first(3), ALL).items():
        np.testing.assert_array_equal(value, values(short, ALL)[name], err_msg=name)


def test_numbers_have_six_significant_digits() -> None:
    assert rounded(0.123456789) == 0.123457
    assert rounded(1234567.8) == 1234570
    assert means({"map@10": np.array([0.1, 0.2, 0.7]), "gini@10": np.array(2 / 3)}) == {
        "map@10": 0.333333,
        "gini@10": 0.666667,
    }


@pytest.mark.parametrize("name", ALL)
def test_without_recommendations_every_metric_is_zero(name: str) -> None:
    """Not NaN: a model may have nothing to recommend, for instance if a user has seen all of its candidates.

    Calibration alone, where 0 is the best, has its worst value.
    """
    train_items = TrainItems(sp.csr_matrix(SEEN), sp.csr_matrix(CATEGORIES), head=0.25)
    lists = judge(np.full((4, 3), -1, dtype=np.int32), sp.csr_matrix(SEEN), train_items, train_items.seen)
    np.testing.assert_allclose(ALL[name](lists), log2(100) if name == "calibration" else 0)
