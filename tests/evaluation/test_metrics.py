"""Metrics: worked by hand, against RecTools, and against a slow twin."""

from math import log2

from retrieval.evaluation import metrics
from retrieval.evaluation.metrics import BEYOND, METRICS, Lists, TrainItems, judge, means, values
from retrieval.stage import rounded

import numpy as np
import pandas as pd
import pytest
import rectools.metrics as rt
import scipy.sparse as sp
from rectools.metrics.distances import PairwiseHammingDistanceCalculator

# Train: item 0 was watched by users 0, 1, 2, 3; item 1 by 0 and 1; item 2 by 2; item 3 by nobody.
SEEN = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0]], dtype=np.float32)
FEATURES = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]], dtype=np.float32)


def example() -> Lists:
    """User 0 gets items 2 and 3 and watched 3, 1, 0; user 1 gets item 2 alone and watched it."""
    train_items = TrainItems(sp.csr_matrix(SEEN), sp.csr_matrix(FEATURES), head=0.25)
    truth = sp.csr_matrix(np.array([[1, 1, 0, 1], [0, 0, 1, 0]], dtype=np.float32))
    return judge(np.array([[2, 3], [2, -1]], dtype=np.int32), truth, train_items)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("map", [1 / 2 / 3, 1]),  # user 0: a hit at rank 2, precision 1/2, of three relevant items
        ("ndcg", [1 / log2(3) / (1 + 1 / log2(3)), 1 / (1 + 1 / log2(3))]),  # two hits at ranks 1 and 2 would be 1
        ("recall", [1 / 3, 1]),
        ("novelty", [2, 2]),  # one of four users watched item 2, none item 3, which counts as one: log2(4)
        ("coverage", 2 / 4),  # items 2 and 3
        ("mrr", [1 / 2, 1]),
        ("hitrate", [1, 1]),
        ("diversity", [1, 0]),  # items 2 and 3 differ in the second feature; one item alone has no pair
        # Ranks by popularity: items 0, 1, 2 are 1, 2, 3; nobody watched item 3. User 0, rank 2: p = 3/4 against 0, over
        # 2 items; user 1, rank 1: p = 4/4 against (4 + 1 - 3) / 4 = 2/4, over 1 item.
        ("serendipity", [3 / 8, 1 / 2]),
        ("popularity", [1 / 2, 1]),
        ("long_tail", [1, 1]),  # the head is item 0, one of four
        ("gini", 7 / 12),  # counts 0 0 1 2: (-3 * 0 - 1 * 0 + 1 * 1 + 3 * 2) / (4 * 3)
    ],
)
def test_worked_example(name: str, expected: list[float]) -> None:
    value = (METRICS | BEYOND)[name](example())
    np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_every_metric_has_a_worked_example() -> None:
    worked = {case[0] for case in test_worked_example.pytestmark[0].args[1]}
    assert worked == set(METRICS | BEYOND)


def world(seed: int, users: int = 60, items: int = 40, k: int = 7) -> tuple[Lists, sp.csr_matrix]:
    """Random lists, one of them short, with a long-tailed train, a test, and features."""
    rng = np.random.default_rng(seed)
    draw = rng.random((users, items))
    seen = draw < np.linspace(0.6, 0, items)
    truth = sp.csr_matrix((draw > 0.9) & ~seen, dtype=np.float32)
    lists = np.argsort(rng.random((users, items)) + 2 * seen - 0.4 * (draw > 0.9), axis=1)[:, :k].astype(np.int32)
    lists[3, 4:] = -1
    features = sp.csr_matrix(rng.random((items, 6)) < 0.3, dtype=np.float32)
    return judge(lists, truth, TrainItems(sp.csr_matrix(seen, dtype=np.float32), features, head=0.2)), truth


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
    distance = PairwiseHammingDistanceCalculator(pd.DataFrame(train_items.features.toarray()))
    theirs = {
        "map": rt.MAP(k), "ndcg": rt.NDCG(k), "recall": rt.Recall(k), "novelty": rt.MeanInvUserFreq(k),
        "coverage": rt.CatalogCoverage(k, normalize=True), "mrr": rt.MRR(k), "hitrate": rt.HitRate(k),
        "diversity": rt.IntraListDiversity(k, distance), "serendipity": rt.Serendipity(k),
        "popularity": rt.AvgRecPopularity(k),
    }  # fmt: skip
    items = np.arange(len(train_items.watchers))
    expected = rt.calc_metrics(theirs, reco, frame(truth), frame(train_items.seen), items)
    ours = means(values(lists, METRICS | BEYOND))
    assert set(ours) - {f"{name}@{k}" for name in theirs} == {f"long_tail@{k}", f"gini@{k}"}
    for name, value in expected.items():
        assert ours[f"{name}@{k}"] == pytest.approx(value, rel=1e-5), name


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
        np.testing.assert_allclose((METRICS | BEYOND)[name](lists), [user[name] for user in expected], err_msg=name)


def test_gini_and_long_tail_by_their_definition() -> None:
    lists, _ = world(5)
    counts = [sum(item in row for row in lists.items.tolist()) for item in range(40)]
    differences = sum(abs(a - b) for a in counts for b in counts)
    assert metrics.gini(lists) == pytest.approx(differences / (2 * len(counts) * sum(counts)))
    head = set(sorted(range(40), key=lambda item: (-lists.train_items.watchers[item], item))[:8])  # 20 % of 40
    filled = [[i for i in row if i >= 0] for row in lists.items.tolist()]
    expected = [sum(item not in head for item in row) / len(row) for row in filled]
    np.testing.assert_allclose(metrics.long_tail(lists), expected)


def test_users_without_relevant_items_are_left_out() -> None:
    train_items = TrainItems(sp.csr_matrix(SEEN), sp.csr_matrix(FEATURES), head=0.25)
    truth = sp.csr_matrix(np.array([[0, 0, 0, 0], [0, 1, 0, 0]], dtype=np.float32))
    lists = judge(np.array([[1, 2], [1, 2]], dtype=np.int32), truth, train_items)
    assert lists.items.tolist() == [[1, 2]]
    assert metrics.recall(lists).tolist() == [1]


def test_cut_lists_are_judged_as_short_ones() -> None:
    lists, truth = world(1)
    whole = np.full((truth.shape[0], lists.k), -1, dtype=np.int32)
    whole[np.diff(truth.indptr) > 0] = lists.items
    short = judge(whole[:, :3], truth, lists.train_items)
    for name, value in values(lists.first(3), METRICS | BEYOND).items():
        np.testing.assert_array_equal(value, values(short, METRICS | BEYOND)[name], err_msg=name)


def test_numbers_have_six_significant_digits() -> None:
    assert rounded(0.123456789) == 0.123457
    assert rounded(1234567.8) == 1234570
    assert means({"map@10": np.array([0.1, 0.2, 0.7]), "gini@10": np.array(2 / 3)}) == {
        "map@10": 0.333333,
        "gini@10": 0.666667,
    }


@pytest.mark.parametrize("name", METRICS | BEYOND)
def test_without_recommendations_every_metric_is_zero(name: str) -> None:
    """Not NaN: a model may have nothing to recommend, for instance if a user has seen all of its candidates."""
    train_items = TrainItems(sp.csr_matrix(SEEN), sp.csr_matrix(FEATURES), head=0.25)
    lists = judge(np.full((4, 3), -1, dtype=np.int32), sp.csr_matrix(SEEN), train_items)
    assert np.all((METRICS | BEYOND)[name](lists) == 0)
