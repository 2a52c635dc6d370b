"""Train and test: by days, by each user's last items, and both moved back in time."""

from datetime import datetime
from typing import Any

from retrieval.errors import Problem
from retrieval.params import validate
from retrieval.preparation.split import LATER, SPLITS, TEST, TRAIN, Parts, Split, last_days, leave_last

import ibis.expr.types as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_tables import day
from worlds import section

SIZE = {"days": 7, "last": 1, "fold": 0, "until": None}
ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12)), min_size=2, max_size=40)
FEW = settings(max_examples=25)


def split(**changes: Any) -> Split:
    return Split(**section("split", **{**SIZE, **changes}))


def part_of(parts: Parts) -> list[int]:
    """The part of each row, in the order in which the rows were written."""
    return parts.rows.order_by("tie").to_pyarrow()["part"].to_pylist()


def of_days(raw: Any, days: list[float]) -> ir.Table:
    return raw([(0, 0, each) for each in days], "user_id item_id time")


# The part of each row of `days`, by user 0 and user 1 in turn, with SIZE
WORKED = {
    "days": [TRAIN, TRAIN, TEST, TEST],  # the last is day 9: the test is (2, 9]
    "leave-last": [TRAIN, TRAIN, TEST, TEST],
}


@pytest.mark.parametrize("kind", SPLITS)
def test_worked_example(raw: Any, kind: str) -> None:
    """User 0 on days 1 and 8, user 1 on days 2 and 9."""
    assert kind in WORKED, f"add the parts of these four rows by the split {kind!r} to WORKED in {__file__}"
    rows = raw([(0, 0, 1), (1, 0, 2), (0, 1, 8), (1, 1, 9)], "user_id item_id time")
    assert part_of(SPLITS[kind](rows, split())) == WORKED[kind]


def test_the_last_days_begin_after_the_moment(raw: Any) -> None:
    parts = last_days(of_days(raw, [1, 14, 15, 16, 21, 22]), split())  # the last is day 22: the test is (15, 22]
    assert part_of(parts) == [TRAIN, TRAIN, TRAIN, TEST, TEST, TEST]
    assert parts.end == day(15)


def test_a_fold_moves_the_days_back_and_leaves_out_what_comes_later(raw: Any) -> None:
    parts = last_days(of_days(raw, [1, 8, 9, 15, 16, 22]), split(fold=1))  # (15, 22] is left out, the test is (8, 15]
    assert part_of(parts) == [TRAIN, TRAIN, TEST, TEST, LATER, LATER]
    assert parts.end == day(8)


def test_a_microsecond_decides(raw: Any) -> None:
    times = [day(1), day(4), day(4).replace(microsecond=1), day(11)]
    assert part_of(last_days(of_days(raw, times), split())) == [TRAIN, TRAIN, TEST, TEST]


@pytest.mark.parametrize("changes", [{"days": 6}, {"days": 2, "fold": 2}, {"days": 10**9}])
def test_a_window_longer_than_the_data_is_refused(raw: Any, changes: dict[str, int]) -> None:
    with pytest.raises(Problem, match=r"split\.days=.*the data span 5\.0 days: no row is left for train"):
        last_days(of_days(raw, [1, 6]), split(**changes))


def test_a_date_far_in_the_future_is_refused(raw: Any) -> None:
    rows = of_days(raw, [*range(1, 20), *[20] * 100, datetime(2099, 1, 1)])
    line = (
        r"split: 1 of 120 rows are more than 30 days after 2021-03-20: 2021-03-19 \(1\), 2021-03-20 \(100\), "
        r"2099-01-01 \(1\); .* set split.until=2021-03-20 to leave out what comes later"
    )
    with pytest.raises(Problem, match=line):
        last_days(rows, split())


def test_each_user_leaves_the_last_ties_in_the_order_of_the_hash(raw: Any) -> None:
    rows = [(1, 0, 5, 9), (1, 0, 9, 7), (2, 0, 4, 2), (1, 0, 9, 3), (2, 0, 4, 5), (3, 0, 1, 0)]
    # User 1's two rows of day 9 have the ties 7 and 3, user 2's of day 4 have 2 and 5; user 3 has one row.
    parts = leave_last(raw(rows, "user_id item_id time tie"), split())
    table = parts.rows.order_by("user_id", "time", "tie").to_pyarrow()
    assert table["tie"].to_pylist() == [9, 3, 7, 2, 5, 0]
    assert table["part"].to_pylist() == [TRAIN, TRAIN, TEST, TRAIN, TEST, TRAIN]
    assert parts.end == day(9)


def test_a_fold_of_leave_last(raw: Any) -> None:
    rows = raw([(user, 0, place) for place, user in enumerate([1, 1, 1, 1, 2, 2, 3])], "user_id item_id time")
    # Fold 0 takes the last of users 1 and 2. Then user 1 has three rows, the last of which is the test of fold 1; user
    # 2 has one row left, user 3 had one from the start: both stay in train.
    assert part_of(leave_last(rows, split(fold=1))) == [TRAIN, TRAIN, TEST, LATER, TRAIN, LATER, TRAIN]


def twin(user: list[int], time: list[int], last: int, fold: int) -> list[int]:
    """leave_last as its docstring says it: the split done fold + 1 times, each time on what was train before."""
    part = [TRAIN] * len(user)
    for _ in range(fold + 1):
        part = [LATER if p == TEST else p for p in part]
        for one in set(user):
            rows = [k for k in range(len(user)) if user[k] == one and part[k] == TRAIN]
            rows.sort(key=lambda k: time[k])
            if len(rows) > last:
                for row in rows[-last:]:
                    part[row] = TEST
    return part


@FEW
@given(rows=ROWS, last=st.integers(1, 3), fold=st.integers(0, 3))
def test_leave_last_is_its_slow_twin(raw: Any, rows: list[tuple[int, int]], last: int, fold: int) -> None:
    user, time = (list(column) for column in zip(*rows, strict=True))
    found = leave_last(raw([(u, 0, t) for u, t in rows], "user_id item_id time"), split(last=last, fold=fold))
    assert part_of(found) == twin(user, time, last, fold)


@FEW
@given(rows=ROWS, fold=st.integers(0, 2))
def test_train_and_test_share_no_moment(raw: Any, rows: list[tuple[int, int]], fold: int) -> None:
    time = [day(t) for _, t in rows]
    if (max(time) - min(time)).days < 2 * (fold + 1):
        return
    parts = last_days(of_days(raw, time), split(days=2, fold=fold))
    end = max(time) - fold * (day(3) - day(1))
    expected = [TRAIN if t <= parts.end else TEST if t <= end else LATER for t in time]
    assert parts.end == end - (day(3) - day(1))
    assert part_of(parts) == expected


@pytest.mark.parametrize(
    ("until", "end"),
    [
        (None, None),
        ("2021-08-22", datetime(2021, 8, 22, 23, 59, 59, 999999)),  # the whole day
        ("2021-08-22 20:15:00", datetime(2021, 8, 22, 20, 15)),
        ("2021-08-22T20:15:00+03:00", datetime(2021, 8, 22, 17, 15)),  # in UTC
    ],
)
def test_until_is_a_moment_or_a_whole_day(until: str | None, end: datetime | None) -> None:
    assert split(until=until).end == end


def test_until_that_is_no_date_is_refused() -> None:
    with pytest.raises(Problem, match=r"until: 'yesterday' is not a date such as 2021-08-22 or 2021-08-22 20:15:00"):
        validate(Split, section("split", until="yesterday"))
