"""Tables of users and items: one row per id of the interactions."""

from pathlib import Path

from retrieval.preparation.entities import divide, read_entities

import pyarrow as pa
import pyarrow.parquet as pq


def test_rows_are_those_of_the_ids_in_their_order_and_those_of_others() -> None:
    table = pa.table({"user_id": [5, 3, 9, 3, 8, 9], "age": ["a", "b", "c", "d", "e", "f"]})
    rows, others, repeated = divide(table, "user_id", pa.array([3, 5, 7]))
    assert rows.to_pydict() == {"user_id": [3, 5], "age": ["d", "a"]}
    assert others.to_pydict() == {"user_id": [8, 9], "age": ["e", "f"]}
    assert repeated == 2


def test_text_ids_and_lists() -> None:
    table = pa.table({"item_id": ["é", "Z", "007"], "genres": [["a", "b"], None, []]})
    rows, _, _ = divide(table, "item_id", pa.array(["007", "é"]))
    assert rows.to_pydict() == {"item_id": ["007", "é"], "genres": [[], ["a", "b"]]}


def test_a_missing_file_is_a_table_without_rows(tmp_path: Path) -> None:
    assert read_entities(tmp_path / "users.parquet", "user_id", pa.array(["a"])).schema == pa.schema(
        [("user_id", pa.string())]
    )
    pq.write_table(pa.table({"user_id": ["b"]}), tmp_path / "users.parquet")
    assert read_entities(tmp_path / "users.parquet", "user_id", pa.array(["a"])).to_pydict() == {"user_id": ["b"]}
