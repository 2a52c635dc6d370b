"""Interactions in time order, and the folder that holds them."""

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

from retrieval import histories
from retrieval.errors import Problem
from retrieval.histories import Features, Histories

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from worlds import features_of


def at(second: int) -> dt.datetime:
    return dt.datetime(2021, 3, 13, tzinfo=dt.UTC).replace(tzinfo=None) + dt.timedelta(seconds=second)


ROWS = {
    "user_id": [4, 4, 7, 7, 7],
    "item_id": [10, 20, 30, 20, 10],
    "datetime": [at(1), at(3), at(0), at(2), at(2)],
    "weight": [2.0, 5.0, 1.0, 4.0, 3.0],
}
USERS, ITEMS = np.array([4, 7]), np.array([10, 20, 30])
HISTORIES = Histories(
    np.array([0, 2, 5]),
    np.array([0, 1, 2, 1, 0], np.int32),
    np.array([int(time.replace(tzinfo=dt.UTC).timestamp()) for time in ROWS["datetime"]]),
    np.array(ROWS["weight"], np.float32),
)


def write(path: Path, rows: dict[str, list[Any]]) -> Path:
    types = {"datetime": pa.timestamp("us"), "weight": pa.float32()}
    table = {name: pa.array(values, types.get(name)) for name, values in rows.items()}
    pq.write_table(pa.table(table), path, row_group_size=2)
    return path


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_rows_become_histories_however_they_are_cut_into_batches(batch, tmp_path, monkeypatch):
    monkeypatch.setattr(histories, "BATCH", batch)
    h, users, items = histories.read(write(tmp_path / "train.parquet", ROWS))
    assert (users.tolist(), items.tolist()) == ([4, 7], [10, 20, 30])
    for field in ("indptr", "item", "time", "weight"):
        assert getattr(h, field).tolist() == getattr(HISTORIES, field).tolist()
        assert getattr(h, field).dtype == getattr(HISTORIES, field).dtype
    assert h.time[2] == 1615593600  # 2021-03-13 00:00 UTC
    assert h.user.tolist() == [0, 0, 1, 1, 1]
    assert h.matrix(3).toarray().tolist() == [[1, 1, 0], [1, 1, 1]]


def test_a_repeated_pair_counts_as_one():
    """User 0 had item 2 three times and item 0 once, user 1 had items 2, 1, 2."""
    data = features_of([[2, 0, 2, 2], [2, 1, 2]], 4)
    assert len(data.histories.item) == 7
    for only, expected in (
        ([True] * 7, [[1, 0, 1, 0], [0, 1, 1, 0]]),
        ([False] * 4 + [True] * 3, [[0] * 4, [0, 1, 1, 0]]),
    ):
        matrix = data.histories.only(np.array(only)).matrix(4)
        assert matrix.toarray().tolist() == expected
        assert matrix.nnz == np.sum(expected)
        assert matrix.has_sorted_indices
    assert data.counts.tolist() == [1, 1, 2, 0]


def test_ids_that_are_text_are_ordered_by_code_point(tmp_path):
    rows = {"user_id": ["007", "a", "é"], "item_id": ["b", " b", "B"], "datetime": [at(0)] * 3, "weight": [1.0] * 3}
    h, users, items = histories.read(write(tmp_path / "train.parquet", rows))
    assert (users.tolist(), items.tolist()) == (["007", "a", "é"], [" b", "B", "b"])
    assert h.item.tolist() == [2, 0, 1]


def test_a_saved_folder_reads_back_and_its_hash_follows_the_content(tmp_path):
    h = replace(HISTORIES, weight=HISTORIES.weight.copy())
    features = histories.Features(
        h,
        sp.csr_matrix(np.eye(2, dtype=np.float32)),
        sp.csr_matrix((3, 0), dtype=np.float32),
        USERS,
        ITEMS,
        {"moment": 1, "repeats": "drop", "timed": True},
    )
    hashes = []
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        if name == "c":
            h.weight[0] = 9
        histories.save(tmp_path / name, features)
        read = histories.load(tmp_path / name)
        hashes.append(read.spec["data"])
        for field in ("indptr", "item", "time", "weight"):
            assert np.array_equal(getattr(read.histories, field), getattr(h, field))
        assert (read.users != features.users).nnz == 0
        assert read.items.shape == (3, 0)
        assert read.seen.sum() == 5
    assert hashes[0] == hashes[1] != hashes[2]


