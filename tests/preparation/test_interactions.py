"""From raw rows to train, test and cold: which rows are dropped, why, and which are left."""

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

from retrieval.errors import Problem
from retrieval.preparation.engine import Engine
from retrieval.preparation.filters import Filter
from retrieval.preparation.interactions import Described, Interactions, Rules, prepare
from retrieval.preparation.positives import Positives
from retrieval.preparation.split import Split

import ibis.expr.types as ir
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_tables import day, write_interactions
from worlds import section

SPLIT = section("split", days=2, last=1, fold=0, repeats="drop", until=None)
POSITIVES = section(
    "positives", min_value=None, events=[], min_duration=0, repeats="last", weight="bin", exclude_disliked=False
)
OFF = Filter(**section("filter", enabled=False))
ROWS = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 9), st.sampled_from([0.0, 40.0, 100.0, None])),
    min_size=1,
    max_size=30,
)
Row = tuple[int, int, int, float | None]


def limit(users: int, items: int, enabled: bool = True) -> Filter:
    """A filter that drops users and items with this many interactions or fewer."""
    return Filter(**section("filter", enabled=enabled, user_interactions=users, item_interactions=items))


def rules(**changes: Any) -> Rules:
    split, positives = ({**base, **{k: v for k, v in changes.items() if k in base and k != "kind"}}
                        for base in (SPLIT, POSITIVES))  # fmt: skip
    split["repeats"] = changes.get("keep", "drop")
    return Rules(changes.get("kind", "days"), Split(**split), Positives(**positives), changes.get("filter", OFF))


def prepare_rows(
    engine: Engine,
    table: ir.Table,
    described: list[int] | None = None,
    items: list[int] | None = None,
    **changes: Any,
) -> Interactions:
    users_and_items = (
        None if ids is None else table.filter(table[name].isin(ids)).select(name).distinct()
        for name, ids in (("user_id", described), ("item_id", items))
    )
    return prepare(engine, table, Described(*users_and_items), rules(**changes))


def pairs(part: ir.Table) -> list[tuple[int, int]]:
    frame = part.to_pandas()
    return list(zip(frame["user_id"], frame["item_id"], strict=True))


def weights(part: ir.Table) -> list[float]:
    return part.to_pyarrow()["weight"].to_pylist()


EVERY_WAY = [
    (1, 2, 2, 10.0),  # train
    (1, 1, 1, 20.0),  # train, before the row above
    (2, 1, 3, None),  # no value
    (2, 2, 3, 30.0),  # repeated on the next day
    (2, 2, 4, 40.0),  # train: the last of two
    (1, 1, 9, 50.0),  # test, but the user has seen it in train
    (2, 1, 9, 60.0),  # test: the row of train had no value
    (1, 9, 9, 70.0),  # test, of an item that is not in train
    (3, 1, 9, 80.0),  # test, of a user who is not in train
    (3, 9, 9, 90.0),  # both
]


def test_every_row_goes_where_its_reason_says(raw: Any, duckdb: Engine) -> None:
    result = prepare_rows(duckdb, raw(EVERY_WAY))
    assert pairs(result.train) == [(1, 1), (1, 2), (2, 2)]
    assert result.train.to_pyarrow()["datetime"].to_pylist() == [day(1), day(2), day(4)]
    assert pairs(result.test) == [(2, 1)]
    assert pairs(result.cold) == [(3, 1)]
    assert result.moment == pd.Timestamp(2021, 3, 7).timestamp()
    assert result.dropped == {
        "no_value": 1,
        "after_the_test": 0,
        "repeated": 1,
        "seen_in_train": 1,
        "item_not_in_train": 2,
    }


def test_rows_of_new_items_are_kept_if_the_item_has_features_and_the_user_is_in_train(raw: Any, duckdb: Engine) -> None:
    rows = [*EVERY_WAY, (2, 8, 8, 10.0), (2, 8, 9, 20.0)]  # an item without a row in the table of items
    result = prepare_rows(duckdb, raw(rows), items=[1, 2, 9])
    assert pairs(result.cold_items) == [(1, 9)]  # not (3, 9): user 3 is not in train
    assert pairs(result.test) == [(2, 1)]
    assert result.dropped["item_not_in_train"] == 2  # (3, 9) and (2, 8)
    assert pairs(prepare_rows(duckdb, raw(rows)).cold_items) == []


