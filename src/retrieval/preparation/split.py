"""The split into train and test: by the last days, or by each user's last items."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from retrieval.errors import Problem
from retrieval.params import NotNegative, Positive, Section, one_of

import numpy as np

TRAIN, TEST, LATER = np.int8(0), np.int8(1), np.int8(2)
MICROSECONDS_PER_SECOND = 1_000_000
MICROSECONDS_PER_DAY = 24 * 60 * 60 * MICROSECONDS_PER_SECOND


@dataclass(frozen=True)
class Parts:
    """`part` [n] int8: TRAIN, TEST, or LATER, which is after the test and in neither of them.

    `moment` is when train ends, in seconds since 1970 UTC: where the test days begin, or at the last train row.
    """

    part: np.ndarray
    moment: int


def last_days(user: np.ndarray, time: np.ndarray, split: "Split") -> Parts:
    """Test on the last `split.days` days of the data: time in (last - days, last].

    user [n] int64; time [n] int64, microseconds since 1970. Fold f tests on (last - (f + 1) days, last - f days], and
    later rows are LATER. Train and test share no moment. Raises `Problem` if no row is left for train.
    """
    length = split.days * MICROSECONDS_PER_DAY
    end = int(time.max()) - split.fold * length
    cut = end - length
    if cut < int(time.min()):
        days = (int(time.max()) - int(time.min())) / MICROSECONDS_PER_DAY
        raise Problem(
            f"split.days={split.days}, split.fold={split.fold}: the test would begin {(split.fold + 1) * split.days} "
            f"days before the last interaction, but the data span {days:.1f} days: no row is left for train; "
            "lower them, or use split.kind=leave-last"
        )
    return Parts(np.where(time <= cut, TRAIN, np.where(time <= end, TEST, LATER)), cut // MICROSECONDS_PER_SECOND)


def leave_last(user: np.ndarray, time: np.ndarray, split: "Split") -> Parts:
    """Test on the last `split.last` interactions of each user by time; ties are in the order of the rows.

    user [n] int64; time [n] int64, microseconds since 1970. Fold f splits f + 1 times, each time the train part of the
    split before. A user with `split.last` rows or fewer stays in train.
    """
    order = np.lexsort((time, user))
    _, start, count = np.unique(user[order], return_index=True, return_counts=True)
    later = np.repeat(start + count - 1, count) - np.arange(len(order))  # rows of the same user after this one
    splits = np.repeat((count - 1) // split.last, count)  # how often the user can be split
    skip = split.last * np.minimum(splits, split.fold)
    test = (splits > split.fold) & (later < skip + split.last)
    part = np.empty(len(user), dtype=np.int8)
    part[order] = np.where(later < skip, LATER, np.where(test, TEST, TRAIN))
    return Parts(part, int(time[part == TRAIN].max()) // MICROSECONDS_PER_SECOND)


# A split gets the user and the time of each row, in time order, and the options.
SPLITS: dict[str, Callable[[np.ndarray, np.ndarray, "Split"], Parts]] = {"days": last_days, "leave-last": leave_last}


class Split(Section):
    """`kind`: auto is the kind that the data source names. `fold`: moves the split back by that many test periods."""

    kind: Annotated[str, one_of(["auto"], SPLITS)]
    days: Positive
    last: Positive
    fold: NotNegative
