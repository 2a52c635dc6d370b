"""The catalogue: rows, titles, histories and demographics by id, and searches."""

import shutil
from pathlib import Path

from retrieval import histories
from retrieval.errors import Problem
from retrieval.search import catalogue
from retrieval.search.catalogue import Catalogue

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


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


def test_histories_view_counts_and_demographics_are_those_of_the_features(world, items_and_users):
    features = histories.load(world / "features")
    pairs = [(column, value) for column, values in features.spec["user_columns"].items() for value in values]
    for user in range(len(features.user_ids)):
        span = slice(features.histories.indptr[user], features.histories.indptr[user + 1])
        items, time = items_and_users.history(user)
        np.testing.assert_array_equal(items, features.histories.item[span])
        np.testing.assert_array_equal(time, features.histories.time[span])
        expected = {pairs[i] for i in features.users[user].indices}
        assert set(items_and_users.demographics(user).items()) == expected
    np.testing.assert_array_equal(items_and_users.view_counts, np.asarray(features.seen.sum(0)).ravel())


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


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**19 - 1).map(str) | st.from_regex(r"\A[0-9]{1,3}\Z"))
def test_users_are_found_by_their_first_digits(digits):
    ids = np.array([0, 1, 5, 12, 15, 123, 129, 1200, 2**63 - 1])
    users = Catalogue(ids[:1], ids, *[ids] * 5, [], [], [], ids, {}, 0)
    expected = [i for i in ids.tolist() if str(i).startswith(str(int(digits)))]
    assert sorted(users.find_users(digits, 100)) == expected


def test_random_users_are_users(items_and_users):
    sample = items_and_users.find_users("", 20)
    assert len(set(sample)) == 20
    assert all(items_and_users.user_row(user) is not None for user in sample)
    assert len(items_and_users.find_users("", 1000)) == len(items_and_users.users)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: (path / "catalogue.json").unlink(), "catalogue.json is missing"),
        (lambda path: (path / "users.npy").unlink(), "users.npy is missing"),
        (lambda path: (path / "catalogue.json").write_text("{"), "not a catalogue: Expecting property name"),
        (lambda path: (path / "time.npy").write_bytes(b""), "time.npy: does not match its hash in catalogue.json"),
    ],
)
def test_a_damaged_folder_is_refused(world: Path, tmp_path: Path, damage, reason):
    path = Path(shutil.copytree(world / "models" / "catalogue", tmp_path / "catalogue"))
    damage(path)
    with pytest.raises(Problem, match=reason):
        catalogue.load(path)
