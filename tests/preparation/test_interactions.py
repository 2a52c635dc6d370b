"""From raw rows to train, test and cold: which rows are dropped, why, and which are left."""

from typing import Any

from retrieval.errors import Problem
from retrieval.preparation.filters import Filter
from retrieval.preparation.interactions import Interactions, entities, prepare
from retrieval.preparation.split import Split

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

OFF = Filter(enabled=False, user_interactions=0, item_interactions=0)
ROWS = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 9), st.sampled_from([0.0, 40.0, 100.0, None])),
    min_size=1,
    max_size=30,
)


def raw(rows: list[tuple[int, int, int, float | None]]) -> pa.Table:
    """Rows (user, item, day of March 2021, share)."""
    user, item, day, share = zip(*rows, strict=True)
    return pa.table(
        {
            "user_id": pa.array(user, pa.int64()),
            "item_id": pa.array(item, pa.int64()),
            "last_watch_dt": pa.array([pd.Timestamp(2021, 3, d) for d in day], pa.timestamp("us")),
            "watched_pct": pa.array(share, pa.float64()),
        }
    )


def prepare_rows(rows: list[tuple[int, int, int, float | None]], **changes: Any) -> Interactions:
    split = Split(kind="auto", days=2, last=1, fold=changes.get("fold", 0))
    described = np.array(changes.get("described", []), dtype=np.int64)
    return prepare(raw(rows), described, changes.get("kind", "days"), split, changes.get("filter", OFF))


def pairs(part: pd.DataFrame) -> list[tuple[int, int]]:
    return list(zip(part["user_id"], part["item_id"], strict=True))


def test_every_row_goes_where_its_reason_says() -> None:
    result = prepare_rows(
        [
            (1, 2, 2, 10.0),  # train, and the second in time
            (1, 1, 1, 20.0),  # train, and the first
            (2, 1, 3, None),  # no share
            (2, 2, 3, 30.0),  # repeated on the next day
            (2, 2, 4, 40.0),  # train: the last of two
            (1, 1, 9, 50.0),  # test, but the user has seen it in train
            (2, 1, 9, 60.0),  # test: the row of train had no share
            (1, 9, 9, 70.0),  # test, of an item that is not in train
            (3, 1, 9, 80.0),  # test, of a user who is not in train
            (3, 9, 9, 90.0),  # both
        ]
    )
    assert pairs(result.train) == [(1, 1), (1, 2), (2, 2)]
    assert result.train["datetime"].dt.day.tolist() == [1, 2, 4]
    assert pairs(result.test) == [(2, 1)]
    assert pairs(result.cold) == [(3, 1)]
    assert result.moment == pd.Timestamp(2021, 3, 7).timestamp()
    assert result.dropped == {
        "no_watched_pct": 1,
        "after_the_test": 0,
        "repeated": 1,
        "seen_in_train": 1,
        "item_not_in_train": 2,
    }


def test_a_second_view_in_the_test_period_leaves_the_first_in_train() -> None:
    result = prepare_rows([(1, 1, 1, 1.0), (2, 2, 1, 1.0), (1, 1, 9, 1.0), (2, 1, 9, 1.0)])
    assert pairs(result.train) == [(1, 1), (2, 2)]
    assert pairs(result.test) == [(2, 1)]


def test_ties_keep_the_order_of_the_file() -> None:
    items = [37 * k % 101 for k in range(1, 101)]
    result = prepare_rows([*((1, item, 2, 1.0) for item in items), (2, 5, 1, 1.0), (2, 1, 9, 1.0)])
    assert pairs(result.train) == [(2, 5), *((1, item) for item in items)]


def test_weights_are_the_bins_of_train() -> None:
    # Train has 0, 50 and 100: bins 0, 10 and 20 of 21. The test's 120 lies above all edges: the last bin.
    result = prepare_rows([(1, 1, 1, 0.0), (1, 2, 1, 50.0), (2, 3, 1, 100.0), (2, 1, 9, 120.0), (1, 3, 9, 50.0)])
    assert result.train["weight"].tolist() == [0, 10, 20]
    assert result.test["weight"].tolist() == [20, 10]
    assert {str(part["weight"].dtype) for part in (result.train, result.test, result.cold)} == {"float32"}


