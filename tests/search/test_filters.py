"""Filters: the lists are those of a full sort of the items that are allowed, whatever the backend."""

from pathlib import Path

from retrieval import histories
from retrieval.errors import Problem
from retrieval.search import catalogue, filters
from retrieval.search.catalogue import Catalogue

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import COLUMNS, ITEMS, USERS, write_world

NOTHING = np.zeros(0, np.int64)
PAIRS = [(column, value) for column, values in ({"group": ["a", "b", "c"]} | COLUMNS).items() for value in values]


@pytest.fixture(scope="session")
def columned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world with columns of items; only to be read."""
    return write_world(tmp_path_factory.mktemp("filters") / "world", columns=True)


@pytest.fixture(scope="session")
def stored(columned: Path) -> Catalogue:
    return catalogue.load(columned / "models" / "catalogue")


@pytest.fixture(scope="session")
def values(columned: Path) -> list[set[tuple[str, str]]]:
    """The (column, value) pairs of each item, from the features."""
    matrix = histories.load(columned / "features").items.toarray()
    trained = [{pair for pair, has in zip(PAIRS, row[: len(PAIRS)], strict=True) if has} for row in matrix]
    return trained + [{("group", group)} for group in "abc"]


wheres = st.dictionaries(st.sampled_from(list(COLUMNS)), st.none(), max_size=3).flatmap(
    lambda columns: st.fixed_dictionaries(
        {column: st.lists(st.sampled_from(COLUMNS[column]), max_size=3) for column in columns}
    )
)


@settings(max_examples=300)
@given(wheres, st.none() | st.sets(st.integers(0, ITEMS - 1)), st.sets(st.integers(0, ITEMS - 1), max_size=20))
def test_items_that_match_one_value_of_every_column_are_allowed(stored, values, where, only, without):
    expected = [
        row
        for row in range(len(values))
        if (only is None or row in only)
        and row not in without
        and all(any((column, value) in values[row] for value in of) for column, of in where.items())
    ]
    rows = [None if each is None else np.array(sorted(each), np.int64) for each in (only, without)]
    found = filters.allowed(stored, *rows, where)
    assert (list(range(len(values))) if found is None else found.tolist()) == expected


def test_words_of_texts_are_no_values(stored):
    assert stored.item_columns == {"group": ["a", "b", "c"]} | COLUMNS
    with pytest.raises(Problem, match="where: unknown column 'title'; expected one of group, colour"):
        filters.allowed(stored, None, NOTHING, {"title": "word"})


def test_a_single_value_and_a_number_are_values_too(stored):
    one = filters.allowed(stored, None, NOTHING, {"rare, or not": 0})
    assert one.tolist() == filters.allowed(stored, None, NOTHING, {"rare, or not": ["0"]}).tolist()


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ({"color": "red"}, "unknown column 'color'; expected one of .*; did you mean 'colour'"),
        ({"colour": ["red", "bleu"]}, r"where.colour: unknown value 'bleu'; expected .*; did you mean 'blue'"),
        ({"colour": "Red"}, "did you mean 'red'"),
    ],
)
def test_unknown_columns_and_values_are_named_with_what_is_near(stored, where, reason):
    with pytest.raises(Problem, match=reason):
        filters.allowed(stored, None, NOTHING, where)


def test_the_most_frequent_values_are_listed_first(stored, values, monkeypatch):
    count = {value: sum(("colour", value) in each for each in values) for value in COLUMNS["colour"]}
    assert filters.frequent_values(stored, "colour") == sorted(COLUMNS["colour"], key=lambda value: -count[value])
    monkeypatch.setattr(filters, "MAX_LISTED", 2)
    assert filters.frequent_values(stored, "colour") == sorted(count, key=lambda value: -count[value])[:2]


@pytest.mark.parametrize("backend", ["exact", "hnsw", "ivf"])
@pytest.mark.parametrize("name", ["dssm", "ease", "ials", "itemknn", "popular", "userknn"])
def test_lists_are_those_of_a_full_sort_of_the_allowed_items(columned, stored, recommender, name, backend):
    """From three items to nearly all; never fewer than k while there are k."""
    one, exact = recommender(columned, name, backend), recommender(columned, name)
    rng = np.random.default_rng(0)
    for user in range(0, USERS, 7):
        left, seen = one.model.left[[user]], stored.excluded(user)
        every, _ = exact.best(left, NOTHING, ITEMS)
        for size in (3, 11, 40, ITEMS - 1):
            allowed = np.sort(rng.choice(ITEMS, size, replace=False))
            items, scores = one.best(left, seen, 10, allowed)
            expected = every[np.isin(every, np.setdiff1d(allowed, seen))][:10]
            np.testing.assert_array_equal(items, expected)
            row = left @ one.model.right[items].T
            np.testing.assert_allclose(scores, (row.toarray() if sp.issparse(row) else row)[0], rtol=1e-5, atol=1e-6)
