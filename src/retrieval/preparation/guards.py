"""What looks wrong in the data, but is no error: one line each, in the terminal and in stats.json."""

from collections.abc import Iterator, Mapping
from typing import Any

from retrieval.preparation.engine import size
from retrieval.preparation.outliers import by_day, describe, tail
from retrieval.preparation.positives import Positives

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc

MIN_TEST_USERS = 100
MIN_TEST_SHARE = 0.001  # of the rows
MAX_REPEATS = 0.2  # of the rows
MAX_OWN = 0.05  # of the rows that one user may have
MAX_NEW = 0.5  # of the test users
MAX_UNDESCRIBED = {"items": 0.1, "users": 0.5}  # share of those in train that may have no row in their table
MAX_UNWATCHED = 0.9  # share of the rows of items that may have no interaction
MAX_SAME = 0.99  # share of the rows that may have the same value
MAX_SHOWN = 6  # kinds of events in a line
MIN_ROWS = 100  # of a table, to speak of its values


def of_sizes(stats: Mapping[str, Any]) -> Iterator[str]:
    """Lines about the account of rows in stats.json: a small test, new users, repeats, items without rows."""
    rows, kept, copies, dropped = (stats["interactions"][name] for name in ("in", "kept", "copies", "dropped"))
    users, new = stats["test"]["users"], stats["cold"]["users"]
    if users < MIN_TEST_USERS or kept["test"] < MIN_TEST_SHARE * rows:
        yield f"the test has only {kept['test']:,} of {rows:,} rows, of {users:,} users: the metrics will be uncertain"
    if new > MAX_NEW * (users + new):
        yield f"{new:,} of {users + new:,} test users are new, without a row in train: only metrics/cold.json has them"
    if copies:
        yield f"{copies:,} of {rows:,} rows have the user, item and time of an earlier row: are they in the data twice?"
    seen = dropped.get("seen_in_train", 0)
    repeats = dropped["repeated"] + seen
    if stats["repeats"] == "drop" and repeats - copies > MAX_REPEATS * rows:
        yield (
            f"{repeats:,} of {rows:,} rows repeat a pair of user and item: {dropped['repeated']:,} are dropped within "
            "train or test"
            + (f", {seen:,} of the test because train has the pair" if seen else "")
            + "; split.repeats=keep keeps them"
        )
    for name in ("items", "users"):
        if again := stats[name]["repeated"]:
            yield f"{again:,} of {stats[name]['in']:,} rows of {name} have the id of a later row: the last one counts"
    unwatched = stats["items"]["without_interaction"]
    if unwatched > MAX_UNWATCHED * max(stats["items"]["in"], 1):
        yield f"{unwatched:,} of {stats['items']['in']:,} rows of items have no interaction"


def of_ids(name: str, ids: pa.Array, table_ids: pa.ChunkedArray) -> Iterator[str]:
    """A line if many users or items (`name`) of the interactions have no row in their table; an id of each side."""
    missing = ids.filter(pc.invert(pc.is_in(ids, value_set=table_ids)))
    if len(table_ids) and len(missing) > MAX_UNDESCRIBED[name] * len(ids):
        others = table_ids.filter(pc.invert(pc.is_in(table_ids, value_set=ids)))
        hint = f"; the table has rows of others, such as {others[0].as_py()!r:.60}" if len(others) else ""
        yield (
            f"{len(missing):,} of {len(ids):,} {name} have no row in the table of {name}, and no features, such as "
            f"{missing[0].as_py()!r:.60}{hint}"
        )


def copies(rows: ir.Table) -> int:
    """How many rows are left out if of those with equal user, item, time, value and event only one is kept."""
    names = [name for name in ("user_id", "item_id", "time", "value", "event") if name in rows.columns]
    return size(rows) - size(rows.select(*names).distinct())


def of_rows(rows: ir.Table, options: Positives, timed: bool) -> Iterator[str]:
    """Lines about the rows that count as interactions: one user or one value in many, several events, odd times."""
    total = size(rows)
    if total >= MIN_ROWS:
        yield from _of_values(rows, total)
    if "value" in rows.columns and (count := size(rows.filter(rows.value < 0))):
        yield f"{count:,} of {total:,} rows have a negative value and count as positives; see positives.min_value"
    if "event" in rows.columns and not options.events:
        kinds = _most_frequent(rows, "event", MAX_SHOWN)
        if len(kinds) > 1:
            names = ", ".join(f"{event} ({count:,})" for event, count in kinds)
            yield f"all kinds of events count as positives: {names}; choose with 'positives.events=[{kinds[-1][0]}]'"
    if timed:
        yield from _of_times(rows)


def _of_values(rows: ir.Table, total: int) -> Iterator[str]:
    user, count = _most_frequent(rows, "user_id", 1)[0]
    if count > max(MAX_OWN * total, MIN_ROWS):
        yield f"user {user} has {count:,} of {total:,} rows: is this everyone who is not known?"
    for name in ("item_id", "value"):
        if name in rows.columns:
            value, count = _most_frequent(rows, name, 1)[0]
            if count >= MAX_SAME * total:
                yield f"{name} is {value} in {count:,} of {total:,} rows"


def _of_times(rows: ir.Table) -> Iterator[str]:
    days = by_day(rows)
    if late := tail(days):
        yield describe(days, late)
    if len(days) > 1 and days[0][0].year == 1970 < days[1][0].year:
        yield f"{days[0][1]:,} rows are of {days[0][0]}, the next ones of {days[1][0]}: is 0 a missing time?"


def _most_frequent(rows: ir.Table, name: str, limit: int) -> list[tuple[Any, int]]:
    """The most frequent values of a column and their numbers of rows, ties by value."""
    found = rows.group_by(name).aggregate(rows=rows.count()).order_by(ibis.desc("rows"), name).limit(limit)
    return [(row[name], row["rows"]) for row in found.to_pyarrow().to_pylist()]


def of_columns(name: str, table: pa.Table) -> Iterator[str]:
    """A line about the columns of a table of users or items that have one value in nearly all rows."""
    same = []
    for column in table.column_names if len(table) >= MIN_ROWS else []:
        if pa.types.is_string(table[column].type):
            counts = pc.value_counts(table[column])
            if len(counts) and pc.max(counts.field("counts")).as_py() >= MAX_SAME * len(table):
                same.append(column)
    if same:
        yield f"{name}: {', '.join(same)} {'has' if len(same) == 1 else 'have'} one value in nearly all rows"
