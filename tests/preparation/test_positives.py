"""Which rows count as interactions, and why others do not."""

from typing import Any

from retrieval.errors import Problem
from retrieval.params import validate
from retrieval.preparation.positives import Positives, reason

import pytest
from raw_tables import day
from worlds import section

EVERY = {"min_value": None, "events": [], "min_duration": 0}  # all rows count
ROWS = [(1, 1, 1, 4.0, "view", 5.0), (1, 2, 2, 3.5, "buy", None), (1, 3, 3, None, None, 50.0)]
COLUMNS = "user_id item_id time value event duration"


def reasons(raw: Any, end: Any = None, rows: list[Any] = ROWS, columns: str = COLUMNS, **changes: Any) -> list[str]:
    table = raw(rows, columns)
    options = Positives(**section("positives", **{**EVERY, **changes}))
    return table.select("tie", why=reason(table, options, end)).order_by("tie").to_pyarrow()["why"].to_pylist()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["positive", "positive", "no_value"]),
        ({"min_value": 4}, ["positive", "below_min_value", "no_value"]),  # 4 counts
        ({"events": ["buy"]}, ["other_event", "positive", "no_value"]),
        ({"events": ["buy", "view"]}, ["positive", "positive", "no_value"]),
        ({"min_duration": 5}, ["positive", "too_short", "no_value"]),
        ({"end": day(1)}, ["positive", "after_until", "after_until"]),
        ({"min_value": 4, "events": ["buy"]}, ["other_event", "below_min_value", "no_value"]),  # the first reason
    ],
)
def test_a_row_has_one_reason(raw: Any, changes: dict[str, Any], expected: list[str]) -> None:
    assert reasons(raw, **changes) == expected


def test_a_row_without_an_event_is_of_no_kind(raw: Any) -> None:
    rows = [(1, 1, 1, "buy"), (1, 2, 1, None)]
    assert reasons(raw, rows=rows, columns="user_id item_id time event", events=["buy"]) == ["positive", "other_event"]


def test_without_conditions_all_rows_count(raw: Any) -> None:
    assert reasons(raw, rows=[(1, 1, 1)], columns="user_id item_id time") == ["positive"]


@pytest.mark.parametrize(
    ("changes", "name"),
    [({"min_value": 4}, "value"), ({"weight": "value"}, "value"), ({"events": ["a"]}, "event"),
     ({"min_duration": 1}, "duration")],
)  # fmt: skip
def test_a_condition_on_a_column_that_the_data_lack_is_refused(raw: Any, changes: dict[str, Any], name: str) -> None:
    with pytest.raises(Problem, match=rf"^positives: the interactions have no {name}; .*mapping\.{name}=NAME$"):
        reasons(raw, rows=[(1, 1, 1)], columns="user_id item_id time", **changes)


@pytest.mark.parametrize(
    "changes", [{"min_value": float("inf")}, {"min_duration": -1}, {"weight": "x"}, {"events": [1]}]
)
def test_values_that_mean_nothing_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Problem):
        validate(Positives, section("positives", **{**EVERY, **changes}))
