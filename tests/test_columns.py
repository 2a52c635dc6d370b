"""Which columns become features, how they are read, and what is said about it."""

from retrieval import columns as module
from retrieval.columns import Columns, bins, decade, features_of, texts_of
from retrieval.vocabulary import encode_items

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from worlds import section

ROWS = 60
IDS = np.arange(ROWS)


def features(data: dict[str, list], names="auto", of_source=None, multiple="auto"):
    """features_of for a table of items; `data` are its columns, without the id."""
    table = pa.table({"item_id": IDS[: len(next(iter(data.values())))], **data})
    return features_of(table["item_id"].to_numpy(), table, "item_id", names, of_source, multiple)


def cut(number: np.ndarray) -> dict[str, float]:
    return bins(number, np.ones(len(number), np.int64))


def repeat(*values: str | None) -> list[str | None]:
    return [values[i % len(values)] for i in range(ROWS)]


def test_columns_that_tell_nothing_are_passed_over_and_named(capsys):
    data = {
        "kind": repeat("film", "series", None),
        "url": [f"https://example.org/{i}" for i in range(ROWS)],
        "imdb": [str(1000 + i) for i in range(ROWS)],
        "title": [f"Title {i}" if i % 5 else "Untitled" for i in range(ROWS)],
        "stars": [None] * ROWS,
        "note": [""] * ROWS,
    }
    _, vocabulary, readings = features(data)
    assert vocabulary == {"kind": ["film", "series"]}
    assert readings == {}
    assert capsys.readouterr().err.splitlines() == [
        "features: items: passed over, as nearly every row has a value of its own: 'url', 'imdb', 'title'",
        "features: items: passed over, as they have no value: 'stars', 'note'",
    ]


def test_a_named_column_is_used_whatever_it_holds(capsys):
    data = {"title": [f"Title {i}" for i in range(ROWS)], "language": ["en"] * ROWS, "kind": repeat("a", "b")}
    matrix, vocabulary, _ = features(data, ["language", "title"])
    assert list(vocabulary) == ["language", "title"]
    assert matrix.shape == (ROWS, 1 + ROWS)
    assert capsys.readouterr().err == ""


def test_a_name_that_is_not_there_is_said_with_the_nearest(capsys):
    data = {"studios": repeat("A", "B")}
    assert features(data, ["studio", "weather", "studios"])[1] == {"studios": ["A", "B"]}
    assert capsys.readouterr().err.splitlines() == [
        "features: items have no column 'studio'; did you mean 'studios'?",
        "features: items have no column 'weather'",
    ]


def test_a_name_is_said_where_there_is_no_table(capsys):
    features_of(IDS, pa.table({"item_id": IDS[:0]}), "item_id", ["studio"], None, "auto")
    assert capsys.readouterr().err == "features: items have no column 'studio'\n"


def test_the_sources_own_columns_stand_for_auto_and_may_be_absent(capsys):
    data = {"kind": repeat("a", "b"), "other": repeat("c", "d")}
    assert features(data, of_source=["weather", "kind"])[1] == {"kind": ["a", "b"]}
    assert capsys.readouterr().err == ""


def test_lists_are_found_in_any_column_and_said(capsys):
    data = {
        "genres": repeat("war|drama", "drama", "comedy|war"),
        "countries": repeat("France, Italy", "Italy, Spain"),
        "kind": repeat("film", "series"),
    }
    _, vocabulary, readings = features(data)
    assert vocabulary == {
        "genres": ["comedy", "drama", "war"],
        "countries": ["France", "Italy", "Spain"],
        "kind": ["film", "series"],
    }
    assert {column: reading["separator"] for column, reading in readings.items()} == {"genres": "|", "countries": ","}
    line = "features: items: lists, by their separators: 'genres' ('|'), 'countries' (',')\n"
    assert capsys.readouterr().err == line


def test_named_lists_are_split_and_no_others(capsys):
    data = {"genres": repeat("a|b", "b", "c|a"), "x": repeat("a|b", "b", "c|a"), "y": repeat("u,v")}
    _, vocabulary, _ = features(data, ["genres", "x", "y"], multiple=["genres", "y"])
    assert vocabulary == {"genres": ["a", "b", "c"], "x": ["a|b", "b", "c|a"], "y": ["u", "v"]}
    assert capsys.readouterr().err == ""


