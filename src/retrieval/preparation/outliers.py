"""Rows far in time from all others, such as of a wrong clock: a split by days follows the last date, whatever it is."""

from datetime import date, timedelta

from retrieval.preparation.engine import counts

import ibis.expr.types as ir

GAP = timedelta(days=30)  # without a row
FEW = 0.01  # share of the rows
SHOWN = 2  # dates on the near side of the gap

Days = list[tuple[date, int]]  # the dates that have rows, and their number


def by_day(rows: ir.Table) -> Days:
    """The dates of `rows`, ascending, and how many rows each has."""
    by_date = counts(rows.select(day=rows.time.truncate("D")), "day")
    return [(day.date(), count) for day, count in by_date.items()]


def tail(days: Days) -> int:
    """How many of the last dates are outliers: a gap lies before them, and they have few rows."""
    total, after, late = sum(count for _, count in days), 0, 0
    for place in range(len(days) - 1, 0, -1):
        after += days[place][1]
        if after > FEW * total:
            break
        if days[place][0] - days[place - 1][0] > GAP:
            late = len(days) - place
    return late


def describe(days: Days, late: int) -> str:
    """In words: the outliers after the gap, and the dates before it."""
    rows, last = sum(count for _, count in days[-late:]), days[-late - 1][0]
    shown = ", ".join(f"{day} ({count:,})" for day, count in [*days[-late - SHOWN : -late], *days[-late:][:SHOWN]])
    return f"{rows:,} of {sum(count for _, count in days):,} rows are more than {GAP.days} days after {last}: {shown}"