def test_the_filter_keeps_users_of_the_test_period_and_drops_users_without_features() -> None:
    rows = [
        (1, 1, 1, 1.0), (1, 2, 1, 1.0), (2, 1, 1, 1.0), (2, 2, 1, 1.0), (2, 3, 1, 1.0),  # two items with two users
        (3, 3, 1, 1.0),  # not active, but of the test period
        (4, 4, 1, 1.0),  # not active
        (3, 1, 9, 1.0),
        (2, 4, 9, 1.0),  # makes user 2 a test user, too; its item 4 goes with user 4
    ]  # fmt: skip
    limits = Filter(enabled=True, user_interactions=1, item_interactions=1)
    result = prepare_rows(rows, filter=limits)
    assert pairs(result.train) == [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 3)]
    assert pairs(result.test) == [(3, 1)]
    assert result.dropped["filtered"] == 1
    result = prepare_rows(rows, filter=limits, described=[1, 3])
    assert pairs(result.train) == [(1, 1), (1, 2), (3, 3)]
    assert result.dropped["user_not_in_users_csv"] == 3
    assert prepare_rows(rows, described=[1, 3]).dropped.get("user_not_in_users_csv") is None  # only with the filter


def test_an_empty_test_or_train_is_refused() -> None:
    with pytest.raises(
        Problem, match=r"split: no test row has its user and its item in train; dropped: \{'no_watched_pct': 0, "
    ):
        prepare_rows([(1, 1, 1, 1.0), (2, 2, 9, 1.0)])
    with pytest.raises(Problem, match="no row is left for train"):
        prepare_rows([(1, 1, 8, 1.0), (2, 2, 9, 1.0)])
    with pytest.raises(Problem, match="column 'watched_pct' is empty in every row"):
        prepare_rows([(1, 1, 8, None)])
    limits = Filter(enabled=True, user_interactions=9, item_interactions=9)
    with pytest.raises(Problem, match="no row is left for train with user_interactions=9 and item_interactions=9"):
        prepare_rows([(1, 1, 1, 1.0), (2, 2, 9, 1.0)], filter=limits)


@given(ROWS, st.sampled_from(["days", "leave-last"]), st.integers(0, 1), st.booleans())
def test_every_row_is_in_one_part_or_counted_as_dropped(
    rows: list[tuple[int, int, int, float | None]], kind: str, fold: int, enabled: bool
) -> None:
    limits = Filter(enabled=enabled, user_interactions=1, item_interactions=1)
    try:
        result = prepare_rows(rows, kind=kind, fold=fold, filter=limits, described=[1, 2, 3])
    except Problem:
        return
    parts = (result.train, result.test, result.cold)
    assert len(rows) == sum(map(len, parts)) + sum(result.dropped.values())
    train, test, cold = (set(pairs(part)) for part in parts)
    assert [len(part) for part in parts] == [len(train), len(test), len(cold)]
    assert not train & (test | cold)
    assert {u for u, _ in test} <= {u for u, _ in train}
    assert not {u for u, _ in cold} & {u for u, _ in train}
    assert {i for _, i in test | cold} <= {i for _, i in train}
    assert all(part["datetime"].is_monotonic_increasing for part in parts)
    if kind == "days":
        assert result.train["datetime"].max().timestamp() <= result.moment < result.test["datetime"].min().timestamp()


def test_entities_are_those_of_train_in_the_order_of_their_ids() -> None:
    table = pa.table({"user_id": [5, 3, 9, 3], "age": ["a", "b", "c", "d"]})
    rows, dropped = entities(table, "user_id", np.array([3, 5, 7]))
    assert rows.to_pydict() == {"user_id": [3, 5], "age": ["d", "a"]}
    assert dropped == {"repeated": 1, "not_in_interactions": 1}
