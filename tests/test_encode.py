"""One-hot and multi-hot columns."""

from retrieval.encode import decade, encode

import numpy as np
import pyarrow as pa

IDS = np.array([3, 5, 9, 12])


def test_each_value_is_a_column_and_each_id_a_row():
    table = pa.table({"item_id": [12, 3, 9], "kind": ["film", "series", None], "genres": ["a, b,a", "", "b"]})
    matrix, blocks = encode(IDS, table, "item_id", ["kind", "genres", "studios"], ["genres"])
    assert blocks == {"kind": ["film", "series"], "genres": ["a", "b"]}
    # columns: film, series, a, b; id 5 has no row in the table, id 9 no kind, id 3 no genre
    assert matrix.toarray().tolist() == [[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1], [1, 0, 1, 1]]
    assert matrix.dtype == np.float32


def test_a_comma_divides_only_the_columns_that_hold_several_values():
    table = pa.table({"item_id": [3], "countries": ["France, Italy"], "genres": ["France, Italy"]})
    _, blocks = encode(IDS, table, "item_id", ["countries", "genres"], ["genres"])
    assert blocks == {"countries": ["France, Italy"], "genres": ["France", "Italy"]}


def test_numbers_and_rows_of_unknown_ids():
    table = pa.table({"user_id": [5, 4], "kids_flg": [1, 0]})
    matrix, blocks = encode(IDS, table, "user_id", ["kids_flg"], [])
    assert blocks == {"kids_flg": ["1"]}
    assert matrix.toarray().tolist() == [[0], [1], [0], [0]]


def test_an_empty_table_gives_no_columns():
    matrix, blocks = encode(IDS, pa.table({"user_id": pa.array([], pa.int64())}), "user_id", ["age"], [])
    assert matrix.shape == (4, 0)
    assert blocks == {}


def test_a_column_without_a_value_is_left_out():
    table = pa.table({"item_id": [int(IDS[0]), int(IDS[1])], "genres": [None, " "], "for_kids": ["0", None]})
    matrix, blocks = encode(IDS, table, "item_id", ["genres", "for_kids"], ["genres"])
    assert blocks == {"for_kids": ["0"]}
    assert matrix.shape == (4, 1)


def test_decade():
    years = pa.table({"item_id": [1, 2, 3, 4], "release_year": ["1994", "2000.0", None, "soon"]})
    assert decade(years)["decade"].to_pylist() == ["1990", "2000", None, None]
    numbers = pa.table({"release_year": [1989.0, None]})
    assert decade(numbers)["decade"].to_pylist() == ["1980", None]
    assert decade(pa.table({"item_id": [1]})).column_names == ["item_id"]
    own = pa.table({"release_year": ["1994"], "decade": ["nineties"]})
    assert decade(own).equals(own)
