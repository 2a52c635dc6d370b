"""What looks wrong is said in one line, and what does not is not."""

from datetime import datetime
from typing import Any

from retrieval.preparation.guards import copies, of_columns, of_ids, of_rows, of_sizes
from retrieval.preparation.positives import Positives

import pyarrow as pa
import pytest
from worlds import section

POSITIVES = Positives(**section("positives", min_value=None, events=[], min_duration=0, repeats="last", weight="bin"))


def sizes(**changes: Any) -> list[str]:
    """Lines about data of 10,000 rows and 500 test users, with these numbers changed; a__b is the key b of a."""
    stats: dict[str, Any] = {
        "interactions": {
            "in": 10_000,
            "kept": {"test": 600},
            "dropped": {"repeated": 10, "seen_in_train": 20},
            "copies": 0,
        },
        "repeats": "drop",
        "train": {"users": 1000, "items": 300},
        "test": {"users": 500},
        "cold": {"users": 100},
        "users": {"in": 1200, "kept": 1000, "repeated": 0, "without_interaction": 200},
        "items": {"in": 400, "kept": 300, "repeated": 0, "without_interaction": 100},
    }
    for key, value in changes.items():
        *path, name = key.split("__")
        section = stats
        for part in path:
            section = section[part]
        section[name] = value
    return list(of_sizes(stats))


def test_sound_data_are_not_spoken_of() -> None:
    assert sizes() == []
    assert sizes(repeats="keep", interactions__dropped={"repeated": 9000}) == []  # as asked: only test rows are dropped


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"test__users": 99, "cold__users": 9},
            "the test has only 600 of 10,000 rows, of 99 users: the metrics will be uncertain",
        ),
        (
            {"interactions__kept__test": 9},
            "the test has only 9 of 10,000 rows, of 500 users: the metrics will be uncertain",
        ),
        (
            {"cold__users": 501, "users__kept": 1500},
            "501 of 1,001 test users are new, without a row in train: only metrics/cold.json has them",
        ),
        (
            {"interactions__dropped": {"repeated": 2001, "seen_in_train": 0}},
            "2,001 of 10,000 rows repeat a pair of user and item: 2,001 are dropped within train or test; "
            "split.repeats=keep keeps them",
        ),
        (
            {"interactions__dropped__repeated": 1981},
            "2,001 of 10,000 rows repeat a pair of user and item: 1,981 are dropped within train or test, 20 of the "
            "test because train has the pair; split.repeats=keep keeps them",
        ),
        (
            {"items__repeated": 2},
            "2 of 400 rows of items have the id of a later row: the last one counts",
        ),
        (
            {"users__repeated": 1},
            "1 of 1,200 rows of users have the id of a later row: the last one counts",
        ),
        (
            {"items__in": 4000, "items__without_interaction": 3700},
            "3,700 of 4,000 rows of items have no interaction",
        ),
    ],
)
def test_what_looks_wrong_has_a_line(changes: dict[str, int], line: str) -> None:
    assert sizes(**changes) == [line]


@pytest.mark.parametrize("changes", [{"repeats": "keep"}, {"interactions__dropped__repeated": 5000}])
def test_copies_are_said_whatever_becomes_of_repeats(changes: dict[str, Any]) -> None:
    line = "5,000 of 10,000 rows have the user, item and time of an earlier row: are they in the data twice?"
    assert sizes(interactions__copies=5000, **changes) == [line]


def test_copies_are_equal_in_all_that_tells_rows_apart(raw: Any) -> None:
    rows = [(1, 1, 1, 2.0), (1, 1, 1, 2.0), (1, 1, 1, 2.0), (1, 1, 2, 2.0), (1, 1, 1, 3.0), (1, 2, 1, 2.0)]
    assert copies(raw(rows)) == 2
    assert copies(raw([(1, 1, 1, "view"), (1, 1, 1, "buy")], "user_id item_id time event")) == 0


@pytest.mark.parametrize(
    ("name", "table", "lines"),
    [
        ("items", [1, 2, 3, 4, 5, 6, 7, 8, 9], []),  # 1 of 10 is missing
        (
            "items",
            [f"{n}.0" for n in range(1, 9)],
            ["10 of 10 items have no row in the table of items, and no features, such as '1'; the table has rows of "
             "others, such as '1.0'"],
        ),
        ("users", [1, 2, 3, 4, 5], []),
        ("users", [1, 2, 3, 4], ["6 of 10 users have no row in the table of users, and no features, such as 5"]),
        ("users", [], []),  # no table
    ],
)  # fmt: skip
def test_ids_without_a_row_in_their_table(name: str, table: list[Any], lines: list[str]) -> None:
    ids = [str(n) for n in range(1, 11)] if table and isinstance(table[0], str) else list(range(1, 11))
    kind = pa.string() if isinstance(ids[0], str) else pa.int64()
    assert list(of_ids(name, pa.array(ids), pa.chunked_array([pa.array(table, kind)]))) == lines


def test_a_user_with_a_large_share_of_the_rows(raw: Any) -> None:
    rows = [(-1 if n < 110 else n, n % 7, 1, float(n % 5)) for n in range(2000)]
    line = "user -1 has 110 of 2,000 rows: is this everyone who is not known?"
    assert list(of_rows(raw(rows), POSITIVES, timed=True)) == [line]


def test_negative_values(raw: Any) -> None:
    rows = [(n, n, 1, -1.0 if n == 4 else 2.0) for n in range(9)]
    line = "1 of 9 rows have a negative value and count as positives; see positives.min_value"
    assert list(of_rows(raw(rows), POSITIVES, timed=True)) == [line]


def test_one_value_in_nearly_all_rows(raw: Any) -> None:
    table = raw([(n, 7 if n else 8, 1, float(n)) for n in range(100)])
    assert list(of_rows(table, POSITIVES, timed=True)) == ["item_id is 7 in 99 of 100 rows"]


def test_several_kinds_of_events_count_alike(raw: Any) -> None:
    rows = [(n, n, 1, "buy" if n == 3 else "view") for n in range(9)]
    table = raw(rows, "user_id item_id time event")
    line = "all kinds of events count as positives: view (8), buy (1); choose with 'positives.events=[buy]'"
    assert list(of_rows(table, POSITIVES, timed=True)) == [line]
    assert list(of_rows(table, POSITIVES.model_copy(update={"events": ["view"]}), timed=True)) == []


def test_a_zero_that_became_a_time(raw: Any) -> None:
    table = raw([(1, 1, datetime(1970, 1, 1)), (1, 2, 5), (2, 1, 6)], "user_id item_id time")
    line = "1 rows are of 1970-01-01, the next ones of 2021-03-05: is 0 a missing time?"
    assert list(of_rows(table, POSITIVES, timed=True)) == [line]
    assert list(of_rows(table, POSITIVES, timed=False)) == []


def test_columns_with_one_value() -> None:
    table = pa.table({
        "item_id": list(range(100)),
        "kind": ["film"] * 99 + ["series"],
        "lang": [None] * 2 + ["en"] * 98,
        "tags": [["a"]] * 100,
    })  # fmt: skip
    assert list(of_columns("items", table)) == ["items: kind has one value in nearly all rows"]
    assert list(of_columns("items", table.slice(0, 50))) == []
