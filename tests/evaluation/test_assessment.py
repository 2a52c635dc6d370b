"""The three settings, worked by hand on three users, and test files that do not fit the features."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from retrieval.errors import Problem
from retrieval.evaluation.assessment import Assessment, Exam, assess, prepare_exam
from retrieval.evaluation.options import Evaluation
from retrieval.histories import Features, Histories
from retrieval.matrices import Model

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from worlds import section

OPTIONS = Evaluation(
    **section("evaluate", ks=[2, 3], head=0.25, resamples=10, negatives=2, points=2, map="tsne", candidates="train")
)
USERS, ITEMS = np.array([10, 20, 30]), np.array([5, 6, 7, 8])
TRAIN = [[0], [0, 1], [2]]  # the items (rows) of each user
TEST = [(10, 6), (30, 8)]  # ids: user 0 watched item 1, user 2 watched item 3


def features(**facts: Any) -> Features:
    size = [len(items) for items in TRAIN]
    item = np.concatenate(TRAIN).astype(np.int32)
    histories = Histories(
        np.append(0, np.cumsum(size)), item, np.zeros(len(item), np.int64), np.ones(len(item), np.float32)
    )
    users, items = sp.csr_matrix((3, 0), dtype=np.float32), sp.csr_matrix((4, 0), dtype=np.float32)
    spec = {"user_columns": {}, "item_columns": {}, "repeats": "drop"} | facts
    return Features(histories, users, items, USERS, ITEMS, spec)


def exam(folder: Path, pairs: list[tuple[int, int]], data: Features | None = None) -> Exam:
    table = pd.DataFrame(pairs, columns=["user_id", "item_id"]).astype(np.int64)
    table.to_parquet(folder / "test.parquet")
    return prepare_exam(folder, data or features(), OPTIONS, seed=0)


def popular(users: np.ndarray = USERS, items: np.ndarray = ITEMS) -> Model:
    """Ranks items 0, 1, 2, 3, in this order, for everybody."""
    left, right = np.ones((3, 1), np.float32), np.array([[4], [3], [2], [1]], np.float32)
    return Model("popular", "constant", left, right, users, items, {})


@pytest.fixture
def result(tmp_path: Path) -> Assessment:
    return assess(popular(), exam(tmp_path, TEST), OPTIONS)


def test_lists_of_new_items_leave_out_what_the_user_has_seen(result: Assessment) -> None:
    assert result.lists.items.tolist() == [[1, 2, 3], [0, 1, 3]]
    assert result.lists.hits.tolist() == [[True, False, False], [False, False, True]]


def test_lists_of_new_items_leave_out_what_the_user_dislikes(tmp_path: Path) -> None:
    disliked = sp.csr_matrix((np.ones(1, np.float32), ([0], [1])), shape=(3, 4))
    result = assess(popular(), exam(tmp_path, [(10, 8), (30, 8)], replace(features(), disliked=disliked)), OPTIONS)
    assert result.lists.items.tolist() == [[2, 3, -1], [0, 1, 3]]


def test_with_repeats_lists_have_what_the_user_has_seen(tmp_path: Path) -> None:
    """User 0 watches item 0 again: the first of their list."""
    result = assess(popular(), exam(tmp_path, [(10, 5), (30, 8)], features(repeats="keep")), OPTIONS)
    assert result.lists.items.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert result.values["recall@2"].tolist() == [1, 0]


def test_test_users_and_new_items(result: Assessment) -> None:
    """User 0 has a hit at rank 1; that of user 2, at rank 3, is beyond k."""
    assert result.values["map@2"].tolist() == [1, 0]
    assert result.values["recall@2"].tolist() == [1, 0]
    assert result.values["coverage@2"] == 3 / 4
    assert result.beyond["mrr@2"].tolist() == [1, 0]
    assert result.beyond["debiased_map@2"].tolist() == [1, 0]  # no item is that popular


def test_test_users_and_all_items(result: Assessment) -> None:
    """Both users get items 0 and 1; item 1 is a hit at rank 2 for user 0."""
    assert result.settings["test_all"]["map@2"] == (1 / 2 + 0) / 2
    assert result.settings["test_all"]["recall@2"] == (1 + 0) / 2
    assert result.settings["test_all"]["coverage@2"] == 2 / 4


def test_train_users_and_all_items(result: Assessment) -> None:
    """All three users get items 0 and 1: all that users 0 and 1 watched in train, nothing that user 2 did."""
    assert list(result.settings) == ["test_all", "train"]
    assert result.settings["train"]["map@2"] == pytest.approx((1 + 1 + 0) / 3, rel=1e-5)
    assert result.settings["train"]["recall@2"] == pytest.approx((1 + 1 + 0) / 3, rel=1e-5)


@pytest.mark.parametrize("users", [1, 2])
def test_of_many_train_users_there_is_a_sample_that_says_its_size(tmp_path: Path, users: int) -> None:
    """As above, users 0 and 1 score 1 and user 2 scores 0. The test users are judged all the same."""
    options = OPTIONS.model_copy(update={"users": users})
    exam(tmp_path, TEST)
    sample = prepare_exam(tmp_path, features(), options, seed=0)
    settings = assess(popular(), sample, options).settings
    assert len(set(sample.train_users.tolist())) == users
    assert settings["train"]["users"] == users
    assert settings["train"]["map@2"] == pytest.approx(np.mean([(1, 1, 0)[user] for user in sample.train_users]))
    assert settings["test_all"]["map@2"] == (1 / 2 + 0) / 2


def test_words_of_texts_are_no_categories(tmp_path: Path) -> None:
    """Items 1 and 2 share the genre and no word of the title."""
    columns = {"genres": ["drama"], "title": ["dark", "night"]}
    matrix = sp.csr_matrix(np.array([[0, 0, 0], [1, 0.8, 0], [1, 0, 0.6], [0, 0, 0]], np.float32))
    data = replace(features(item_columns=columns, item_texts={"title": [1.0, 1.0]}), items=matrix)
    made = exam(tmp_path, TEST, data)
    assert made.train_items.categories.toarray().tolist() == [[0], [1], [1], [0]]
    assert assess(popular(), made, OPTIONS).beyond["diversity@2"].tolist() == [0, 1]
    same = replace(features(item_columns={"genres": ["drama"]}), items=matrix[:, :1])
    for name, each in assess(popular(), exam(tmp_path, TEST, same), OPTIONS).beyond.items():
        np.testing.assert_array_equal(each, assess(popular(), made, OPTIONS).beyond[name], err_msg=name)


def test_the_exam_is_of_the_test_users(tmp_path: Path) -> None:
    made = exam(tmp_path, [*TEST, TEST[0]])  # a repeated pair counts once
    assert made.users.tolist() == [0, 2]
    assert made.truth.toarray().tolist() == [[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    assert made.train_items.watchers.tolist() == [2, 1, 1, 0]
    assert made.train_items.tail.tolist() == [False, True, True, True]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], r"test\.parquet: no rows; expected at least one interaction"),
        ([*TEST, (10, 5), (20, 6)], r"test\.parquet: 2 of its 4 pairs of user and item are also in train"),
        ([*TEST, (10, 9), (10, 1)], r"test\.parquet: items of 2 rows are not in the features; run the stage features"),
        ([*TEST, (11, 6)], r"test\.parquet: users of 1 rows are not in the features; run the stage features again"),
    ],
)
def test_a_test_that_does_not_fit_the_features_is_refused(
    tmp_path: Path, pairs: list[tuple[int, int]], message: str
) -> None:
    with pytest.raises(Problem, match=message):
        exam(tmp_path, pairs)


def test_a_missing_test_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"test\.parquet: no such file; run the stage prepare first"):
        prepare_exam(tmp_path, features(), OPTIONS, seed=0)


@pytest.mark.parametrize("ids", [{"users": USERS + 1}, {"items": ITEMS[::-1]}])
def test_a_model_of_other_users_or_items_is_refused(tmp_path: Path, ids: dict[str, np.ndarray]) -> None:
    with pytest.raises(Problem, match="model popular: its users and items are not those of the features; train it"):
        assess(popular(**ids), exam(tmp_path, TEST), OPTIONS)
