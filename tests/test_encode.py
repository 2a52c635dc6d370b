"""Cells to features: one-hot and multi-hot columns, lists in cells and what separates them, numbers."""

from retrieval import encode as module
from retrieval.encode import Cells, Reading, matrix, numbers, of_ids, read, separator, split, stack

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

IDS = np.array([3, 5, 9, 12])
PLAIN, LIST = Reading(), Reading(separator=",")


def encode(ids, table, key, readings):
    """The features of `ids` by columns with these readings, and the values of each column."""
    table, row = of_ids(ids, table, key)
    features = {}
    for name, reading in readings.items():
        cells = Cells(table[name])
        features[name] = matrix(cells, read(cells.text, reading), row, len(ids))
    return stack(features, len(ids))


def column(cells: list) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(cells, pa.string())])


def test_each_value_is_a_column_and_each_id_a_row():
    table = pa.table({"item_id": [12, 3, 9], "kind": ["film", "series", None], "genres": ["a, b,a", "", "b"]})
    rows, blocks = encode(IDS, table, "item_id", {"kind": PLAIN, "genres": LIST})
    assert blocks == {"kind": ["film", "series"], "genres": ["a", "b"]}
    # columns: film, series, a, b; id 5 has no row in the table, id 9 no kind, id 3 no genre
    assert rows.toarray().tolist() == [[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1], [1, 0, 1, 1]]
    assert rows.dtype == np.float32


def test_a_comma_divides_only_the_columns_that_hold_several_values():
    table = pa.table({"item_id": [3], "countries": ["France, Italy"], "genres": ["France, Italy"]})
    _, blocks = encode(IDS, table, "item_id", {"countries": PLAIN, "genres": LIST})
    assert blocks == {"countries": ["France, Italy"], "genres": ["France", "Italy"]}


def test_numbers_and_rows_of_unknown_ids():
    table = pa.table({"user_id": [5, 4], "kids_flg": [1, 0]})
    rows, blocks = encode(IDS, table, "user_id", {"kids_flg": PLAIN})
    assert blocks == {"kids_flg": ["1"]}
    assert rows.toarray().tolist() == [[0], [1], [0], [0]]


def test_ids_of_text():
    table = pa.table({"item_id": ["b", "a", "x"], "kind": ["film", "series", "film"]})
    rows, blocks = encode(np.array(["a", "b"], object), table, "item_id", {"kind": PLAIN})
    assert blocks == {"kind": ["film", "series"]}
    assert rows.toarray().tolist() == [[0, 1], [1, 0]]


def test_an_empty_table_gives_no_columns():
    table = pa.table({"user_id": pa.array([], pa.int64()), "age": pa.array([], pa.string())})
    for readings in ({}, {"age": PLAIN}, {"age": LIST}, {"age": Reading(bins={"1-2": 2.0})}):
        rows, blocks = encode(IDS, table, "user_id", readings)
        assert rows.shape == (4, 0)
        assert blocks == {}


def test_a_column_without_a_value_is_left_out():
    table = pa.table({"item_id": [int(IDS[0]), int(IDS[1])], "genres": [None, " "], "for_kids": ["0", None]})
    rows, blocks = encode(IDS, table, "item_id", {"genres": LIST, "for_kids": PLAIN})
    assert blocks == {"for_kids": ["0"]}
    assert rows.shape == (4, 1)


def test_lists_by_type():
    tags = pa.array([["a", " b", "a"], None, ["", None], ["b, c"]], pa.list_(pa.string()))
    table = pa.table({"item_id": IDS, "tags": pa.chunked_array([tags[:1], tags[1:]])})
    rows, blocks = encode(IDS, table, "item_id", {"tags": PLAIN})
    assert blocks == {"tags": ["a", "b", "b, c"]}
    assert rows.toarray().tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_a_bin_is_a_feature_and_a_number_without_a_bin_is_in_the_last_one():
    table = pa.table({"item_id": IDS, "price": ["1", "2.5", "inf", "NaN"]})
    bins = {"1-2": 2.0, "3-4": 4.0, "5-9": 9.0, "10-20": 20.0}
    rows, blocks = encode(IDS, table, "item_id", {"price": Reading(bins=bins)})
    assert blocks == {"price": ["1-2", "3-4", "10-20"]}  # low to high, only bins that are used
    assert rows.toarray().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]


def test_spellings_that_differ_in_case():
    table = pa.table({"item_id": IDS, "sold": ["True", "false", "TRUE", "true"]})
    rows, blocks = encode(IDS, table, "item_id", {"sold": Reading(lower=True)})
    assert blocks == {"sold": ["false", "true"]}
    assert rows.toarray().tolist() == [[0, 1], [1, 0], [0, 1], [0, 1]]


