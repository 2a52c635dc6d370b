"""Kinds of data that people bring: what each gives, from the files to the features, and what is said about it."""

import csv
import gzip
import io
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pipelines import Content, Run, run

USERS, ITEMS, PER_USER, DAYS = 60, 40, 15, 60  # 900 rows, no pair twice
GENRES = ["Action", "Comedy", "Drama", "Horror", "War"]
Row = dict[str, Any]
FEW = "prepare: warning: the test has only {test} of {rows} rows, of {users} users: the metrics will be uncertain"


def interactions() -> list[Row]:
    """Rows with KION's columns, each with a moment of its own, not in the order of time."""
    rng = np.random.default_rng(7)
    seconds = rng.permutation(DAYS * 86_400)[: USERS * PER_USER].tolist()
    items = [rng.choice(ITEMS, PER_USER, replace=False).tolist() for _ in range(USERS)]
    return [
        {
            "user_id": user + 1,
            "item_id": item + 100,
            "last_watch_dt": datetime(2021, 3, 1) + timedelta(seconds=seconds[PER_USER * user + k]),
            "total_dur": int(rng.integers(1, 9000)),
            "watched_pct": int(rng.integers(1, 6)) * 20,
        }
        for user in range(USERS)
        for k, item in enumerate(items[user])
    ]


def items() -> list[Row]:
    rng = np.random.default_rng(8)
    return [
        {
            "item_id": k + 100,
            "title": f"Film, part {k}",
            "genres": ", ".join(rng.choice(GENRES, 2, replace=False)),
            "release_year": 1980 + k,
        }
        for k in range(ITEMS)
    ]


def changed(rows: list[Row], **columns: Callable[[Row], Any]) -> list[Row]:
    return [row | {name: make(row) for name, make in columns.items()} for row in rows]


def renamed(rows: list[Row], **names: str) -> list[Row]:
    """The rows with only the columns `names`: the new name by the old one."""
    return [{new: row[old] for old, new in names.items()} for row in rows]


def shuffled(rows: list[Row]) -> list[Row]:
    return [rows[k] for k in np.random.default_rng(9).permutation(len(rows))]


def to_csv(rows: list[Row], delimiter: str = ",") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def folder(rows: list[Row] | None = None, about: list[Row] | None = None) -> dict[str, str]:
    return {"interactions.csv": to_csv(rows or interactions()), "items.csv": to_csv(about or items())}


def expected(rows: list[Row]) -> dict[str, set[tuple[Any, Any]]]:
    """The pairs of train, test and cold of a split by days; no pair appears twice, and items are all in train."""
    cut = max(row["last_watch_dt"] for row in rows) - timedelta(days=7)
    train = {(row["user_id"], row["item_id"]) for row in rows if row["last_watch_dt"] <= cut}
    later = {(row["user_id"], row["item_id"]) for row in rows if row["last_watch_dt"] > cut}
    users = {user for user, _ in train}
    test = {pair for pair in later if pair[0] in users}
    return {"train": train, "test": test, "cold": later - test}


