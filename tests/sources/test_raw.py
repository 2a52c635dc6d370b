"""The files of data/raw: their types, and the hash that orders rows of equal time."""

from datetime import datetime
from pathlib import Path

from retrieval.sources import raw

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

MASK = 2**64 - 1


def mix(value: int) -> int:
    """SplitMix64 in plain Python."""
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & MASK
    return value ^ value >> 31


def batch(users: list, items: list, seconds: list[int], **more: list) -> pa.RecordBatch:
    times = pa.array(seconds, pa.timestamp("s")).cast(pa.timestamp("us"))
    return pa.record_batch({"user_id": users, "item_id": items, "time": times, **more})


def test_the_step_is_that_of_splitmix64() -> None:
    assert mix(0) == 0xE220A8397B1DCDAF  # the first output of the reference implementation with seed 0


@pytest.mark.parametrize(("user", "item", "second"), [(7, 5, 1_600_000_171), (-1, 0, 0), (2**63 - 1, -(2**63), 10**9)])
def test_a_tie_is_a_hash_of_user_item_and_time(user: int, item: int, second: int) -> None:
    row = batch([user], [item], [second])
    expected = mix((mix((mix(user & MASK) + item) & MASK) + second * 10**6) & MASK)
    assert raw.tie(row["user_id"], row["item_id"], row["time"]).view(np.uint64).tolist() == [expected]


@pytest.mark.parametrize("names", [False, True])
def test_ties_depend_on_nothing_but_the_row(names: bool) -> None:
    rng = np.random.default_rng(0)
    users, items = rng.integers(50, size=1000), rng.integers(50, size=1000)
    seconds = rng.integers(10, size=1000)
    if names:
        users, items = np.char.add("u", users.astype(str)), np.char.add("i", items.astype(str))
    order = rng.permutation(1000)
    one, other = (batch(users[k].tolist(), items[k].tolist(), seconds[k].tolist()) for k in (np.arange(1000), order))
    ties = raw.tie(one["user_id"], one["item_id"], one["time"])
    assert (raw.tie(other["user_id"], other["item_id"], other["time"]) == ties[order]).all()
    distinct = len(set(zip(users.tolist(), items.tolist(), seconds.tolist(), strict=True)))
    assert len(set(ties.tolist())) == distinct


def test_text_ties_never_change() -> None:
    row = batch(["u1"], ["фильм"], [1_600_000_171])
    assert raw.tie(row["user_id"], row["item_id"], row["time"]).tolist() == [-5984375244684085234]


def test_interactions_are_written_in_the_order_of_the_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw, "GROUP", 3)
    batches = [batch([k, k], [1, 2], [k, k], event=["a", None], value=[1.0, None]) for k in range(5)]
    assert raw.write_interactions(tmp_path, iter(batches)) == 10
    file = pq.ParquetFile(tmp_path / "interactions.parquet")
    assert [(field.name, str(field.type)) for field in file.schema_arrow] == [
        ("user_id", "int64"), ("item_id", "int64"), ("time", "timestamp[us]"), ("tie", "int64"), ("value", "double"),
        ("event", "string"),
    ]  # fmt: skip
    assert [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)] == [4, 4, 2]
    table = file.read()
    assert table["user_id"].to_pylist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert table["time"][2].as_py() == datetime(1970, 1, 1, 0, 0, 1)
    assert table["event"].to_pylist()[:2] == ["a", None]


def test_equal_batches_write_equal_bytes(tmp_path: Path) -> None:
    written = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        raw.write_interactions(tmp_path / name, [batch(["x"], [1], [2])])
        written.append((tmp_path / name / "interactions.parquet").read_bytes())
    assert written[0] == written[1]