def test_with_repeats_train_has_every_row_and_the_test_one_per_pair_also_of_pairs_in_train(
    raw: Any, duckdb: Engine
) -> None:
    rows = [*EVERY_WAY, (1, 1, 8, 55.0)]  # the first of two test rows of a pair
    result = prepare_rows(duckdb, raw(rows), keep="keep")
    assert pairs(result.train) == [(1, 1), (1, 2), (2, 2), (2, 2)]
    assert result.train.to_pyarrow()["datetime"].to_pylist() == [day(1), day(2), day(3), day(4)]
    assert pairs(result.test) == [(1, 1), (2, 1)]
    assert result.test.to_pyarrow()["datetime"].to_pylist() == [day(9), day(9)]
    assert result.dropped == {"no_value": 1, "after_the_test": 0, "repeated": 1, "item_not_in_train": 2}
    counted = prepare_rows(duckdb, raw(rows), keep="keep", weight="count")
    assert (weights(counted.train), weights(counted.test)) == ([1, 1, 1, 1], [2, 1])
    first = prepare_rows(duckdb, raw(rows), keep="keep", repeats="first")
    assert pairs(first.train) == pairs(result.train)
    assert first.test.to_pyarrow()["datetime"].to_pylist() == [day(8), day(9)]


def test_rows_that_differ_in_the_weight_only_are_ordered_by_it(raw: Any, duckdb: Engine) -> None:
    for values in ([10.0, 30.0, 20.0], [30.0, 20.0, 10.0]):
        rows = [(1, 1, 1, 5, value) for value in values] + [(1, 1, 9, 5, 10.0), (2, 1, 1, 5, 10.0)]
        table = raw(rows, "user_id item_id time tie value")
        result = prepare_rows(duckdb, table, keep="keep", weight="value")
        assert weights(result.train) == [10, 20, 30, 10]


def test_the_first_of_repeated_rows(raw: Any, duckdb: Engine) -> None:
    result = prepare_rows(duckdb, raw(EVERY_WAY), repeats="first")
    assert result.train.to_pyarrow()["datetime"].to_pylist() == [day(1), day(2), day(3)]


def test_weights_are_bins_of_train_values_or_counts(raw: Any, duckdb: Engine) -> None:
    # Train has 0, 50 and 100: bins 0, 10 and 20 of 21. The test's 120 lies above all edges: the last bin.
    table = raw([(1, 1, 1, 0.0), (1, 2, 1, 50.0), (2, 3, 1, 100.0), (2, 1, 9, 120.0), (1, 3, 9, 50.0), (1, 2, 2, 50.0)])
    result = prepare_rows(duckdb, table)
    assert (weights(result.train), weights(result.test)) == ([0, 10, 20], [10, 20])
    result = prepare_rows(duckdb, table, weight="value")
    assert (weights(result.train), weights(result.test)) == ([0, 50, 100], [50, 120])
    result = prepare_rows(duckdb, table, weight="count")
    assert (weights(result.train), weights(result.test)) == ([1, 2, 1], [1, 1])
    assert {str(part.schema()["weight"]) for part in (result.train, result.test, result.cold)} == {"float32"}


def test_without_values_all_rows_weigh_the_same(raw: Any, duckdb: Engine) -> None:
    result = prepare_rows(duckdb, raw([(1, 1, 1), (2, 2, 1), (2, 1, 9)], "user_id item_id time"))
    assert weights(result.train) == [1, 1]


def test_equal_times_are_ordered_by_the_hash_not_by_the_rows(raw: Any, duckdb: Engine) -> None:
    rows = [(1, item, 2, 1.0, 37 * item % 101) for item in range(1, 101)] + [(2, 5, 1, 1.0, 0), (2, 1, 9, 1.0, 0)]
    columns = "user_id item_id time value tie"
    expected = [(1, item) for item in sorted(range(1, 101), key=lambda item: 37 * item % 101)] + [(2, 5)]
    for order in (rows, rows[::-1]):
        assert pairs(prepare_rows(duckdb, raw(order, columns)).train) == expected


def test_text_ids_are_ordered_by_code_point(raw: Any, duckdb: Engine) -> None:
    names = ["é", "Z", "a", "10", "9", "😀", "\uffee"]
    table = raw([*((name, "x", 1) for name in names), *((name, "y", 2) for name in names), ("a", "y", 9)],
                "user_id item_id time")  # fmt: skip
    result = prepare_rows(duckdb, table, keep="keep")
    assert [user for user, _ in pairs(result.train)][::2] == sorted(names)