def test_facts_about_the_data():
    """Item 30 was watched once, by user 7; the oldest of the five interactions is 3 s, 3 / 86,400 days, old."""
    h = HISTORIES
    none = sp.csr_matrix((2, 0), dtype=np.float32)
    for split in ("days", "leave-last"):
        features = histories.Features(h, none, none, USERS, ITEMS, {"split": split})
        assert features.counts.tolist() == [2, 2, 1]
        assert (features.age * 86_400).tolist() == pytest.approx([2, 0, 3, 1, 1])
        assert features.by_days == (split == "days")


def test_large_histories_are_gone_over_less_often_but_not_too_rarely(monkeypatch):
    """Six interactions: 50 allow 8 passes, 20 would allow 3."""
    features = features_of([[0, 1, 2], [3, 4, 5]], 6)
    for interactions, passes in ((1000, 20), (50, 8), (20, 5)):
        monkeypatch.setattr("retrieval.histories.PASSED", interactions)
        assert features.passes("auto", 20, 5) == passes
    assert features.passes("auto", 3, 1) == 3
    assert features.passes(30, 20, 5) == 30


def test_categories_are_no_words_and_no_vectors_of_texts():
    columns = {"genres": ["a", "b"], "title": ["war"], "title (vectors)": ["0", "1"], "decade": ["1990"]}
    found = features(item_columns=columns, item_texts={"title": [1.0]}).categories
    assert found == {"genres": ["a", "b"], "decade": ["1990"]}
    assert features(item_columns=columns).categories == columns


def features(**facts: Any) -> Features:
    none = sp.csr_matrix((2, 0), dtype=np.float32), sp.csr_matrix((3, 0), dtype=np.float32)
    return Features(HISTORIES, *none, USERS, ITEMS, {"repeats": "drop"} | facts)


def test_lists_leave_out_what_was_seen_unless_repeats_are_kept_and_what_is_disliked():
    """User 4 has seen items 10 and 20, user 7 all; user 4 dislikes item 30, and item 20, which they have seen."""
    disliked = sp.csr_matrix(np.array([[0, 2, 1], [0, 0, 0]], dtype=np.float32))
    for repeats, dislikes, expected in (
        ("drop", None, [[1, 1, 0], [1, 1, 1]]),
        ("drop", disliked, [[1, 1, 1], [1, 1, 1]]),
        ("keep", None, [[0, 0, 0], [0, 0, 0]]),
        ("keep", disliked, [[0, 1, 1], [0, 0, 0]]),
    ):
        excluded = replace(features(repeats=repeats), disliked=dislikes).excluded
        assert excluded.dtype == np.float32
        assert excluded.toarray().tolist() == expected


def test_text_ids_and_disliked_items_read_back(tmp_path):
    users, items = np.array([" 7", "007"], dtype=object), np.array(["", "a\nb", "Ü/ü"], dtype=object)
    disliked = sp.csr_matrix(np.array([[0, 0, 1], [0, 0, 0]], dtype=np.float32))
    histories.save(tmp_path, replace(features(), user_ids=users, item_ids=items, disliked=disliked))
    read = histories.load(tmp_path)
    assert (read.user_ids.tolist(), read.item_ids.tolist()) == (users.tolist(), items.tolist())
    assert read.disliked.toarray().tolist() == disliked.toarray().tolist()
    again = tmp_path / "again"
    again.mkdir()
    histories.save(again, features())
    assert histories.load(again).disliked is None


@pytest.mark.parametrize("name", ["histories.npz", "user_ids.parquet", "item_ids.parquet", "users.npz", "spec.json"])
def test_a_folder_that_lacks_a_file_is_refused(tmp_path, name):
    histories.save(tmp_path, features())
    (tmp_path / name).unlink()
    with pytest.raises(Problem, match=f"{name} is missing; run the stage features first"):
        histories.load(tmp_path)


@pytest.mark.parametrize("name", ["histories.npz", "user_ids.parquet", "items.npz", "spec.json"])
def test_a_folder_with_garbage_is_refused(tmp_path, name):
    histories.save(tmp_path, features())
    (tmp_path / name).write_bytes(b"garbage")
    with pytest.raises(Problem, match=r"not a folder of features: .*; run the stage features again"):
        histories.load(tmp_path)
