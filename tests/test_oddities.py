"""Folders with odd things in them, drawn at random: each is handled and counted, or refused in one line."""

import csv
import gzip
import io
import random
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pipelines import Content, Run, run

CASES = 150
SECONDS = 30  # per case
Cells = list[str]
Table = dict[str, Cells]

CONTROL = "\0\x01\x07\x1b\x7f\x85\r\n\t"
WORDS = [
    "Ünï/6 x",
    "a?b&c=7",
    "\u2028",
    "e\u0301",
    "🎬",
    "'",
    '"',
    ",",
    ";",
    "|",
    "\\",
    "-",
    "NaN",
    "None",
    "true",
    "1e5",
]
IDS: dict[str, Callable[[int], str]] = {
    "integers": str,
    "large": lambda k: str(2**63 - 1 - k),
    "too large": lambda k: str(2**63 + k),
    "negative": lambda k: str(-(2**63) + k),
    "zeros": lambda k: f"00{k}",
    "fractions": lambda k: f"{k}.0",
    "spaces": lambda k: f" {k} " if k % 2 else str(k),
    "words": lambda k: WORDS[k % len(WORDS)] + str(k // len(WORDS)),
    "uuids": lambda k: f"{k:08x}-0000-4000-8000-{k * 7919:012x}",
    "long": lambda k: f"{k:0200}",
    "too long": lambda k: f"{k:0201}",
    "mixed": lambda k: str(k) if k else "x",
    "control": lambda k: f"{k}{CONTROL[k % len(CONTROL)]}",
    "some empty": lambda k: "" if k == 3 else str(k),
    "NULL": lambda k: "NULL" if k == 2 else str(k),
    "one": lambda k: "7",
}
FIRST = datetime(2024, 1, 1)
TIMES: dict[str, Callable[[datetime], str]] = {
    "iso": lambda time: time.isoformat(" "),
    "days": lambda time: f"{time:%Y-%m-%d}",
    "zones": lambda time: time.isoformat() + ("Z" if time.second % 2 else "+03:00"),
    "seconds": lambda time: str(int((time - datetime(1970, 1, 1)).total_seconds())),
    "milliseconds": lambda time: str(int((time - datetime(1970, 1, 1)).total_seconds()) * 1000),
    "fractions": lambda time: f"{(time - datetime(1970, 1, 1)).total_seconds():.3f}",
    "ymd": lambda time: f"{time:%Y%m%d}",
    "slashes": lambda time: f"{time:%d/%m/%Y}",
    "mixed": lambda time: time.isoformat() if time.second % 7 else str(time.second),
    "some empty": lambda time: "" if time.second == 5 else time.isoformat(),
    "equal": lambda time: "2024-01-01 00:00:00",
    "zero": lambda time: "0",
    "relative": lambda time: str(int((time - FIRST).total_seconds())),
    "1600": lambda time: f"{time:1600-%m-%d}",
    "2199": lambda time: f"{time:2199-%m-%d}",
    "31 February": lambda time: f"{time:2024-02-%d}",
}
VALUES: dict[str, Callable[[random.Random], str]] = {
    "stars": lambda rng: str(rng.randint(1, 5)),
    "percent": lambda rng: f"{rng.random() * 100:.2f}",
    "huge": lambda rng: rng.choice(["1e308", "-1e308", "1.7e308"]),
    "tiny": lambda rng: rng.choice(["1e-308", "5e-324", "0"]),
    "noise": lambda rng: repr(100 + 1e-14 * rng.randint(0, 1)),
    "negative": lambda rng: str(-rng.randint(1, 5)),
    "equal": lambda rng: "3",
    "missing": lambda rng: "",
    "some missing": lambda rng: rng.choice(["", "NULL", "2"]),
    "some infinite": lambda rng: rng.choice(["1", "1", "1", "1", "inf"]),
    "some NaN": lambda rng: rng.choice(["1", "1", "1", "1", "nan"]),
    "commas": lambda rng: "3,5",
    "text": lambda rng: "good",
}
COLUMNS: dict[str, Callable[[random.Random, int], str]] = {
    "lists": lambda rng, k: rng.choice("|,;").join(rng.sample(WORDS, 3)),
    "genres": lambda rng, k: "|".join(rng.sample(["war", "drama", "sport", "news"], rng.randint(1, 3))),
    "python lists": lambda rng, k: str(rng.sample(["war", "it's", "a, b"], 2)),
    "numbers": lambda rng, k: repr(rng.gauss(0, 1e6)),
    "huge numbers": lambda rng, k: rng.choice(["1e308", "-1e308", "inf", "-inf", "nan", "0", "1e-320"]),
    "many huge numbers": lambda rng, k: f"{rng.choice('-+')}{rng.random():.6f}e308",
    "integers": lambda rng, k: str(rng.randint(0, 100)),
    "large integers": lambda rng, k: str(10**25 + k),
    "booleans": lambda rng, k: rng.choice(["true", "False", "TRUE"]),
    "unique": lambda rng, k: f"https://example.com/{k}",
    "long": lambda rng, k: "x" * rng.choice([1, 50_000]),
    "lines": lambda rng, k: 'one\r\n"two"\n' + str(k % 3),
    "empty": lambda rng, k: "",
    "spaces": lambda rng, k: " " * (k % 3),
    "control": lambda rng, k: rng.choice(CONTROL),
    "separators": lambda rng, k: rng.choice(["|", ",,", ";;;", "[]", "['']", "[", "{'a': [1]}"]),
    "equal": lambda rng, k: "same",
    "years": lambda rng, k: rng.choice(["1994", "1e20", "-5", "nan", "", "1994.0", "MCMXCIV"]),
}
NAMES = [
    "genres",
    "release_year",
    "decade",
    "title",
    "a b",
    "Ünï",
    "x:token_seq",
    "user_id",
    "id",
    "a\nb",
    "",
    "c" * 300,
]
DAMAGE: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "NUL": lambda rng, data: insert(rng, data, b"\0"),
    "a quotation mark": lambda rng, data: insert(rng, data, b'"'),
    "a separator": lambda rng, data: insert(rng, data, b","),
    "an empty line": lambda rng, data: insert(rng, data, b"\n\n"),
    "Latin-1": lambda rng, data: insert(rng, data, b"\xe9"),
    "UTF-16": lambda rng, data: data.decode().encode("utf-16"),
    "cut off": lambda rng, data: data[: rng.randrange(len(data))],
    "returns": lambda rng, data: data.replace(b"\n", b"\r"),
    "another separator": lambda rng, data: data.replace(b",", b"~"),
    "the header twice": lambda rng, data: data[: data.index(b"\n") + 1] + data,
    "no header": lambda rng, data: data[data.index(b"\n") + 1 :],
    "a column twice": lambda rng, data: data.replace(b"user", b"item", 1),
}
LOSSES = {"cut off", "no header", "the header twice", "an empty line"}  # that may change the number of rows
SETTINGS = [
    ["split.kind=leave-last"], ["split.kind=days", "split.days=1"], ["split.until=2024-01-20"], ["split.repeats=keep"],
    ["positives.min_value=3", "positives.exclude_disliked=true"], ["positives.weight=count"], ["filter.enabled=true"],
    ["positives.weight=value"], ["positives.repeats=first"], ["mapping.time=none"], ["columns.multiple=[genres,title]"],
    ["mapping.time_format=s"], ["split.kind=leave-last", "split.last=5"], ["positives.events=[a]"], ["split.fold=1"],
    ["columns.item=[title,genres]", "columns.user=[sex]"], ["filter.enabled=true", "filter.item_interactions=0"],
]  # fmt: skip


