"""The split into train and test: by the last days, or by each user's last items."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Literal

from retrieval.errors import Problem
from retrieval.params import NotNegative, Positive, Section, one_of
from retrieval.preparation.outliers import by_day, describe, tail

import ibis
import ibis.expr.types as ir
from pydantic import field_validator

TRAIN, TEST, LATER = 0, 1, 2


@dataclass(frozen=True)
class Parts:
    """`rows` with a column `part`: TRAIN, TEST, or LATER, which is after the test and in neither of them.

    `end`: train has nothing after this moment. The test days begin there, or it is the time of the last train row.
    """

    rows: ir.Table
    end: datetime


def last_days(rows: ir.Table, split: "Split") -> Parts:
    """Test on the last `split.days` days of the data: time in (last - days, last].

    Fold f tests on (last - (f + 1) days, last - f days], and later rows are LATER. Train and test share no moment.
    Raises `Problem` if no row is left for train, or if the last dates are outliers.
    """
    dates = by_day(rows)
    if late := tail(dates):
        end = dates[-late - 1][0]
        raise Problem(
            f"split: {describe(dates, late)}; the test would be the last {split.days} days of that: "
            f"set split.until={end} to leave out what comes later"
        )
    first, last = _span(rows)
    try:
        end = last - timedelta(days=split.days * split.fold)
        cut = end - timedelta(days=split.days)
    except OverflowError:
        end = cut = datetime.min
    if cut < first:
        raise Problem(
            f"split.days={split.days}, split.fold={split.fold}: the test would begin {(split.fold + 1) * split.days} "
            f"days before the last interaction, but the data span {(last - first) / timedelta(days=1):.1f} days: no "
            "row is left for train; lower them, or use split.kind=leave-last"
        )
    return Parts(rows.mutate(part=ibis.cases((rows.time <= cut, TRAIN), (rows.time <= end, TEST), else_=LATER)), cut)


def leave_last(rows: ir.Table, split: "Split") -> Parts:
    """Test on the last `split.last` interactions of each user, in the order of `in_time`.

    Fold f splits f + 1 times, each time the train part of the split before. A user with `split.last` rows or fewer
    stays in train.
    """
    later = ibis.row_number().over(group_by="user_id", order_by=in_time(rows, ibis.desc))
    rows = rows.mutate(later=later, splits=(rows.count().over(group_by="user_id") - 1) // split.last)
    rows = rows.mutate(skip=ibis.least(rows.splits, split.fold) * split.last)
    test = (rows.splits > split.fold) & (rows.later < rows.skip + split.last)
    parts = rows.mutate(part=ibis.cases((rows.later < rows.skip, LATER), (test, TEST), else_=TRAIN))
    return Parts(parts.drop("later", "splits", "skip"), _span(parts.filter(parts.part == TRAIN))[1])


def _span(rows: ir.Table) -> tuple[datetime, datetime]:
    """The first and the last time."""
    span = rows.aggregate(first=rows.time.min(), last=rows.time.max()).to_pyarrow().to_pylist()[0]
    return span["first"], span["last"]


def in_time(rows: ir.Table, direction: Callable[[str], ir.Value] = ibis.asc) -> list[ir.Value]:
    """The keys of the time order, for `order_by`. Equal times are ordered by tie, a hash of user, item and time; rows
    that share these by all else that they say."""
    keys = ("time", "tie", "value", "event", "duration")
    return [direction(name) for name in keys if name in rows.columns]


# A split gets the rows and the options.
SPLITS: dict[str, Callable[[ir.Table, "Split"], Parts]] = {"days": last_days, "leave-last": leave_last}


class Split(Section):
    """The section `split` of params.yaml.

    kind: auto is the kind that the data source names. fold: moves the split back by that many test periods. repeats:
    with drop train has one row per pair of user and item, and the test only pairs that train lacks; with keep train has
    all rows, and the test one per pair. until: a date, which is the last day of the data, or a moment; null:
    the data's own end.
    """

    kind: Annotated[str, one_of(["auto"], SPLITS)]
    days: Positive
    last: Positive
    fold: NotNegative
    repeats: Literal["drop", "keep"]
    until: str | None

    @field_validator("until")
    @classmethod
    def _is_a_moment(cls, text: str | None) -> str | None:
        if text is not None:
            _moment(text)
        return text

    @property
    def end(self) -> datetime | None:
        """`until` as a moment in UTC without zone: rows at it still belong to the data."""
        return None if self.until is None else _moment(self.until)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a date such as 2021-08-22 or 2021-08-22 20:15:00") from None
    if moment == datetime.combine(moment, time.min) and len(text) <= 10:
        return datetime.combine(moment, time.max)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