def test_numbers_are_binned_where_nobody_names_them(capsys):
    data = {"runtime": [str(80 + i % 30) for i in range(ROWS)], "stars": repeat("1", "2", "3", "4.5")}
    matrix, vocabulary, readings = features(data)
    assert vocabulary["runtime"] == [f"{a}-{a + 2}" for a in range(80, 110, 3)]
    assert vocabulary["stars"] == ["1", "2", "3", "4.5"]
    assert matrix[:, :10].sum(axis=0).tolist() == [[6] * 10]
    assert readings["runtime"]["bins"]["107-109"] == 109
    assert capsys.readouterr().err == "features: items: numbers, in bins of about equal size: 'runtime'\n"


def test_whole_numbers_of_a_named_column_are_codes_but_fractions_and_numbers_that_appear_once_are_not():
    data = {
        "code": [str(80 + i % 30) for i in range(ROWS)],
        "price": [f"{i % 30}.5" for i in range(ROWS)],
        "budget": [str(1000 * i) for i in range(ROWS)],
    }
    _, vocabulary, _ = features(data, ["code", "price", "budget"])
    assert {column: len(values) for column, values in vocabulary.items()} == {"code": 30, "price": 10, "budget": 10}
    assert vocabulary["code"] == sorted({str(80 + i) for i in range(30)})


def test_text_in_a_column_of_numbers_is_said_where_it_keeps_them_from_bins(capsys):
    ages = [str(20 + i % 30) for i in range(ROWS)]
    data = {
        "age": [
            "?" if i % 10 == 0 else "n/a" if i % 10 == 5 else "old" if i == 9 else age for i, age in enumerate(ages)
        ],
        "missing": ["n/a" if i % 10 == 0 else age for i, age in enumerate(ages)],
        "title": [age if i % 3 == 0 else f"Title {i // 2}" for i, age in enumerate(ages)],
        "stars": repeat("1", "2", "3", "?"),
    }
    _, vocabulary, readings = features(data)
    assert set(readings) == {"missing"}
    assert {"?", "old", "21"} <= set(vocabulary["age"])
    assert capsys.readouterr().err.splitlines() == [
        "features: items: text, as not all cells are numbers: 'age' ('?', 'old')",
        "features: items: numbers, in bins of about equal size: 'missing'",
        "features: items: passed over, as nearly every row has a value of its own: 'title'",
    ]
    features({"age": data["age"]}, ["age"])  # codes, each a value of its own
    assert capsys.readouterr().err == ""


def test_booleans_of_any_spelling_are_two_values():
    data = {"sold": repeat("True", "false", "TRUE"), "new": repeat("Yes", "no"), "kids": repeat("1.0", "0.0")}
    assert features(data)[1] == {"sold": ["false", "true"], "new": ["no", "yes"], "kids": ["0.0", "1.0"]}


def test_what_is_beyond_the_most_frequent_values_is_counted(monkeypatch, capsys):
    monkeypatch.setattr(module, "MAX_FEATURES", 3)
    monkeypatch.setattr("retrieval.encode.MAX_FEATURES", 3)
    assert features({"kind": repeat("a", "b", "c", "d", "a")})[1] == {"kind": ["a", "b", "c"]}
    said = "features: items: more than 3 values, the rarest of which are left out: 'kind' (1)\n"
    assert capsys.readouterr().err == said


def test_hundreds_of_columns_are_one_short_line(capsys):
    features({f"column {i}": [None] * ROWS for i in range(300)})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("'column 19' and 280 more")
    assert len(line) < 500


def test_only_the_rows_of_ids_count():
    table = pa.table({"item_id": [1, 2, 3, 4], "kind": ["a", "b", "c", "d"]})
    _, vocabulary, _ = features_of(np.array([2, 3]), table, "item_id", "auto", None, "auto")
    assert vocabulary == {"kind": ["b", "c"]}


def test_the_decade_stands_for_the_year(capsys):
    table = pa.table({"item_id": IDS, "release_year": [str(1950 + i) for i in range(ROWS)]})
    _, vocabulary, _ = features_of(IDS, decade(table), "item_id", "auto", None, "auto")
    assert vocabulary == {"decade": ["1950", "1960", "1970", "1980", "1990", "2000"]}
    assert capsys.readouterr().err == ""


