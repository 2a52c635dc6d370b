"""Random folders: rows come back exactly as they were written, in any dialect, and damage ends in one line."""

import csv
import gzip
import io
import re
import string
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from retrieval.errors import Problem
from retrieval.sources import folder
from retrieval.sources.mapping import AUTO, Mapping

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MANY = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
INTEGERS = st.integers(-(2**63), 2**63 - 1).map(str)
NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12)
ODD = st.sampled_from(
    [" 7", "007", "1.0", "-0", "+1", "1e5", "99999999999999999999", "e\u0301", "a/b?c&d", "\u2028", ";", '"']
)
IDS = st.one_of(INTEGERS, NAMES, ODD).filter(lambda name: name not in ("NULL", "\\N"))
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2199, 12, 31))
NOTATIONS = {
    "iso": lambda time: time.isoformat(" "),
    "T": lambda time: time.isoformat("T") + "Z",
    "zone": lambda time: (time + timedelta(hours=3)).isoformat() + "+03:00",
    "us": lambda time: str((time - datetime(1970, 1, 1)) // timedelta(microseconds=1)),
}


@st.composite
def tables(draw) -> list[tuple[str, str, datetime]]:
    ids = draw(st.sampled_from([INTEGERS, IDS]))
    return draw(st.lists(st.tuples(ids, ids, TIMES), min_size=1, max_size=12))


@st.composite
def dialects(draw) -> dict:
    return {
        "delimiter": draw(st.sampled_from(",;\t|")),
        "lineterminator": draw(st.sampled_from(["\n", "\r\n"])),
        "quoting": draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
    }


def written(rows: list[list[str]], dialect: dict, bom: bool) -> bytes:
    text = io.StringIO()
    csv.writer(text, **dialect).writerows([["user", "item", "timestamp"], *rows])
    return text.getvalue().encode("utf-8-sig" if bom else "utf-8")


def fetched(files: dict[str, bytes], **mapping: str) -> pa.Table:
    with tempfile.TemporaryDirectory() as name:
        own, out = Path(name) / "own", Path(name) / "out"
        out.mkdir()
        for path, data in files.items():
            (own / path).parent.mkdir(parents=True, exist_ok=True)
            (own / path).write_bytes(data)
        folder.fetch(own, Mapping(**(AUTO | mapping)), out)
        return pq.read_table(out / "interactions.parquet")


def message(data: bytes) -> str:
    """What is wrong with the file, "" if nothing is."""
    try:
        fetched({"events.csv": data})
    except Problem as problem:
        return str(problem)
    return ""


def is_integer(name: str) -> bool:
    return re.fullmatch("0|-?[1-9][0-9]*", name) is not None and -(2**63) <= int(name) < 2**63


@MANY
@given(
    tables(),
    dialects(),
    st.sampled_from(["iso", "T", "zone", "us"]),
    st.booleans(),
    st.sampled_from(["", "gz", "parts"]),
)
def test_rows_come_back_as_they_were(rows, dialect, notation: str, bom: bool, storage: str) -> None:
    format = "us" if notation == "us" else "auto"
    cells = [[user, item, NOTATIONS[notation](time)] for user, item, time in rows]
    half = len(cells) // 2
    files = {
        "": {"events.csv": written(cells, dialect, bom)},
        "gz": {"events.csv.gz": gzip.compress(written(cells, dialect, bom))},
        "parts": {
            f"events/{k}.csv": written(part, dialect, bom) for k, part in enumerate((cells[:half], cells[half:]))
        },
    }[storage]
    table = fetched(files, time_format=format)
    for column, position in (("user_id", 0), ("item_id", 1)):
        ids = [row[position] for row in rows]
        assert table[column].to_pylist() == ([int(name) for name in ids] if all(map(is_integer, ids)) else ids)
    assert table["time"].to_pylist() == [row[2] for row in rows]


@MANY
@given(tables(), dialects(), st.data())
def test_damage_ends_in_one_line(rows, dialect, data) -> None:
    whole = written([[user, item, str(time)] for user, item, time in rows], dialect, False)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole)))
        junk = data.draw(
            st.one_of(st.binary(max_size=4), st.sampled_from([b'"', b"\n", b",,", b"\0", b"\xff\xfe", b"::"]))
        )
        whole = whole[:at] + junk + whole[at + data.draw(st.integers(0, 3)) :]
    assert "\n" not in message(whole)
    assert len(message(whole)) < 1000


@MANY
@given(st.lists(st.text(string.printable, max_size=8), min_size=1, max_size=8), dialects())
def test_any_header_is_handled(names: list[str], dialect) -> None:
    text = io.StringIO()
    csv.writer(text, **dialect).writerows([names, ["1"] * len(names)])
    assert "\n" not in message(text.getvalue().encode())
