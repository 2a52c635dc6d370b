"""Which interactions are train and which are test: the last days, or each user's last items."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from retrieval.errors import Problem
from retrieval.params import NotNegative, Positive, Section, one_of

import numpy as np

TRAIN, TEST, LATER = np.int8(0), np.int8(1), np.int8(2)
SECOND = 1_000_000  # in microseconds, the unit of time here
DAY = 24 * 60 * 60 * SECOND


@dataclass(frozen=True)
class Parts:
    """`part` [n] int8: TRAIN, TEST, or LATER than the test and left out; `moment`: the test begins after this second.

    `moment` is in seconds since 1970: where the days begin, or the time of the last train row.
    """

    part: np.ndarray
    moment: int


def last_days(user: np.ndarray, time: np.ndarray, split: "Split") -> Parts:
    """The test is the `split.days` days that end with the last interaction: time in (last - days, last].

    user [n] int64; time [n] int64, microseconds since 1970. The test of fold f is (last - (f + 1) days, last - f days]
    and what comes after it is left out, so that train and test share no moment.
    """
    length = split.days * DAY
    end = int(time.max()) - split.fold * length
    cut = end - length
    if cut < int(time.min()):
        days = (int(time.max()) - int(time.min())) / DAY
        raise Problem(
            f"split.days={split.days}, split.fold={split.fold}: the test would begin {(split.fold + 1) * split.days} "
            f"days before the last interaction, but the data reach back {days:.1f} days: nothing is left for train; "
            "split.kind=leave-last needs no days"
        )
    return Parts(np.where(time <= cut, TRAIN, np.where(time <= end, TEST, LATER)), cut // SECOND)


def leave_last(user: np.ndarray, time: np.ndarray, split: "Split") -> Parts:
    """The test is each user's last `split.last` interactions by time, ties in the order of the rows.

    user [n] int64; time [n] int64, microseconds since 1970. Fold f is the split done f + 1 times, each time on what
    was train before. A user with no more than `split.last` rows is not split any further and stays in train.
    """
    order = np.lexsort((time, user))
    _, start, count = np.unique(user[order], return_index=True, return_counts=True)
    later = np.repeat(start + count - 1, count) - np.arange(len(order))  # rows of the same user that come later
    splits = np.repeat((count - 1) // split.last, count)  # how often the user can be split
    skipped = split.last * np.minimum(splits, split.fold)
    test = (splits > split.fold) & (later < skipped + split.last)
    part = np.empty(len(user), dtype=np.int8)
    part[order] = np.where(later < skipped, LATER, np.where(test, TEST, TRAIN))
    return Parts(part, int(time[part == TRAIN].max()) // SECOND)


SPLITS: dict[str, Callable[[np.ndarray, np.ndarray, "Split"], Parts]] = {"days": last_days, "leave-last": leave_last}


class Split(Section):
    """`auto` is the source's own kind; `fold` moves the split back in time by that many test periods."""

    kind: Annotated[str, one_of(["auto"], SPLITS)]
    days: Positive
    last: Positive
    fold: NotNegative
