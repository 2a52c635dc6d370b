"""Lists and their hits, on small worked examples."""

from retrieval.evaluation.lists import Lists, TrainItems, judge

import numpy as np
import pytest
import scipy.sparse as sp

SEEN = np.array([[1, 1, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0]], dtype=np.float32)
ITEMS = TrainItems(sp.csr_matrix(SEEN), sp.csr_matrix((4, 0), dtype=np.float32), head=0.5)


@pytest.fixture
def lists() -> Lists:
    """Users 0 and 2, as user 1 watched nothing in the test."""
    truth = sp.csr_matrix(np.array([[0, 0, 1, 1], [0, 0, 0, 0], [1, 0, 0, 0]], dtype=np.float32))
    return judge(np.array([[3, -1], [0, 2], [3, 0]], dtype=np.int32), truth, ITEMS, ITEMS.seen)


def test_users_without_relevant_items_are_left_out(lists: Lists) -> None:
    assert lists.items.tolist() == [[3, -1], [3, 0]]
    assert lists.hits.tolist() == [[True, False], [False, True]]
    assert lists.relevant.tolist() == [2, 1]
    assert lists.history.toarray().tolist() == SEEN[[0, 2]].tolist()


def test_the_first_items_of_a_list(lists: Lists) -> None:
    first = lists.first(1)
    assert (first.k, first.items.tolist(), first.hits.tolist()) == (1, [[3], [3]], [[True], [False]])
    assert first.matrix.toarray().tolist() == [[0, 0, 0, 1], [0, 0, 0, 1]]


def test_a_list_as_a_row_of_a_matrix(lists: Lists) -> None:
    assert lists.filled.tolist() == [[True, False], [True, True]]
    assert lists.matrix.toarray().tolist() == [[0, 0, 0, 1], [1, 0, 0, 1]]
    assert lists.mean(np.array([1.0, 2.0, 3.0, 4.0])).tolist() == [4, 2.5]


def test_without_a_history_there_are_empty_ones(lists: Lists) -> None:
    truth = sp.csr_matrix(np.ones((2, 4), dtype=np.float32))
    assert judge(lists.items, truth, ITEMS).history.toarray().tolist() == [[0] * 4] * 2


def test_items_as_they_are_in_train() -> None:
    assert ITEMS.watchers.tolist() == [1, 3, 1, 0]
    assert ITEMS.users == 3
    assert ITEMS.tail.tolist() == [False, False, True, True]  # of equally popular items the first is head