def insert(rng: random.Random, data: bytes, junk: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + junk + data[at:]


def choose(rng: random.Random, table: dict[str, Any], usual: float) -> Any:
    """The first entry of a table, or with probability `1 - usual` any."""
    return table[rng.choice(list(table)) if rng.random() > usual else next(iter(table))]


def interactions(rng: random.Random) -> Table:
    sizes = [(30, 20, 150), (30, 20, 150), (12, 9, 80), (12, 9, 80), (1, 9, 30), (30, 1, 30), (1, 1, 1)]
    users, items, rows = rng.choice(sizes)
    user, item = choose(rng, IDS, 0.8), choose(rng, IDS, 0.8)
    time, days = choose(rng, TIMES, 0.8), rng.choice([30, 30, 30, 30, 30, 30, 0.1, 400])
    table: Table = {"user": [], "item": [], "timestamp": []}
    for _ in range(rows):
        table["user"].append(user(rng.randrange(users)))
        table["item"].append(item(rng.randrange(items)))
        table["timestamp"].append(time(FIRST + timedelta(seconds=int(rng.random() * days * 86_400))))
    if rng.random() < 0.6:
        value = choose(rng, VALUES, 0.7)
        table["rating"] = [value(rng) for _ in range(rows)]
    if rng.random() < 0.3:
        table["event"] = [rng.choice(["a", "b", "", "NULL", "ü"]) for _ in range(rows)]
    if rng.random() < 0.2:
        duration = choose(rng, VALUES, 0.7)
        table["duration"] = [duration(rng) for _ in range(rows)]
    if rng.random() < 0.1:
        del table["timestamp"]
    return table


def entities(rng: random.Random, key: str, ids: Cells) -> Table:
    """A table of users or items: of some, all, more or none of those in the interactions; one may appear twice."""
    ids = sorted(set(ids))
    ids = rng.choice([ids, ids, ids, ids, ids, ids[::2], [*ids, "999999", "888888"], [*ids, ids[0]], ["777777"], []])
    table = {key: list(ids)}
    for name in rng.sample(NAMES, rng.randint(0, 5)):
        if name != key:
            make = choose(rng, COLUMNS, 0.0)
            table[name] = [make(rng, k) for k in range(len(ids))]
    return table


def written(rng: random.Random, table: Table) -> bytes:
    text = io.StringIO()
    end = rng.choice(["\n", "\n", "\r\n"])
    writer = csv.writer(
        text,
        delimiter=rng.choice(",,,;\t|"),
        lineterminator=end,
        quoting=rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    )
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return text.getvalue().encode(rng.choice(["utf-8", "utf-8", "utf-8-sig"]))


def stored(rng: random.Random, name: str, table: Table) -> dict[str, Content]:
    """The files of a table: CSV, compressed or not, parquet, or a folder of parts."""
    rows = len(next(iter(table.values())))
    form = rng.choice(["csv", "csv", "csv", "gz", "zst", "parquet", "parts"])
    if form == "parquet":
        kept = {column: cells for column, cells in table.items() if column}
        return {
            f"{name}.parquet": pa.table(
                {c: pa.array([x or None for x in cells], pa.string()) for c, cells in kept.items()}
            )
        }
    if form == "parts":
        half = rows // 2
        state = rng.getstate()
        files = {}
        for k, (start, end) in enumerate(((0, half), (half, rows))):
            rng.setstate(state)
            part = {column: cells[start:end] for column, cells in table.items()}
            files[f"{name}/part-{k}.csv"] = written(rng, part)
        return files
    data = written(rng, table)
    return {
        "csv": {f"{name}.csv": data},
        "gz": {f"{name}.csv.gz": gzip.compress(data)},
        "zst": {f"{name}.csv.zst": pa.compress(data, "zstd", asbytes=True)},
    }[form]


def folder(rng: random.Random) -> tuple[dict[str, Content], Table, str]:
    """The files, the table of interactions, and the damage to one of the files, "" if there is none."""
    table = interactions(rng)
    files = stored(rng, "interactions", table)
    for name, key, column in (("items", "item_id", "item"), ("users", "user_id", "user")):
        if rng.random() < 0.6:
            files |= stored(rng, name, entities(rng, key, table[column]))
    path = rng.choice(sorted(files))
    content = files[path]
    if rng.random() < 0.15 and isinstance(content, bytes) and content and not path.endswith(("gz", "zst")):
        damage = rng.choice(list(DAMAGE))
        files[path] = DAMAGE[damage](rng, content)
        return files, table, damage
    return files, table, ""


@contextmanager
def limited() -> Iterator[None]:
    """The block fails after SECONDS, and for each warning of a library."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"more than {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def check_refused(result: Run) -> None:
    assert result.refused.startswith(("fetch: ", "prepare: ", "features: "))
    assert not any(letter in result.refused for letter in CONTROL), repr(result.refused)
    assert ": unexpected " not in result.refused
    assert len(result.refused) < 1000


def check_handled(result: Run, table: Table, damage: str) -> None:
    account = result.stats["interactions"]
    assert account["in"] == sum(account["kept"].values()) + sum(account["dropped"].values())
    features = result.features
    assert features.users.shape[0] == len(features.user_ids) == result.stats["train"]["users"]
    assert features.items.shape[0] == len(features.item_ids) == result.stats["train"]["items"]
    assert len(features.histories.item) == account["kept"]["train"]
    assert np.isfinite(features.histories.weight).all()
    for matrix, name in ((features.users, "user_columns"), (features.items, "item_columns")):
        assert matrix.shape[1] == sum(map(len, features.spec[name].values()))
        assert set(matrix.data) <= {1}
    for name, key in (("users", "user_id"), ("items", "item_id")):
        rows = result.stats[name]
        assert rows["in"] == rows["kept"] + rows["repeated"] + rows["without_interaction"]
        assert result.table(f"prepared/{name}")[key].null_count == 0
    if damage not in LOSSES:
        assert account["in"] == len(table["user"])
    if not damage:
        pairs = set(zip(table["user"], table["item"], strict=True))
        for part in ("train", "test", "cold"):
            assert {(str(user), str(item)) for user, item in result.pairs(f"prepared/{part}")} <= pairs
        assert {str(user) for user in features.user_ids} <= set(table["user"])


def check(root: Path, seed: int) -> Run:
    rng = random.Random(seed)
    files, table, damage = folder(rng)
    settings = [setting for each in rng.sample(SETTINGS, rng.choice([0, 0, 0, 0, 1, 1, 2])) for setting in each]
    with limited():
        result = run(root, files, *settings)
    for line in result.said:
        assert line.startswith(("fetch: ", "prepare: warning: ", "features: ")), line
        assert len(line) < 2000
    if result.refused:
        check_refused(result)
    else:
        check_handled(result, table, damage)
    return result


@pytest.mark.parametrize("seed", range(CASES))
def test_an_odd_folder_is_handled_and_counted_or_refused_in_one_line(tmp_path: Path, seed: int) -> None:
    check(tmp_path, seed)