def test_decade(capsys):
    years = pa.table({"item_id": [1, 2, 3, 4], "release_year": ["1994", "2000.0", None, "soon"]})
    assert decade(years)["decade"].to_pylist() == ["1990", "2000", None, None]
    numbers = pa.table({"release_year": [1989.0, None]})
    assert decade(numbers)["decade"].to_pylist() == ["1980", None]
    assert decade(pa.table({"item_id": [1]})).column_names == ["item_id"]
    own = pa.table({"release_year": ["1994"], "decade": ["nineties"]})
    assert decade(own).equals(own)


def test_years_that_are_none_are_counted(capsys):
    years = pa.table({"release_year": ["1e20", "1799", "2101", "-inf", "1800", "2100", "nan", None, ""]})
    assert decade(years)["decade"].to_pylist() == [None, None, None, None, "1800", "2100", None, None, None]
    assert capsys.readouterr().err == (
        "features: items: release_year is no year from 1800 to 2100 in 5 of 9 rows, such as '1e20'; "
        "their decade is unknown\n"
    )
    lists = pa.table({"release_year": [["1999"]]})
    assert decade(lists).equals(lists)


def test_bins_have_about_equal_sizes_and_the_names_of_their_ends():
    assert cut(np.arange(1.0, 101.0)) == {f"{a}-{a + 9}": a + 9.0 for a in range(1, 101, 10)}
    assert cut(np.array([0.5, np.nan, np.inf, 0.5])) == {"0.5": 0.5}
    assert list(cut(np.array([-5.0, -3, -1] * 4))) == ["-5", "-3", "-1"]
    assert list(cut(np.arange(-30.0, 0)))[:2] == ["-30 to -28", "-27 to -25"]
    assert list(cut(np.arange(20) / 3))[:2] == ["0-0.333", "0.667-1"]


@given(
    st.lists(st.one_of(st.floats(), st.integers(-5, 5).map(float)), min_size=1).filter(lambda x: np.isfinite(x).any())
)
def test_every_number_has_a_bin_and_equal_numbers_the_same(values):
    number = np.array(values)
    found = cut(number)
    upper = list(found.values())
    finite = np.sort(number[np.isfinite(number)])
    assert len(found) == len(set(upper)) <= 10
    assert upper == sorted(upper)
    assert upper[-1] == finite[-1]
    assert set(upper) <= set(finite.tolist())
    sizes = np.diff([0, *np.searchsorted(finite, upper, side="right")])
    ties = max(np.unique(finite, return_counts=True)[1])
    assert sizes.min() > 0
    assert sizes.max() <= len(finite) / 10 + ties + 1
    assert cut(np.random.default_rng(0).permutation(number)) == found


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"item": ["genres", "genres"]}, "'genres' appears twice"),
        ({"user": ["user_id"]}, "'user_id' is the id, not a feature"),
        ({"item": ["item_id"]}, "'item_id' is the id, not a feature"),
        ({"multiple": ["a", "b", "a"]}, "'a' appears twice"),
        ({"user": "age"}, "list"),
        ({"user": [""]}, "at least 1 character"),
        ({"text": ["title", "title"]}, "'title' appears twice"),
        ({"text": ["item_id"]}, "'item_id' is the id, not a feature"),
        ({"text": "auto"}, "list"),
        ({"text": ["title", "genres"]}, "'genres' appears in item and in text: expected one of them"),
        ({"text_model": "folder"}, "text_model has no column to read: expected names in text"),
        ({"text": ["title"], "text_model": "folder"}, "folder is not a folder that model2vec or sentence-transformers"),
    ],
)
def test_columns_that_are_refused(values, expected):
    with pytest.raises(ValidationError, match=expected):
        Columns(
            **section(
                "columns",
                **{"user": "auto", "item": ["genres"], "multiple": "auto", "text": [], "text_model": None, **values},
            )
        )


