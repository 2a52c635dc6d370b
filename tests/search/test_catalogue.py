"""The catalogue: rows, titles, histories and demographics by id, and searches."""

import shutil
from dataclasses import replace
from pathlib import Path

from retrieval import histories
from retrieval.errors import Problem
from retrieval.search import catalogue
from retrieval.search.catalogue import describe

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp
from worlds import ODD, odd_ids


def test_rows_are_found_by_id(items_and_users):
    """Item i has the id 7 i + 3, user u the id 10 u + 5."""
    assert items_and_users.item_row(3 + 7 * 12) == 12
    assert items_and_users.item_row(4) is None
    assert items_and_users.user_row(10 * 59 + 5) == 59
    assert items_and_users.user_row(2**62) is None
    assert items_and_users.user_row(-1) is None


def test_items_have_titles_years_and_genres(items_and_users):
    about = items_and_users.titles[12], items_and_users.years[12], items_and_users.genres[12]
    assert about == ("Film 12", "1994", ["Comedy"])
    assert items_and_users.titles[0] is None
    assert items_and_users.genres[1] == ["Drama", "War"]


@pytest.mark.parametrize("kind", [int, str])
def test_items_are_described_in_the_order_of_the_ids_whatever_the_type_of_a_column(kind):
    """A list is a title of several parts, or the genres; what is missing is null."""
    columns = {
        "title": pa.array(["A", None, "C"]),
        "release_year": pa.array(["1994.0", "soon", None]),
        "genres": pa.array(["Drama, War", None, " "]),
    }
    lists = {
        "title": pa.array([["A", "B"], [], None]),
        "genres": pa.array([["Drama", "War, Peace"], None, []]),
    }
    table = {"item_id": [kind(3), kind(1), kind(2)]}
    ids = np.array([kind(1), kind(3), kind(9)], dtype=object if kind is str else np.int64)
    assert describe(pa.table(table | columns), ids).to_pydict() == {
        "title": [None, "A", None],
        "year": ["soon", "1994", None],
        "genres": [[], ["Drama", "War"], None],
    }
    made = describe(pa.table(table | lists), ids).to_pydict()
    assert made["title"] == ["", "A, B", None]
    assert made["genres"] == [None, ["Drama", "War, Peace"], None]
    bars = describe(pa.table(table | {"genres": ["War|Drama", "Drama|War|Crime", "Crime"]}), ids)
    assert bars["genres"].to_pylist() == [["Drama", "War", "Crime"], ["War", "Drama"], None]
    assert describe(pa.table(table), ids)["title"].to_pylist() == [None] * 3
    assert describe(pa.table({"item_id": pa.array([], pa.string())}), ids)["title"].to_pylist() == [None] * 3


def test_a_folder_with_text_ids_and_disliked_items_reads_back(world, tmp_path):
    data = histories.load(world / "features")
    users, items = odd_ids(len(data.user_ids)), odd_ids(len(data.item_ids))
    row = data.seen[1].indices[0], 149  # one that user 1 has seen, one that they have not
    disliked = sp.csr_matrix((np.ones(2, np.float32), ([1, 1], row)), shape=data.seen.shape)
    about = pa.table({"item_id": items[::-1], "title": items[::-1]})
    catalogue.write(tmp_path, replace(data, user_ids=users, item_ids=items, disliked=disliked), about, about[:0])
    made = catalogue.load(tmp_path)
    assert made.titles == made.items.tolist() == items.tolist()
    assert [made.user_row(user) for user in ODD] == [users.tolist().index(user) for user in ODD]
    assert made.item_row("no such item") is None
    assert made.excluded(1).tolist() == sorted({*data.seen[1].indices, 149})
    assert made.excluded(2).tolist() == sorted(data.seen[2].indices)
    assert set(made.find_users("7", 100)) == {user for user in users if user.startswith("7")}


def test_histories_view_counts_and_demographics_are_those_of_the_features(world, items_and_users):
    features = histories.load(world / "features")
    pairs = [(column, value) for column, values in features.spec["user_columns"].items() for value in values]
    for user in range(len(features.user_ids)):
        span = slice(features.histories.indptr[user], features.histories.indptr[user + 1])
        items, time = items_and_users.history(user)
        np.testing.assert_array_equal(items, features.histories.item[span])
        np.testing.assert_array_equal(time, features.histories.time[span])
        expected = {pairs[i] for i in features.users[user].indices}
        assert set(items_and_users.demographics(user)) == expected
    watched = np.asarray(features.seen.sum(0)).ravel()
    np.testing.assert_array_equal(items_and_users.view_counts, [*watched, 0, 0, 0])


def test_the_gap_is_the_median_time_between_two_items_of_a_history(world, items_and_users):
    h = histories.load(world / "features").histories
    gaps = [np.diff(h.time[start:end]) for start, end in zip(h.indptr[:-1], h.indptr[1:], strict=True)]
    assert items_and_users.gap == int(np.median(np.concatenate(gaps)))


def test_items_are_found_by_a_part_of_their_title_the_most_watched_first(items_and_users):
    rows = items_and_users.find_items("fILM 1", 500)
    assert sorted(rows) == [1, *range(10, 20), *range(100, 150)]
    assert (np.diff(items_and_users.view_counts[rows]) <= 0).all()
    assert items_and_users.find_items("fILM 1", 3) == rows[:3]
    assert items_and_users.find_items("no such film", 5) == []
    assert items_and_users.find_items(".*", 5) == [], "the text is no pattern"


def test_random_users_are_users(items_and_users):
    sample = items_and_users.find_users("", 20)
    assert len(set(sample)) == 20
    assert all(items_and_users.user_row(user) is not None for user in sample)
    assert len(items_and_users.find_users("", 1000)) == len(items_and_users.users)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: (path / "catalogue.json").unlink(), "catalogue.json is missing"),
        (lambda path: (path / "user_ids.parquet").unlink(), "user_ids.parquet is missing"),
        (
            lambda path: (path / "catalogue.json").write_text("{"),
            "catalogue.json: does not read: Expecting property name",
        ),
        (lambda path: (path / "time.npy").write_bytes(b""), "time.npy: does not match its hash in catalogue.json"),
    ],
)
def test_a_damaged_folder_is_refused(world: Path, tmp_path: Path, damage, reason):
    path = Path(shutil.copytree(world / "models" / "catalogue", tmp_path / "catalogue"))
    damage(path)
    with pytest.raises(Problem, match=reason):
        catalogue.load(path)
