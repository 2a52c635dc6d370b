"""New rows as features: by the values, bins and words that train has, in the same columns."""

from dataclasses import replace
from pathlib import Path

from retrieval.columns import features_of, texts_of
from retrieval.text import Words, encode_text
from retrieval.vocabulary import AGES, encode_ages, encode_items, encode_users, extend

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from worlds import FEATURES

SPEC = {
    "user_columns": {"age": ["old", "young"], "kids": ["0", "1"]},
    "user_readings": {"kids": {"lower": True}},
    "item_columns": {"genres": ["drama", "war"], "price": ["1-5", "6-9"], "title": ["film", "space"]},
    "item_readings": {"genres": {"separator": ","}, "price": {"bins": {"1-5": 5.0, "6-9": 9.0}}},
    "item_texts": {"title": [1.0, 2.0]},
}


def test_rows_of_items_are_in_the_columns_of_train():
    """drama, war | 1-5, 6-9 | film, space. A price above all bins is in the last one, unknown values are zeros."""
    table = pa.table(
        {
            "item_id": [9, 3, 4],
            "genres": ["war, comedy, drama", None, "comedy"],
            "price": ["12", "1", None],
            "title": ["A space opera", "the Film", "opera"],
        }
    )
    matrix = encode_items(np.array([3, 4, 5, 9]), table, SPEC)
    assert matrix.toarray().tolist() == [
        [0, 0, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0], [1, 1, 0, 1, 0, 1],
    ]  # fmt: skip
    assert matrix.dtype == np.float32


def test_a_table_without_a_column_has_zeros_there():
    matrix = encode_items(np.array([1]), pa.table({"item_id": [1], "genres": ["war"], "colour": ["red"]}), SPEC)
    assert matrix.toarray().tolist() == [[0, 1, 0, 0, 0, 0]]


def test_cells_may_be_lists_or_text():
    table = pa.table({"item_id": [1, 2], "genres": [["war", "drama"], ["drama, war"]], "price": [[7], [2]]})
    assert encode_items(np.array([1, 2]), table, SPEC).toarray()[:, :4].tolist() == [[1, 1, 0, 1], [1, 1, 1, 0]]


def test_the_decade_is_that_of_the_year():
    spec = {"item_columns": {"decade": ["1980", "1990"]}}
    table = pa.table({"item_id": [1, 2], "release_year": ["1994.0", "2001"]})
    assert encode_items(np.array([1, 2]), table, spec).toarray().tolist() == [[0, 1], [0, 0]]


def test_users():
    table = pa.table({"user_id": ["b", "a"], "age": ["young", "old "], "kids": ["1", "2"]})
    assert encode_users(np.array(["a", "b", "c"], object), table, SPEC).toarray().tolist() == [
        [1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0],
    ]  # fmt: skip


def test_no_columns():
    assert encode_items(np.array([1, 2]), pa.table({"item_id": [1]}), {"item_columns": {}}).shape == (2, 0)


def test_more_values_than_a_column_may_have_leave_none_out(monkeypatch):
    """A column of train has at most MAX_FEATURES values; new rows may have more, and keep those that train has."""
    monkeypatch.setattr("retrieval.encode.MAX_FEATURES", 2)
    table = pa.table({"item_id": [1, 2, 3, 4], "genres": ["a", "a", "b", "war"]})
    assert encode_items(np.arange(1, 5), table, SPEC)[:, 1].toarray().ravel().tolist() == [0, 0, 0, 1]


def test_rows_of_train_get_their_features_again():
    ids = np.arange(60)
    table = pa.table({
        "item_id": ids, "kind": [f"k{i % 3}" for i in ids], "size": [str(i) for i in ids % 30],
        "tags": [f"t{i % 4}|t{i % 7}" for i in ids], "title": [f"word{i % 5} other{i % 9}" for i in ids],
    })  # fmt: skip
    matrix, columns, readings = features_of(ids, table.drop_columns("title"), "item_id", "auto", None, "auto")
    words, vocabulary, idf = texts_of(ids, table, "item_id", ["title"])
    spec = {"item_columns": columns | vocabulary, "item_readings": readings, "item_texts": idf}
    again = encode_items(ids, table, spec)
    assert (again[:, : matrix.shape[1]] != matrix).nnz == 0
    assert (again[:, matrix.shape[1] :] != words).nnz == 0
    assert {"size", "tags"} <= readings.keys()