def test_what_was_disliked_in_the_train_period_is_set_apart(raw: Any, duckdb: Engine) -> None:
    rows = [
        (1, 1, 1, 5.0), (1, 2, 2, 1.0),  # disliked
        (1, 3, 2, 2.0), (1, 3, 3, 4.0),  # disliked, then liked
        (2, 3, 1, 5.0), (2, 1, 9, 5.0), (2, 2, 9, 1.0),  # disliked in the test period
        (1, 4, 9, None),
    ]  # fmt: skip
    result = prepare_rows(duckdb, raw(rows), min_value=4)
    assert pairs(result.train) == [(1, 1), (1, 3), (2, 3)]
    assert pairs(result.disliked) == [(1, 2)]
    assert result.dropped["below_min_value"] == 3
    # leave-last: the last train row of user 1 is that of day 1, of user 2 that of day 1
    assert pairs(prepare_rows(duckdb, raw(rows), min_value=4, kind="leave-last").disliked) == []


def test_the_filter_keeps_users_of_the_test_period_and_drops_users_without_features(raw: Any, duckdb: Engine) -> None:
    rows = [
        (1, 1, 1, 1.0), (1, 2, 1, 1.0), (2, 1, 1, 1.0), (2, 2, 1, 1.0), (2, 3, 1, 1.0),  # two items with two users
        (3, 3, 1, 1.0),  # not active, but of the test period
        (4, 4, 1, 1.0),  # not active
        (3, 1, 9, 1.0),
        (2, 4, 9, 1.0),  # makes user 2 a test user, too; its item 4 goes with user 4
    ]  # fmt: skip
    limits = limit(1, 1)
    result = prepare_rows(duckdb, raw(rows), filter=limits)
    assert sorted(pairs(result.train)) == [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 3)]
    assert pairs(result.test) == [(3, 1)]
    assert result.dropped["filtered"] == 1
    result = prepare_rows(duckdb, raw(rows), filter=limits, described=[1, 3])
    assert sorted(pairs(result.train)) == [(1, 1), (1, 2), (3, 3)]
    assert result.dropped["user_without_features"] == 3
    unfiltered = prepare_rows(duckdb, raw(rows), described=[1, 3])
    assert "user_without_features" not in unfiltered.dropped


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        ([(1, 1, 1, 1.0), (2, 2, 9, 1.0)], {}, "no item of the test is in train"),
        ([(1, 1, 1, 1.0), (2, 1, 9, 1.0), (3, 1, 9, 1.0)], {}, "all 2 test users are new: none of them has a row in"),
        ([(1, 1, 8, 1.0), (2, 2, 9, 1.0)], {}, "no row is left for train"),
        ([(1, 1, 8, None)], {}, r"no row is left that counts as a positive; dropped: {'no_value': 1}"),
        ([(1, 1, 8, 3.0)], {"min_value": 4}, r"no row is left that counts as a positive; .*'below_min_value': 1"),
        (
            [(1, 1, 1, 1.0), (1, 2, 2, 1.0), (2, 1, 1, 1.0)],
            {"kind": "leave-last", "last": 5},
            r"no user has more than split\.last=5 rows",
        ),
        (
            [(1, 1, 1, 1.0), (2, 2, 9, 1.0)],
            {"filter": limit(9, 9)},
            "no item of the test is in train|no row is left for train with user_interactions=9 and item_interactions=9",
        ),
    ],
)
def test_an_empty_test_or_train_is_refused(
    raw: Any, duckdb: Engine, rows: list[Row], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(Problem, match=message) as error:
        prepare_rows(duckdb, raw(rows), **changes)
    assert "\n" not in str(error.value)


def twin(rows: list[Row], kind: str, fold: int, limits: Filter, described: list[list[int]]) -> dict[str, list[Any]]:
    """`prepare` as its docstring says it, row by row; a row is its place in `rows`, which is its tie, too."""
    alive = [k for k in range(len(rows)) if rows[k][3] is not None]
    alive.sort(key=lambda k: (rows[k][2], k))
    last = max(rows[k][2] for k in alive)
    train, test = [], []
    if kind == "days":
        end = last - 2 * fold
        train = [k for k in alive if rows[k][2] <= end - 2]
        test = [k for k in alive if end - 2 < rows[k][2] <= end]
    else:
        for user in {rows[k][0] for k in alive}:
            own = [k for k in alive if rows[k][0] == user]
            for _ in range(fold):
                own = own[:-1] if len(own) > 1 else own
            train += own[:-1] if len(own) > 1 else own
            test += own[-1:] if len(own) > 1 else []
    test_users = {rows[k][0] for k in test}
    in_time = lambda k: (rows[k][2], k)  # noqa: E731
    train, test = ([k for k in part if not any(rows[j][:2] == rows[k][:2] and in_time(j) > in_time(k) for j in part)]
                   for part in (train, test))  # fmt: skip
    seen = {rows[k][:2] for k in train}
    test = [k for k in test if rows[k][:2] not in seen]
    if limits.enabled:
        users, items = Counter(rows[k][0] for k in train), Counter(rows[k][1] for k in train)
        train = [
            k for k in train
            if rows[k][0] in test_users
            or (users[rows[k][0]] > limits.user_interactions and items[rows[k][1]] > limits.item_interactions)
        ]  # fmt: skip
        train = [k for k in train if rows[k][0] in described[0]]
    users, items = ({rows[k][side] for k in train} for side in (0, 1))
    known = [k for k in test if rows[k][1] in items]
    new = [k for k in test if rows[k][1] not in items and rows[k][1] in described[1]]
    parts = {
        "train": train,
        "test": [k for k in known if rows[k][0] in users],
        "cold": [k for k in known if rows[k][0] not in users],
        "cold_items": [k for k in new if rows[k][0] in users],
    }
    order = lambda k: (rows[k][0], rows[k][2], k)  # noqa: E731
    return {name: [rows[k][:2] for k in sorted(part, key=order)] for name, part in parts.items()}


@settings(max_examples=40)
@given(rows=ROWS, kind=st.sampled_from(["days", "leave-last"]), fold=st.integers(0, 1), enabled=st.booleans())
def test_it_is_its_slow_twin_and_every_row_is_accounted_for(
    raw: Any, duckdb: Engine, rows: list[Row], kind: str, fold: int, enabled: bool
) -> None:
    limits = limit(1, 1, enabled)
    described = [[1, 2, 3], [1, 3, 5]]
    try:
        result = prepare_rows(duckdb, raw(rows), *described, kind=kind, fold=fold, filter=limits)
    except Problem:
        return
    parts = {name: getattr(result, name) for name in ("train", "test", "cold", "cold_items")}
    assert {name: pairs(part) for name, part in parts.items()} == twin(rows, kind, fold, limits, described)
    kept = sum(len(pairs(part)) for part in parts.values())
    assert len(rows) == kept + sum(result.dropped.values())
    if kind == "days":
        times = {name: part.to_pyarrow()["datetime"].to_pylist() for name, part in parts.items()}
        moment = timedelta(seconds=result.moment) + pd.Timestamp(0).to_pydatetime()
        assert max(times["train"]) <= moment < min(times["test"])


@pytest.mark.parametrize("keep", ["drop", "keep"])
def test_spark_writes_the_same_bytes(keep: str, duckdb: Engine, spark: Engine, tmp_path: Path) -> None:
    """Every option at once, text ids, ties and repeats."""
    state, rows = 1, []
    for _ in range(3000):
        state = state * 48271 % (2**31 - 1)
        user, item = state % 83, state // 83 % 57
        value = None if state % 97 == 0 else float(state // 7 % 5)
        rows.append((f"ü {user}", f"{item}.0", state // 11 % 30 + 1, state * 40503 % 2**31, value, state % 3 and "buy"))
    rows = [(*row[:5], row[5] or None) for row in rows]
    columns = "user_id item_id time tie value event"
    path = write_interactions(tmp_path / "interactions.parquet", [*rows, *rows[:200]], columns)
    limits = limit(3, 20)
    changes = {"kind": "leave-last", "fold": 1, "min_value": 1, "events": ["buy"], "weight": "count", "filter": limits}
    files = {}
    for name, engine in (("duckdb", duckdb), ("spark", spark)):
        table = engine.read(path)
        described = Described(
            table.filter(table.user_id > "ü 2").select("user_id").distinct(), table.select("item_id").distinct()
        )
        result = prepare(engine, table, described, rules(**changes, keep=keep, until="2021-03-28"))
        for part in ("train", "test", "cold", "cold_items", "disliked"):
            out = tmp_path / f"{name}.{part}.parquet"
            assert engine.write(getattr(result, part), out) > 0 or part.startswith("cold")
            files[name, part] = out.read_bytes()
        files[name, "account"] = (result.moment, result.dropped)
    assert all(files["duckdb", part] == files["spark", part] for _, part in files)