def said_by(result: Run, stage: str) -> list[str]:
    return [line.removeprefix(f"{stage}: ") for line in result.said if line.startswith(f"{stage}: ")]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The data as KION has them, which all others are compared with; only to be read."""
    return run(tmp_path_factory.mktemp("plain"), folder())


def test_plain(plain: Run) -> None:
    assert plain.refused == ""
    parts = expected(interactions())
    assert {name: plain.pairs(f"prepared/{name}") for name in parts} == parts
    assert plain.kept == {name: len(pairs) for name, pairs in parts.items()}
    assert plain.dropped == {}
    assert plain.said == [
        FEW.format(test=len(parts["test"]), rows=900, users=len({user for user, _ in parts["test"]})),
        "features: items: passed over, as nearly every row has a value of its own: 'title'",
        "features: items: lists, by their separators: 'genres' (',')",
    ]
    assert plain.stats["warnings"] == [line.removeprefix("prepare: warning: ") for line in plain.said[:1]]
    features = plain.features
    assert features.user_ids.tolist() == list(range(1, USERS + 1))
    assert features.item_ids.tolist() == list(range(100, 100 + ITEMS))
    assert features.spec["item_columns"]["genres"] == GENRES
    assert features.spec["item_columns"]["decade"] == ["1980", "1990", "2000", "2010"]
    assert features.items.shape == (ITEMS, len(GENRES) + 4)
    assert features.items.sum() == 3 * ITEMS  # two genres and a decade each
    assert features.users.shape == (USERS, 0)


def test_string_ids(plain: Run, tmp_path: Path) -> None:
    def user(row: Row) -> str:
        return str(uuid.UUID(int=row["user_id"] * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128))

    def item(row: Row) -> str:
        return f"B{row['item_id'] * 7919 % 100_000:05d}"

    rows = changed(interactions(), user_id=user, item_id=item)
    result = run(tmp_path, folder(rows, changed(items(), item_id=item)))
    assert result.kept == plain.kept
    assert result.pairs() == expected(rows)["test"]
    assert result.features.user_ids.tolist() == sorted({row["user_id"] for row in rows})
    assert result.features.item_ids.tolist() == sorted({row["item_id"] for row in rows})
    assert said_by(result, "fetch") == [
        f"item ids are text, such as '{item(items()[0])}' in items.csv",
        f"user ids are text, such as '{rows[0]['user_id']}' in interactions.csv",
    ]


ODD = [
    *(
        "007",
        "1.0",
        " 7",
        "7",
        "7 ",
        "-0",
        "+1",
        "1e5",
        "9" * 30,
        "null",
        "nan",
        "True",
        "'",
        '"',
        ",",
        "#",
        "..",
        "%2F",
    ),
    *("Ünï/6 x", "Ünï/6\u00a0x", "a?b&c=7", "\u2028", "\u200b", "🎬", "é", "e\u0301", "ß", "SS", "\\", "a\\N"),
]


def test_odd_string_ids(plain: Run, tmp_path: Path) -> None:
    def user(row: Row) -> str:
        return ODD[(row["user_id"] - 1) % len(ODD)] + ("" if row["user_id"] <= len(ODD) else "x")

    names = {k: user({"user_id": k}) for k in range(1, USERS + 1)}
    rows = changed(interactions(), user_id=user, item_id=lambda row: f"0{row['item_id']}")
    result = run(tmp_path, folder(rows, changed(items(), item_id=lambda row: f"0{row['item_id']}")))
    assert result.refused == ""
    assert set(result.features.user_ids) == set(names.values())
    assert result.features.item_ids.tolist() == [f"0{k}" for k in range(100, 100 + ITEMS)]
    assert result.pairs("prepared/train") == expected(rows)["train"]
    assert result.features.items.sum() == 3 * ITEMS


def test_ratings_with_unix_seconds(plain: Run, tmp_path: Path) -> None:
    rows = changed(interactions(), last_watch_dt=seconds, watched_pct=lambda row: row["watched_pct"] // 20)
    names = {"user_id": "user", "item_id": "item", "last_watch_dt": "timestamp", "watched_pct": "rating"}
    files = folder(renamed(rows, **names))
    result = run(tmp_path / "all", files)
    assert result.pairs() == plain.pairs()
    assert said_by(result, "fetch") == [
        "interactions.csv: user is the user, item is the item, timestamp is the time, rating is the value, times are "
        "unix seconds"
    ]
    liked = [row for row in rows if row["watched_pct"] >= 4]
    result = run(tmp_path / "liked", files, "positives.min_value=4")
    assert result.dropped["below_min_value"] == len(rows) - len(liked)
    assert sum(result.kept.values()) + sum(result.dropped.values()) == len(rows)
    pairs = {(row["user_id"], row["item_id"]) for row in liked}
    assert result.pairs() <= pairs
    assert result.pairs("prepared/train") <= pairs
    result = run(tmp_path / "disliked", files, "positives.min_value=4", "positives.exclude_disliked=true")
    moment = result.stats["moment"]
    below = {
        (row["user_id"], row["item_id"]) for row in rows if row["watched_pct"] < 4 and row["last_watch_dt"] <= moment
    }
    assert result.pairs("prepared/disliked") == below
    assert result.stats["disliked"] == len(below)


def test_three_columns(plain: Run, tmp_path: Path) -> None:
    rows = renamed(interactions(), user_id="user", item_id="item", last_watch_dt="timestamp")
    result = run(tmp_path, {"interactions.csv": to_csv(rows)})
    assert result.kept == plain.kept
    assert result.pairs() == plain.pairs()
    assert set(result.table("prepared/train")["weight"].to_pylist()) == {1}
    assert result.features.items.shape == (ITEMS, 0)


def test_no_items(plain: Run, tmp_path: Path) -> None:
    result = run(tmp_path, {"interactions.csv": to_csv(interactions())})
    assert result.pairs() == plain.pairs()
    assert result.table("prepared/items").to_pydict() == {"item_id": []}
    assert result.features.item_ids.tolist() == list(range(100, 100 + ITEMS))
    assert result.features.items.shape == (ITEMS, 0)


def parts(order: list[int], parquet: bool = False) -> dict[str, Content]:
    """Five parts; that of the rows `k` has the place `order[k]`."""
    size = USERS * PER_USER // len(order)
    split = {place: interactions()[size * k : size * (k + 1)] for k, place in enumerate(order)}
    if parquet:
        return {f"interactions/part-{place}.parquet": pa.Table.from_pylist(rows) for place, rows in split.items()}
    return {f"interactions/part-{place}.csv": to_csv(rows) for place, rows in split.items()}


def seconds(row: Row) -> int:
    """The time in unix seconds."""
    return int(row["last_watch_dt"].replace(tzinfo=UTC).timestamp())


def zoned(row: Row) -> str:
    """The time with a zone, of Greenwich or Moscow."""
    if row["item_id"] % 2:
        return row["last_watch_dt"].isoformat() + "Z"
    return row["last_watch_dt"].replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=3))).isoformat()


FILE = "interactions.csv"
ABOUT = {"items.csv": to_csv(items())}
SAME: dict[str, tuple[dict[str, Content], list[str]]] = {
    "shuffled": (folder(shuffled(interactions()), shuffled(items())), []),
    "semicolons": (
        {"interactions.csv": to_csv(interactions(), ";"), "items.csv": to_csv(items(), ";")},
        ["interactions.csv: semicolons separate the columns", "items.csv: semicolons separate the columns"],
    ),
    "tabs": (
        {"interactions.tsv": to_csv(interactions(), "\t"), **ABOUT},
        ["interactions.tsv: tabs separate the columns"],
    ),
    "gzip": ({f"{name}.gz": gzip.compress(text.encode()) for name, text in folder().items()}, []),
    "zstd": ({f"{name}.zst": pa.compress(text.encode(), "zstd", asbytes=True) for name, text in folder().items()}, []),
    "parquet": (
        {"interactions.parquet": pa.Table.from_pylist(interactions()), "items.parquet": pa.Table.from_pylist(items())},
        [],
    ),
    "parts": ({**parts([0, 1, 2, 3, 4]), **ABOUT}, ["interactions: 5 parts"]),
    "parts in another order": ({**parts([3, 0, 4, 1, 2]), **ABOUT}, ["interactions: 5 parts"]),
    "parts of parquet": ({**parts([4, 3, 2, 1, 0], parquet=True), **ABOUT}, ["interactions: 5 parts"]),
    "a mark of UTF-8, and lines of Windows": (
        {name: "\ufeff" + text.replace("\n", "\r\n") for name, text in folder().items()},
        [],
    ),
    "zones": (
        folder(changed(interactions(), last_watch_dt=zoned)),
        [f"{FILE}: times have zones and are turned into UTC"],
    ),
    "unix milliseconds": (
        folder(changed(interactions(), last_watch_dt=lambda row: seconds(row) * 1000)),
        [f"{FILE}: times are unix milliseconds"],
    ),
    "unix microseconds": (
        folder(changed(interactions(), last_watch_dt=lambda row: seconds(row) * 1_000_000)),
        [f"{FILE}: times are unix microseconds"],
    ),
}


@pytest.mark.parametrize("kind", SAME)
def test_the_same_data_in_another_form_give_the_same_bytes(plain: Run, tmp_path: Path, kind: str) -> None:
    files, said = SAME[kind]
    result = run(tmp_path, files)
    assert result.refused == ""
    assert said_by(result, "fetch") == said
    assert said_by(result, "prepare") == said_by(plain, "prepare")
    assert result.files == plain.files


def test_lists_in_cells(tmp_path: Path) -> None:
    countries = ["USA", "France", "Russia"]
    about = changed(
        items(),
        genres=lambda row: row["genres"].replace(", ", "|"),
        countries=lambda row: ", ".join(countries[k % 3] for k in range(row["item_id"] % 7, row["item_id"] % 7 + 2)),
    )
    result = run(tmp_path, folder(about=about))
    columns = result.features.spec["item_columns"]
    assert columns["genres"] == GENRES
    assert columns["countries"] == sorted(countries)
    assert "features: items: lists, by their separators: 'genres' ('|'), 'countries' (',')" in result.said


def test_one_date_in_2099(plain: Run, tmp_path: Path) -> None:
    rows = interactions()
    rows.append(rows[0] | {"item_id": 100, "last_watch_dt": datetime(2099, 1, 1)})
    result = run(tmp_path / "refused", folder(rows))
    last = max(row["last_watch_dt"].date() for row in rows[:-1])
    days = [last - timedelta(days=1), last]
    counts = [sum(row["last_watch_dt"].date() == day for row in rows) for day in days]
    assert result.refused == (
        f"prepare: split: 1 of 901 rows are more than 30 days after {last}: {days[0]} ({counts[0]}), {days[1]} "
        f"({counts[1]}), 2099-01-01 (1); the test would be the last 7 days of that: set split.until={last} to leave "
        "out what comes later"
    )
    result = run(tmp_path / "until", folder(rows), f"split.until={last}")
    assert result.dropped == {"after_until": 1}
    assert result.pairs() == plain.pairs()


def test_all_test_users_new(tmp_path: Path) -> None:
    start = max(row["last_watch_dt"] for row in interactions()) - timedelta(days=7)
    rows = changed(interactions(), user_id=lambda row: row["user_id"] + 1000 * (row["last_watch_dt"] > start))
    new = len({row["user_id"] for row in rows if row["user_id"] > 1000})
    assert run(tmp_path, folder(rows)).refused.startswith(
        f"prepare: split: no test row has its user and its item in train: all {new} test users are new: none of them "
        "has a row in train; use split.kind=leave-last; dropped: {"
    )


def test_events(plain: Run, tmp_path: Path) -> None:
    kinds = {0: "view", 1: "view", 2: "cart", 3: "purchase"}
    rows = changed(interactions(), event=lambda row: kinds[row["total_dur"] % 4])
    count = {kind: sum(row["event"] == kind for row in rows) for kind in kinds.values()}
    result = run(tmp_path / "all", folder(rows))
    assert result.pairs() == plain.pairs()
    two = sorted(("cart", "purchase"), key=lambda kind: (-count[kind], kind))
    listed = ", ".join(f"{kind} ({count[kind]})" for kind in ("view", *two))
    assert f"prepare: warning: all kinds of events count as positives: {listed}; choose with " in "\n".join(result.said)
    result = run(tmp_path / "purchase", folder(rows), "positives.events=[purchase]")
    bought = {(row["user_id"], row["item_id"]) for row in rows if row["event"] == "purchase"}
    assert result.dropped["other_event"] == 900 - len(bought)
    assert result.pairs() | result.pairs("prepared/train") | result.pairs("prepared/cold") <= bought


def test_repeats(plain: Run, tmp_path: Path) -> None:
    """Each user watches the first ten of her items again, three days later: of the pairs in the test, some are new."""
    rows = interactions()
    again = [row | {"last_watch_dt": row["last_watch_dt"] + timedelta(days=3), "watched_pct": 100} for row in rows]
    rows += [row for k, row in enumerate(again) if k % PER_USER < 10 and row["last_watch_dt"] < datetime(2021, 4, 30)]
    cut = max(row["last_watch_dt"] for row in rows) - timedelta(days=7)

    def pairs(late: bool) -> list[tuple[int, int]]:
        return [(row["user_id"], row["item_id"]) for row in rows if (row["last_watch_dt"] > cut) == late]

    train, test = set(pairs(False)), set(pairs(True))
    repeated = len(rows) - len(train) - len(test)
    result = run(tmp_path / "drop", folder(rows))
    assert result.pairs() == test - train
    assert result.dropped == {"repeated": repeated, "seen_in_train": len(test & train)}
    line = (
        f"prepare: warning: {repeated + len(test & train)} of {len(rows):,} rows repeat a pair of user and item: "
        f"{repeated} are dropped within train or test, {len(test & train)} of the test because train has the pair; "
        "split.repeats=keep keeps them"
    )
    assert line in result.said
    kept = run(tmp_path / "keep", folder(rows), "split.repeats=keep")
    assert kept.pairs() == test
    assert kept.dropped == {"repeated": len(pairs(True)) - len(test)}
    assert len(kept.features.histories.item) == len(pairs(False))
    assert kept.features.seen.nnz == kept.features.counts.sum() == len(train)
    assert kept.features.excluded.nnz == 0
    counted = run(tmp_path / "count", folder(rows), "positives.weight=count")
    weights = counted.table("prepared/train")["weight"].to_pylist()
    assert sum(weights) == len(pairs(False))


def test_rounding_noise(tmp_path: Path) -> None:
    rows = changed(interactions(), watched_pct=lambda row: 100 + 1e-14 * (row["item_id"] % 2))
    result = run(tmp_path, folder(rows))
    assert len(set(result.table("prepared/train")["weight"].to_pylist())) == 1
    assert result.refused == ""


def test_strange_items(tmp_path: Path) -> None:
    about = items()
    about[0] |= {"release_year": "1e20"}
    about[1] |= {"title": "x" * 50_000}
    result = run(tmp_path, folder(about=about))
    assert result.refused == ""
    assert (
        "features: items: release_year is no year from 1800 to 2100 in 1 of 40 rows, such as '1e20'; their decade is "
        "unknown"
    ) in result.said
    assert result.features.items.sum() == 3 * ITEMS - 1
    assert result.table("prepared/items")["title"][1].as_py() == "x" * 50_000
    assert max(map(len, result.said)) < 500


def test_a_date_of_1600(tmp_path: Path) -> None:
    rows = changed(interactions()[:1], last_watch_dt=lambda row: "1600-01-01 00:00:00") + interactions()[1:]
    assert run(tmp_path, folder(rows)).refused == (
        "fetch: mine/interactions.csv: column 'last_watch_dt', row 1: '1600-01-01 00:00:00' is not of the years 1970 "
        "to 2199"
    )


@pytest.mark.parametrize("kind", ["days", "leave-last"])
def test_ties(tmp_path: Path, kind: str) -> None:
    """Days only: many rows of a user have one time, and none of the rest of the row decides but by its hash."""
    rows = changed(interactions(), last_watch_dt=lambda row: row["last_watch_dt"].date())
    first, second = (
        run(tmp_path / name, folder(each), f"split.kind={kind}")
        for name, each in (("ordered", rows), ("shuffled", shuffled(rows)))
    )
    assert first.refused == ""
    assert first.files == second.files


def test_rows_that_differ_only_in_what_a_tie_does_not_hash(tmp_path: Path) -> None:
    rows = [row | {"watched_pct": value} for row in interactions() for value in (20, 60)]
    first, second = (run(tmp_path / str(k), folder(each)) for k, each in enumerate((rows, shuffled(rows))))
    assert first.dropped == {"repeated": 900}
    assert first.files == second.files


def test_half_the_items(tmp_path: Path) -> None:
    result = run(tmp_path, folder(about=items()[::2]))
    line = "prepare: warning: 20 of 40 items have no row in the table of items, and no features, such as "
    assert any(each.startswith(line) for each in result.said)
    assert np.flatnonzero(result.features.items.sum(axis=1)).tolist() == list(range(0, ITEMS, 2))


def test_three_hundred_columns(plain: Run, tmp_path: Path) -> None:
    more = {f"c{k}": 0 for k in range(300)}
    rows = [{"uid": row["user_id"], **row, **more} for row in interactions()[:50]]
    for row in rows:
        del row["user_id"]
    result = run(tmp_path / "recognised", folder(rows))
    assert said_by(result, "fetch") == ["interactions.csv: uid is the user"]
    rows = [{"seat": row.pop("uid"), **row} for row in rows]
    result = run(tmp_path / "refused", folder(rows))
    assert result.refused.startswith(
        "fetch: mine/interactions.csv: no column is recognised as the user; the columns are "
    )
    assert result.refused.endswith(" and 297 more: set mapping.user=NAME")
    assert len(result.refused) < 300
    assert run(tmp_path / "named", folder(rows), "mapping.user=seat").refused == ""