def test_vectors_of_a_model_follow_the_words(monkeypatch, tmp_path):
    def vectors(texts: list[str | None], model: Path) -> np.ndarray:
        assert model == tmp_path
        return np.array([[len(text or ""), 1] for text in texts], np.float32)

    monkeypatch.setattr("retrieval.vocabulary.encode_sentences", vectors)
    spec = {"item_columns": {"title": ["war"], "title (vectors)": ["0", "1"]}, "item_texts": {"title": [1.0]}}
    table = pa.table({"item_id": [2], "title": ["a war"]})
    matrix = encode_items(np.array([1, 2]), table, spec | {"text_model": str(tmp_path)})
    words = encode_text([None, "a war"], Words(["war"], [1.0])).toarray()
    assert matrix.toarray().tolist() == [[*words[0], 0, 1], [*words[1], 5, 1]]


MOMENT = 1_400_000_000  # 2014-05-13 16:53:20 UTC


def buckets(matrix) -> list[int | None]:
    """The bucket of each row, None for an empty one."""
    return [row.indices[0] if row.nnz else None for row in matrix]


def test_ages_of_dates_and_of_years():
    """Bucket b is an age of up to AGES[b] days: half a day is in 0, 12 days in 4, January 1, 132 days ago, in 7."""
    ids = np.array([1, 2, 3, 4, 5, 6])
    dates = ["2014-05-13", "2014-05-01T12:00:00Z", None, "soon", "2014-05-14", "1900-01-01"]
    assert AGES[:8] == (1, 2, 4, 7, 14, 30, 90, 180)
    table = pa.table({"item_id": ids, "release_date": dates, "release_year": ["2014"] * 6})
    assert buckets(encode_ages(ids, table, MOMENT)) == [0, 4, None, None, None, len(AGES) - 1]
    years = ["2014.0", "2013", "", "19", "2015", "1994"]
    matrix = encode_ages(ids, pa.table({"item_id": ids, "release_year": years}), MOMENT)
    assert buckets(matrix) == [7, 9, None, None, None, 14]  # 132, 497 and 7437 days
    assert matrix.shape == (6, len(AGES))


def test_ages_without_a_date_are_unknown():
    table = pa.table({"item_id": [1], "title": ["a"]})
    assert encode_ages(np.array([1, 2]), table, MOMENT).nnz == 0
    assert encode_ages(np.array([1]), pa.table({"item_id": [1], "date": [["2014"]]}), MOMENT).nnz == 0


def test_new_items_come_after_those_of_train(tmp_path):
    data = replace(FEATURES, spec=FEATURES.spec | {"item_columns": {"a": ["x", "y"], "b": ["z"]}, "moment": MOMENT})
    users, items = data.seen.shape
    disliked = sp.csr_matrix((np.ones(1, np.float32), ([0], [1])), shape=(users, items))
    data = replace(data, disliked=disliked, ages=sp.csr_matrix((items, len(AGES)), dtype=np.float32))
    table = pa.table({"item_id": [92, 91], "a": ["y", "?"], "release_year": ["2014", None]})
    catalogue = extend(data, table)
    assert catalogue.item_ids.tolist() == [*data.item_ids.tolist(), 91, 92]
    assert (catalogue.items[:items] != data.items).nnz == 0
    assert catalogue.items[items:].toarray().tolist() == [[0, 0, 0], [0, 1, 0]]
    assert buckets(catalogue.ages[items:]) == [None, 7]
    assert catalogue.seen.shape == catalogue.excluded.shape == (users, items + 2)
    assert catalogue.excluded[0, 1] == 1
    assert catalogue.counts[items:].tolist() == [0, 0]