def test_text_values_are_as_in_a_plain_loop():
    """The columns that the sources name, as KION has them: one feature per value, lists at commas."""
    rng = np.random.default_rng(0)
    ids = np.sort(rng.choice(10_000, 500, replace=False))
    rows = rng.permutation(np.append(ids[:450], 10_000 + np.arange(50)))
    genres = [", ".join(rng.choice([f"genre {g}" for g in range(30)], rng.integers(0, 4))) for _ in rows]
    data = {"for_kids": rng.choice(["0.0", "1.0"], 500).tolist(), "age": rng.choice(["18", " 21", None], 500).tolist()}
    table = pa.table({"item_id": rows, **data, "genres": genres})
    matrix, vocabulary, _ = features_of(
        ids, table, "item_id", ["genres", "age", "weather", "for_kids"], None, ["genres"]
    )
    cells = {
        row["item_id"]: {("genres", value.strip()) for value in row["genres"].split(",") if value}
        | {(name, row[name].strip()) for name in data if row[name]}
        for row in table.to_pylist()
    }
    order = ["genres", "age", "for_kids"]
    pairs = sorted(set().union(*(cells.get(i, set()) for i in ids)), key=lambda pair: (order.index(pair[0]), pair[1]))
    assert [(column, value) for column, values in vocabulary.items() for value in values] == pairs
    expected = [[float(pair in cells.get(i, set())) for pair in pairs] for i in ids]
    np.testing.assert_array_equal(matrix.toarray(), expected)
    assert matrix.has_sorted_indices
    assert (matrix.dtype, matrix.indices.dtype, matrix.indptr.dtype) == (np.float32, np.int32, np.int32)


CELL = st.one_of(
    st.none(),
    st.text(max_size=6),
    st.sampled_from(
        ["", " ", "1", "1e400", "nan", "inf", "-0.0", "1,5", "True", "[", "[]", "['a", "a|b", "|", ",,", "a" * 50_000]
    ),
    st.lists(st.sampled_from("abc"), max_size=3).map("|".join),
    st.floats().map(str),
)


@settings(max_examples=200)
@given(st.lists(st.tuples(CELL, CELL), max_size=40), st.booleans(), st.sampled_from(["auto", ["a"]]))
def test_any_table_becomes_features_of_its_own_rows(rows, named, multiple):
    """No value is in two columns of the matrix, no row has a feature without a cell, and the readings give it again."""
    table = pa.table({"item_id": np.arange(len(rows)), **{
        name: pa.array([row[i] for row in rows], pa.string()) for i, name in enumerate(["a", "release_year"])
    }})  # fmt: skip
    table = decade(table)
    names = ["a", "decade"] if named else "auto"
    matrix, vocabulary, readings = features_of(np.arange(len(rows)), table, "item_id", names, None, multiple)
    assert matrix.shape == (len(rows), sum(map(len, vocabulary.values())))
    assert all(len(values) == len(set(values)) and "" not in values for values in vocabulary.values())
    assert (np.bincount(matrix.indices, minlength=matrix.shape[1]) > 0).all()
    assert set(matrix.data.tolist()) <= {1.0}
    again = encode_items(np.arange(len(rows)), table, {"item_columns": vocabulary, "item_readings": readings})
    assert (again != matrix).nnz == 0


def test_texts_are_words_that_two_share_and_what_is_no_text_is_said(capsys):
    data = {"title": repeat("The war", "A war film"), "year": repeat("1994", "1.5"), "note": repeat("<b>", None)}
    table = pa.table({"item_id": IDS, **data, "tags": [["space opera", None], ["opera"], []] * (ROWS // 3)})
    matrix, vocabulary, idf = texts_of(IDS, table, "item_id", ["titel", "title", "year", "note", "tags"])
    assert vocabulary == {"title": ["film", "war"], "tags": ["opera", "space"]}
    assert {column: len(values) for column, values in idf.items()} == {"title": 2, "tags": 2}
    assert matrix.dtype == np.float32
    expected = [[0, 1, 0.560, 0.828], [0.859, 0.512, 1, 0], [0, 1, 0, 0]]  # idf: 1.677, 1; 1.397, 2.066
    np.testing.assert_allclose(matrix[:3].toarray(), expected, atol=1e-3)
    assert capsys.readouterr().err.splitlines() == [
        "features: items have no column 'titel'; did you mean 'title'?",
        "features: items: text, by the words that 2 or more share: 'title' (2 words)",
        "features: items: passed over, as it holds numbers, no text: 'year'; columns.item reads it",
        "features: items: text, by the words that 2 or more share: 'note' (0 words)",
        "features: items: text, by the words that 2 or more share: 'tags' (2 words)",
    ]


def test_texts_of_items_without_a_row_are_empty():
    matrix, _, _ = texts_of(
        np.array([2, 5, 9]), pa.table({"item_id": [9, 2], "title": ["a war"] * 2}), "item_id", ["title"]
    )
    assert matrix.toarray().tolist() == [[1], [0], [1]]
