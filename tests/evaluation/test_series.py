"""Data series of the plots, on small worked examples."""

from retrieval.evaluation.lists import TrainItems, judge
from retrieval.evaluation.metrics import ndcg
from retrieval.evaluation.series import LONGEST, by_length, by_popularity

import numpy as np
import scipy.sparse as sp


def items_of(counts: list[int]) -> TrainItems:
    """Items watched by `counts` users."""
    seen = np.arange(max(counts))[:, None] < np.array(counts)
    return TrainItems(sp.csr_matrix(seen, dtype=np.float32), sp.csr_matrix((len(counts), 1), dtype=np.float32), 0.2)


def test_ndcg_by_length() -> None:
    truth = sp.csr_matrix(np.array([[1, 0, 0, 1]], dtype=np.float32))
    lists = judge(np.array([[1, 0, 3]], dtype=np.int32), truth, items_of([4, 3, 2, 1]))
    rows = by_length({"a": lists, "b": lists})
    # no hit; 1 / log2(3) over 1 + 1 / log2(3); 1 / log2(3) + 1 / 2 over 1 + 1 / log2(3) + 1 / 2
    assert [row["k"] for row in rows] == [1, 2, 3]
    np.testing.assert_allclose([row["a"] for row in rows], [0, 0.386853, 0.530721], atol=1e-6)
    assert all(row["a"] == row["b"] for row in rows)
    assert rows[2]["b"] == float(f"{ndcg(lists).mean():.6g}")


def test_long_lists_are_plotted_up_to_the_longest_length() -> None:
    lists = judge(np.arange(30, dtype=np.int32)[None], sp.csr_matrix(np.ones((1, 30))), items_of([1] * 30))
    assert [row["k"] for row in by_length({"a": lists})] == list(range(1, LONGEST + 1))


def test_share_by_popularity() -> None:
    """Item 2 was watched by 6 of 12, and so fills the first half; items 0, 1 and 3 share the second."""
    lists = judge(np.array([[2, 0, 3, -1]], dtype=np.int32), sp.csr_matrix(np.ones((1, 4))), items_of([3, 2, 6, 1]))
    assert by_popularity({"a": lists}, parts=2) == [{"part": 1, "a": 0.333333}, {"part": 2, "a": 0.666667}]
    # by fourths of 12: item 2 begins at 0, item 0 at 6, item 1 at 9, item 3 at 11
    assert [row["a"] for row in by_popularity({"a": lists}, parts=4)] == [0.333333, 0, 0.333333, 0.333333]


def test_what_follows_train_is_spread_evenly() -> None:
    one_of_each = items_of([1] * 20)
    lists = judge(np.arange(20, dtype=np.int32)[None], sp.csr_matrix(np.ones((1, 20))), one_of_each)
    assert [row["a"] for row in by_popularity({"a": lists})] == [0.1] * 10
