"""Rows far in time from all others, such as of a wrong clock: a split by days follows the last date, whatever it is."""

from datetime import date, timedelta

import ibis.expr.types as ir

GAP = timedelta(days=30)  # without a row
FEW = 0.01  # share of the rows
SHOWN = 2  # dates on the near side of the gap

Days = list[tuple[date, int]]  # the dates that have rows, and their number


def by_day(rows: ir.Table) -> Days:
    """The dates of `rows`, ascending, and how many rows each has."""
    counts = rows.group_by(day=rows.time.truncate("D")).aggregate(rows=rows.count()).order_by("day").to_pyarrow()
    return [(day.date(), count) for day, count in zip(*(counts[name].to_pylist() for name in ("day", "rows")))]


def tail(days: Days) -> int:
    """How many of the last dates are outliers: a gap lies before them, and they have few rows."""
    total, after = sum(count for _, count in days), 0
    for place in range(len(days) - 1, 0, -1):
        after += days[place][1]
        if after > FEW * total:
            return 0
        if days[place][0] - days[place - 1][0] > GAP:
            return len(days) - place
    return 0


def describe(days: Days, late: int) -> str:
    """In words: the outliers after the gap, and the dates before it."""
    rows, last = sum(count for _, count in days[-late:]), days[-late - 1][0]
    shown = ", ".join(f"{day} ({count:,})" for day, count in [*days[-late - SHOWN : -late], *days[-late:][:SHOWN]])
    return f"{rows:,} of {sum(count for _, count in days):,} rows are more than {GAP.days} days after {last}: {shown}"