def test_only_the_most_frequent_values_are_features(monkeypatch):
    monkeypatch.setattr(module, "MAX_FEATURES", 2)
    table = pa.table({"item_id": IDS, "tags": ["c, a", "d, b,b", "c", "b, a"]})
    rows, blocks = encode(IDS, table, "item_id", {"tags": LIST})
    assert blocks == {"tags": ["a", "b"]}  # as frequent as c, which comes after them
    assert rows.toarray().tolist() == [[1, 0], [0, 1], [0, 0], [1, 1]]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["Action|Comedy", "Comedy|Drama", "War", None], "|"),
        (["France, Italy", "Spain, France"], ","),
        (["France, Italy", "Spain, France"] * 50, ","),
        (["a;b", "b", "c;a;b", ""], ";"),
        (["['a', 'b']", "['b']", "[]"], ","),
        (['["a","b"]', '["b","c"]'], ","),
        (["Sci-Fi, Fantasy|War", "War|Drama", "Drama|Sci-Fi, Fantasy", "Drama"], "|"),
        (["Action", "Comedy"], None),
        (["New York, NY", "Albany, NY", "Austin, TX", "Dallas, TX"], None),
        (["Crime, and Punishment", "Girl, Interrupted", "War and Peace", "Godfather, The", "Matrix, The"], None),
        (["Smith, John", "Smith, Ann", "Jones, John", "Jones, Ann"], None),
        (["1,5", "2,5", "5", "2"], None),
        (["1,500", "2,500", "500,000"], None),
        (["May 5, 2020", "May 6, 2020", "May 5, 2021"], None),
        (["a, b"], None),
        ([None, ""], None),
        ([], None),
    ],
)
def test_what_separates_the_values_of_a_cell(cells, expected):
    assert separator(column(cells)) == expected


def test_long_texts_are_no_lists():
    assert separator(column(["a, b, " * 10_000, "b, c, " * 10_000, "a"])) is None


def test_a_cell_in_brackets_is_a_list():
    cells = pa.array(["['a', \"b, c\", d]", "[1, 2]", "[]", "e|f", "[{'id': 1}|g]", "['it\\'s']", "[' , ']"])
    assert split(cells, "|").to_pylist() == [
        ["a", "b, c", "d"], ["1", "2"], [], ["e", "f"], ["[{'id': 1}", "g]"], ["it\\'s"], [","],
    ]  # fmt: skip


WORD = st.text("abcdefgh", min_size=1, max_size=3)


@given(st.lists(st.lists(WORD, max_size=5), max_size=20), st.sampled_from([",", "|", ";", ", ", " | "]))
def test_a_cell_that_is_joined_and_split_is_what_it_was(cells, mark):
    joined = pa.array([mark.join(cell) for cell in cells], pa.string())
    assert split(joined, mark.strip()).to_pylist() == cells


@given(st.integers(0, 2**32 - 1), st.integers(3, 40), st.sampled_from([",", "|", ";", ", "]))
def test_lists_of_values_in_any_order_are_found(seed, values, mark):
    rng = np.random.default_rng(seed)
    cells = [mark.join(f"value {v}" for v in rng.permutation(values)[: rng.integers(1, 4)]) for _ in range(10 * values)]
    assert separator(column(cells)) == mark.strip()


@given(st.lists(st.text(max_size=8), max_size=30))
def test_any_text_has_a_separator_or_none(cells):
    assert separator(column(cells)) in (None, ",", "|", ";")


@pytest.mark.parametrize(
    ("cells", "expected", "only_numbers"),
    [
        (["1", "2.5", "-3e2", ".5", "+7."], [1, 2.5, -300, 0.5, 7], True),
        (["1", "NA", "null", "\\N", "n/a", "nan"], [1, *[np.nan] * 5], True),
        (["1", "inf", "-Infinity"], [1, np.inf, -np.inf], True),
        (["1,5", "2"], [1.5, 2], True),
        (["1,500", "1,000,000.5", "20"], [1500, 1000000.5, 20], True),
        (["1", "two"], [1, np.nan], False),
        (["12 min", "1_000", "0x10", "1,5,7"], [np.nan] * 4, False),
        (["NA"], [np.nan], False),
        ([], [], False),
    ],
)
def test_cells_as_numbers(cells, expected, only_numbers):
    result, whether = numbers(pa.array(cells, pa.string()))
    np.testing.assert_array_equal(result, expected)
    assert whether is only_numbers


def test_chunks_are_one_column():
    chunks = [["b", " a", None], [], ["c", "a "], ["a", "", "d"]]
    kind = pa.chunked_array([pa.array(chunk, pa.string()) for chunk in chunks])
    rows, blocks = encode(np.arange(8), pa.table({"item_id": np.arange(8), "kind": kind}), "item_id", {"kind": PLAIN})
    assert blocks == {"kind": ["a", "b", "c", "d"]}
    assert rows.indices.tolist() == [1, 0, 2, 0, 0, 3]
    assert np.diff(rows.indptr).tolist() == [1, 1, 0, 1, 1, 1, 0, 1]
