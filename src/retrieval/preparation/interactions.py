"""From the raw interactions to those of train, test and cold users; every dropped row is counted."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from retrieval.errors import Problem
from retrieval.preparation.engine import Engine, counts, size
from retrieval.preparation.filters import Filter, active
from retrieval.preparation.positives import BELOW, POSITIVE, Positives, reason
from retrieval.preparation.split import LATER, SPLITS, TEST, TRAIN, Parts, Split, in_time
from retrieval.preparation.weights import bins, edges

import ibis
import ibis.expr.types as ir

PAIR = ("user_id", "item_id")
EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Rules:
    """The parameters of `prepare`; kind: a name in SPLITS."""

    kind: str
    split: Split
    positives: Positives
    filter: Filter


@dataclass(frozen=True)
class Described:
    """The ids that have features: tables of a column user_id and item_id, None without the file of users or items."""

    users: ir.Table | None
    items: ir.Table | None


@dataclass(frozen=True)
class Interactions:
    """Tables user_id, item_id, datetime, weight float32, ordered by user, time, tie, item and weight.

    test: rows of the test period whose user and item are in train; cold: rows whose item is in train and whose user is
    not; cold_items: rows whose user is in train, and whose item is not but has features; disliked: user_id, item_id of
    what users gave less than `positives.min_value` in the train period. positives: all rows that count as interactions,
    before repeated pairs are dropped. moment: when train ends, in seconds since 1970. dropped: number of rows by
    reason, in the order of the steps of `prepare`.
    """

    train: ir.Table
    test: ir.Table
    cold: ir.Table
    cold_items: ir.Table
    disliked: ir.Table
    positives: ir.Table
    moment: int
    dropped: dict[str, int]


def prepare(engine: Engine, raw: ir.Table, described: Described, rules: Rules) -> Interactions:
    """Clean, split and filter the raw interactions.

    In this order:
    1. Drop rows that are no positives (see `positives`), or later than `split.until`.
    2. Split. This comes before repeated pairs of user and item are dropped: otherwise a second view in the test period
       would remove the first one from train.
    3. Of a pair that is repeated within train or within test keep one row. Drop test rows whose pair is in train: the
       test asks for items new to the user. With split.repeats=keep train keeps all rows, and the test a row per pair.
    4. Filter train, if enabled. All users of the test period are exempt, even those whose test rows step 3 has dropped,
       as in the notebook. The filter also drops users without features.
    5. Drop test rows whose item is not in train, unless the item has features and the user is in train. Of the others,
       those whose user is not in train are cold.
    6. Turn values into weights, with edges from train.

    Raises `Problem` if train or test would be empty.
    """
    labelled = raw.mutate(reason=reason(raw, rules.positives, rules.split.end))
    dropped = counts(labelled, "reason")
    if not dropped.pop(POSITIVE, 0):
        events = rules.positives.events and f"; the events are {', '.join(map(str, counts(raw, 'event')))}"[:200]
        raise Problem(f"interactions: no row is left that counts as a positive; dropped: {dropped}{events or ''}")
    parts = SPLITS[rules.kind](labelled.filter(labelled.reason == POSITIVE).drop("reason"), rules.split)
    rows = engine.cache(_mark_repeats(parts.rows, rules))
    train, warm, cold, cold_items = _parts(engine, rows, described, rules, dropped)
    weight = _weight(train, rules.positives)
    train_rows, *tests = (_ordered(part, weight) for part in (train, warm, cold, cold_items))
    moment = (parts.end - EPOCH) // timedelta(seconds=1)
    disliked = _disliked(labelled, train, parts, rules)
    return Interactions(train_rows, tests[0], tests[1], tests[2], disliked, rows, moment, dropped)


def _parts(
    engine: Engine, rows: ir.Table, described: Described, rules: Rules, dropped: dict[str, int]
) -> tuple[ir.Table, ir.Table, ir.Table, ir.Table]:
    """train, test, cold and cold_items: steps 3 to 5 of `prepare`. Counts in `dropped` what is in none of them."""
    train, test = (rows.filter(rows.part == part, ~rows.repeated) for part in (TRAIN, TEST))
    by_part = counts(rows, "part")
    unique = {TRAIN: size(train), TEST: size(test)}
    dropped["after_the_test"] = by_part.get(LATER, 0)
    dropped["repeated"] = sum(by_part.get(part, 0) - count for part, count in unique.items())
    test_users = test.select("user_id").distinct()
    if rules.split.repeats == "drop":
        seen = train.semi_join(test, PAIR)  # far fewer rows than train, which would be the table to look up in
        test = engine.cache(test.anti_join(seen, PAIR))
        dropped["seen_in_train"] = unique[TEST] - size(test)
    if rules.filter.enabled:
        train = engine.cache(_filter(train, test_users, described.users, rules.filter, dropped))
    items = train.select("item_id").distinct()
    known = engine.cache(test.semi_join(items, "item_id"))
    new = test.anti_join(items, "item_id").semi_join(train, "user_id")
    new = engine.cache(new.limit(0) if described.items is None else new.semi_join(described.items, "item_id"))
    dropped["item_not_in_train"] = size(test) - size(known) - size(new)
    warm = engine.cache(known.semi_join(train, "user_id"))
    cold = known.anti_join(warm, "user_id")
    _require_a_test(by_part.get(TEST, 0), size(warm), cold, dropped, rules)
    return train, warm, cold, new


def _mark_repeats(rows: ir.Table, rules: Rules) -> ir.Table:
    """`repeated` is false for one row of each pair and part, the last or the first; `copies` is the number of rows.

    With split.repeats=keep no row of train is repeated, and each is one copy.
    """
    key, direction = [*PAIR, "part"], ibis.desc if rules.positives.repeats == "last" else ibis.asc
    place = ibis.row_number().over(group_by=key, order_by=in_time(rows, direction))
    marked = rows.mutate(repeated=place > 0).drop(*{"duration"} & {*rows.columns})
    if rules.positives.weight == "count":
        marked = marked.mutate(copies=marked.count().over(group_by=key))
    if rules.split.repeats == "keep":
        alone = {name: value for name, value in (("repeated", False), ("copies", 1)) if name in marked.columns}
        train = marked.part == TRAIN
        marked = marked.mutate({name: ibis.ifelse(train, value, marked[name]) for name, value in alone.items()})
    return marked


def _filter(
    train: ir.Table, test_users: ir.Table, described: ir.Table | None, limits: Filter, dropped: dict[str, int]
) -> ir.Table:
    left = active(train, test_users, limits)
    dropped["filtered"] = size(train) - size(left)
    if described is not None:
        train, left = left, left.semi_join(described, "user_id")
        dropped["user_without_features"] = size(train) - size(left)
    if not size(left):
        raise Problem(
            f"filter: no row is left for train with user_interactions={limits.user_interactions} "
            f"and item_interactions={limits.item_interactions}; lower them"
        )
    return left


def _require_a_test(rows: int, warm: int, cold: ir.Table, dropped: dict[str, int], rules: Rules) -> None:
    """Raise `Problem`, which says why, if the test has no row of a user and an item in train."""
    if warm:
        return
    if not rows and rules.kind == "leave-last":
        why = f"no user has more than split.last={rules.split.last} rows (and {rules.split.fold} folds of them)"
    elif not rows:
        why = f"the test period, split.days={rules.split.days} and split.fold={rules.split.fold}, has no row"
    elif new := size(cold.select("user_id").distinct()):
        why = f"all {new:,} test users are new: none of them has a row in train; use split.kind=leave-last"
    elif dropped["item_not_in_train"]:
        why = "no item of the test is in train, but of pairs that train has"
    else:
        why = "train has all pairs of the test; split.repeats=keep keeps them in the test"
    raise Problem(f"split: no test row has its user and its item in train: {why}; dropped: {dropped}")


def _weight(train: ir.Table, options: Positives) -> Callable[[ir.Table], ir.NumericValue]:
    """The weight of the rows of a table; the bins are those of train."""
    if options.weight == "count":
        return lambda rows: rows.copies
    if "value" not in train.columns:
        return lambda rows: ibis.literal(1)
    if options.weight == "value":
        return lambda rows: rows.value
    span = train.aggregate(low=train.value.min(), high=train.value.max()).to_pyarrow().to_pylist()[0]
    bounds = edges(span["low"], span["high"])
    return lambda rows: bins(rows.value, bounds)


def _ordered(rows: ir.Table, weight: Callable[[ir.Table], ir.NumericValue]) -> ir.Table:
    table = rows.select("user_id", "item_id", "tie", datetime=rows.time, weight=weight(rows).cast("float32"))
    return table.order_by("user_id", "datetime", "tie", "item_id", "weight").drop("tie")


def _disliked(labelled: ir.Table, train: ir.Table, parts: Parts, rules: Rules) -> ir.Table:
    """Pairs that got too low a value before train ended, and are not in train."""
    below = labelled.filter(labelled.reason == BELOW)
    if rules.kind == "leave-last":
        last = train.group_by("user_id").aggregate(last=train.time.max())
        below = below.join(last, "user_id")
        below = below.filter(below.time <= below["last"])
    else:
        below = below.filter(below.time <= parts.end)
    return below.select(*PAIR).distinct().anti_join(train, PAIR).order_by(*PAIR)
