"""Train and test: by days, by each user's last items, and both moved back in time."""

from retrieval.errors import Problem
from retrieval.preparation.split import LATER, MICROSECONDS_PER_DAY, TEST, TRAIN, Split, last_days, leave_last

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

SIZE = {"days": 7, "last": 1, "fold": 0}
ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12)), min_size=2, max_size=40)


def split(**changes: int) -> Split:
    return Split(kind="auto", **{**SIZE, **changes})


def test_the_last_days_begin_after_the_moment() -> None:
    time = np.array([0, 13, 14, 15, 20, 21]) * MICROSECONDS_PER_DAY  # the last is 21: the test is (14, 21]
    parts = last_days(np.zeros(6, np.int64), time, split())
    assert parts.part.tolist() == [TRAIN, TRAIN, TRAIN, TEST, TEST, TEST]
    assert parts.moment == 14 * 24 * 60 * 60


def test_a_fold_moves_the_days_back_and_leaves_out_what_comes_later() -> None:
    time = np.array([0, 7, 8, 14, 15, 21]) * MICROSECONDS_PER_DAY  # (14, 21] is left out, the test is (7, 14]
    parts = last_days(np.zeros(6, np.int64), time, split(fold=1))
    assert parts.part.tolist() == [TRAIN, TRAIN, TEST, TEST, LATER, LATER]
    assert parts.moment == 7 * 24 * 60 * 60


def test_a_microsecond_decides() -> None:
    time = np.array([0, 3 * MICROSECONDS_PER_DAY, 3 * MICROSECONDS_PER_DAY + 1, 10 * MICROSECONDS_PER_DAY])
    assert last_days(np.zeros(4, np.int64), time, split()).part.tolist() == [TRAIN, TRAIN, TEST, TEST]


@pytest.mark.parametrize("changes", [{"days": 6}, {"days": 2, "fold": 2}, {"days": 10**9}])
def test_a_window_longer_than_the_data_is_refused(changes: dict[str, int]) -> None:
    time = np.array([0, 5]) * MICROSECONDS_PER_DAY
    with pytest.raises(Problem, match=r"split\.days=.*the data span 5\.0 days: no row is left for train"):
        last_days(np.zeros(2, np.int64), time, split(**changes))


def test_each_user_leaves_the_last_ties_in_the_order_of_the_rows() -> None:
    user = np.array([1, 1, 2, 1, 2, 3])
    time = (
        np.array([5, 9, 4, 9, 4, 1]) * MICROSECONDS_PER_DAY
    )  # user 1's two of day 9: the later row; user 2's two of day 4: the same
    parts = leave_last(user, time, split())
    assert parts.part.tolist() == [TRAIN, TRAIN, TRAIN, TEST, TEST, TRAIN]  # user 3 has one row: train
    assert parts.moment == 9 * 24 * 60 * 60


def test_a_fold_of_leave_last() -> None:
    user = np.array([1, 1, 1, 1, 2, 2, 3])
    time = np.arange(7)
    # Fold 0 takes the last of users 1 and 2. Then user 1 has three rows, the last of which is the test of fold 1; user
    # 2 has one row left, user 3 had one from the start: both stay in train.
    assert leave_last(user, time, split(fold=1)).part.tolist() == [TRAIN, TRAIN, TEST, LATER, TRAIN, LATER, TRAIN]


def twin(user: list[int], time: list[int], last: int, fold: int) -> list[int]:
    """leave_last as its docstring says it: the split done fold + 1 times, each time on what was train before."""
    part = [int(TRAIN)] * len(user)
    for _ in range(fold + 1):
        part = [int(LATER) if p == TEST else p for p in part]
        for one in set(user):
            rows = [k for k in range(len(user)) if user[k] == one and part[k] == TRAIN]
            rows.sort(key=lambda k: time[k])
            if len(rows) > last:
                for row in rows[-last:]:
                    part[row] = int(TEST)
    return part


@given(ROWS, st.integers(1, 3), st.integers(0, 3))
def test_leave_last_is_its_slow_twin(rows: list[tuple[int, int]], last: int, fold: int) -> None:
    user, time = (np.array(column) for column in zip(*rows, strict=True))
    found = leave_last(user, time, split(last=last, fold=fold)).part
    assert found.tolist() == twin(user.tolist(), time.tolist(), last, fold)


@given(ROWS, st.integers(0, 2))
def test_train_and_test_share_no_moment(rows: list[tuple[int, int]], fold: int) -> None:
    user, time = (np.array(column) for column in zip(*rows, strict=True))
    time = time * MICROSECONDS_PER_DAY
    if time.max() - time.min() < 2 * (fold + 1) * MICROSECONDS_PER_DAY:
        return
    parts = last_days(user, time, split(days=2, fold=fold))
    assert (time[parts.part == TRAIN] <= parts.moment * 1_000_000).all()
    assert (time[parts.part == TEST] > parts.moment * 1_000_000).all()
    end = parts.moment * 1_000_000 + 2 * MICROSECONDS_PER_DAY
    assert (time[parts.part == TEST] <= end).all()
    assert (time[parts.part == LATER] > end).all()
    earlier = last_days(user, time[time <= end], split(days=2, fold=0)) if end in time else None
    if earlier:  # fold f is fold 0 of what was known then
        assert earlier.part.tolist() == parts.part[time <= end].tolist()
