"""Rows far in time from all others."""

from datetime import date
from typing import Any

from retrieval.preparation.outliers import by_day, describe, tail

import pytest
from raw_tables import day


def test_dates_and_their_rows(raw: Any) -> None:
    rows = raw([(1, 1, day(1)), (1, 2, day(3.5)), (1, 3, day(3))], "user_id item_id time")
    assert by_day(rows) == [(date(2021, 3, 1), 1), (date(2021, 3, 3), 2)]


@pytest.mark.parametrize(
    ("rest", "late"),
    [
        ([], 0),
        ([(date(2021, 4, 2), 1)], 0),  # 30 days after 2021-03-03
        ([(date(2021, 4, 3), 1)], 1),  # 31 days
        ([(date(2021, 4, 3), 1), (date(2099, 1, 1), 1)], 2),
        ([(date(2021, 4, 3), 3)], 0),  # 3 of 203 rows are more than 1 %: the data go on
    ],
)
def test_few_rows_after_a_gap(rest: list[tuple[date, int]], late: int) -> None:
    assert tail([(date(2021, 3, 1), 100), (date(2021, 3, 3), 100), *rest]) == late


def test_a_single_date_has_no_outliers() -> None:
    assert tail([(date(2021, 3, 1), 1)]) == 0


def test_the_line_names_dates_on_both_sides() -> None:
    days = [(date(2021, 3, 1), 10), (date(2021, 3, 2), 1000), (date(2021, 3, 3), 30), (date(2099, 1, 1), 2)]
    assert describe(days, 1) == (
        "2 of 1,042 rows are more than 30 days after 2021-03-03: 2021-03-02 (1,000), 2021-03-03 (30), 2099-01-01 (2)"
    )
