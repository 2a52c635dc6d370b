"""Lists of other systems: what is read, what is said, and what is refused with the file and the row."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from retrieval.errors import Problem
from retrieval.evaluation.external import External, read_all
from retrieval.histories import Features, Histories

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

TRAIN = [[0], [0, 1], [2]]  # the items (rows) of users 10, 20, 30; items are 5, 6, 7, 8


def features(text: bool = False, **facts: Any) -> Features:
    item = np.concatenate(TRAIN).astype(np.int32)
    indptr = np.append(0, np.cumsum([len(items) for items in TRAIN]))
    histories = Histories(indptr, item, np.zeros(len(item), np.int64), np.ones(len(item), np.float32))
    none = [sp.csr_matrix((count, 0), dtype=np.float32) for count in (3, 4)]
    ids = [np.array([10, 20, 30]), np.array([5, 6, 7, 8])]
    if text:
        ids = [np.array([str(each) for each in side], dtype=object) for side in ids]
    return Features(histories, *none, *ids, {"repeats": "drop"} | facts)


GOOD = {"user_id": [30, 10, 10], "item_id": [8, 7, 6], "rank": [1, 2, 1]}


def read(folder: Path, *tables: dict, data: Features | None = None, cold: tuple = (), length: int = 3) -> External:
    """One system of a file per table, a.parquet, b.parquet, ..."""
    (folder / "mine").mkdir(exist_ok=True)
    for name, table in zip("abc", tables, strict=False):
        pd.DataFrame(table).to_parquet(folder / "mine" / f"{name}.parquet")
    data = data or features()
    ids = np.array(cold, dtype=data.user_ids.dtype)
    return read_all(folder, data, ids, data.user_ids[[0, 2]], ["dssm"], length)["mine"]


def test_lists_are_in_the_order_of_the_ranks_and_missing_ones_are_empty_and_said(tmp_path, capsys):
    found = read(tmp_path, {"user_id": [10, 10], "item_id": [7, 6], "rank": [4, 1]}, length=2)
    assert found.lists(np.array([30, 10])).tolist() == [[-1, -1], [1, 2]]
    line = f"evaluate: {tmp_path / 'mine'}: 1 of 2 test users have no list: an empty one\n"
    assert capsys.readouterr().err == line
    read(tmp_path, GOOD, length=2)
    assert capsys.readouterr().err == ""


def test_lists_that_are_all_short_are_said(tmp_path, capsys):
    found = read(tmp_path, GOOD, length=4)
    assert found.lists(np.array([30, 10])).tolist() == [[3, -1, -1, -1], [1, 2, -1, -1]]
    line = f"{tmp_path / 'mine'}: its lists have at most 2 items, and `evaluate.ks` asks for 4: metrics of longer lists"
    assert line in capsys.readouterr().err


def test_scores_order_a_list_and_equal_ones_stay_in_the_order_of_the_rows(tmp_path):
    found = read(tmp_path, {"user_id": [10] * 3, "item_id": [8, 6, 7], "score": [0.5, 2, 0.5]}, length=2)
    assert found.lists(np.array([10])).tolist() == [[1, 3]]


def test_a_list_may_be_in_several_files_with_other_types_and_columns(tmp_path):
    first = pd.DataFrame(GOOD).astype({"user_id": "int32", "item_id": str, "rank": "float64"}).assign(title="x")
    second = {"user_id": ["10", "20"], "item_id": [8, 7], "rank": [3, 1]}
    found = read(tmp_path, first, second)
    assert found.lists(np.array([10, 20, 30])).tolist() == [[1, 2, 3], [2, -1, -1], [3, -1, -1]]
    text = read(tmp_path, first, second, data=features(text=True))
    assert text.lists(np.array(["10", "20", "30"], object)).tolist() == [[1, 2, 3], [2, -1, -1], [3, -1, -1]]


def test_users_who_are_not_in_train_may_have_lists(tmp_path, capsys):
    found = read(tmp_path, GOOD, {"user_id": [7], "item_id": [5], "rank": [1]}, cold=(7, 9))
    assert found.lists(np.array([7, 9])).tolist() == [[0, -1, -1], [-1, -1, -1]]
    assert "1 of 2 test users who are not in train have no list: an empty one" in capsys.readouterr().err


def test_where_repeats_count_lists_may_have_them(tmp_path):
    table = {"user_id": [10], "item_id": [5], "rank": [1]}
    assert read(tmp_path, table, data=features(repeats="keep")).items.tolist() == [[0, -1, -1]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user_id": [30, 11, 10]}, "a.parquet: row 2: user_id 11 is neither in train nor in the test"),
        ({"user_id": ["30", "10", "x"]}, "a.parquet: row 3: user_id 'x' is neither in train nor in the test"),
        ({"item_id": [8, 7, 99]}, "a.parquet: row 3: item_id 99 is not in train"),
        ({"item_id": [8.0, None, 6]}, "a.parquet: row 1: item_id 8.0 is not in train"),
        ({"item_id": ["8", None, "6"]}, "a.parquet: row 2: item_id is empty"),
        ({"rank": [1, None, 2]}, "a.parquet: row 2: rank is empty; expected an integer from 1"),
        ({"rank": [0, 1, 2]}, "a.parquet: row 1: rank is 0; expected an integer from 1"),
        ({"rank": [1, 1.5, 2]}, "a.parquet: row 2: rank is 1.5; expected an integer from 1"),
        ({"rank": ["a", "b", "c"]}, "a.parquet: column rank: has type .*string; expected an integer from 1"),
        ({"rank": [1, 1, 1]}, "a.parquet: row 3: user 10 has rank 1 twice"),
        ({"item_id": [8, 7, 7]}, "a.parquet: row 3: user 10 has item 7 twice"),
        ({"item_id": [8, 7, 5]}, r"a.parquet: row 3: user 10 has watched or dislikes item 5 .* \(1 of 3 rows\)"),
    ],
)
def test_a_row_that_does_not_fit_is_refused(tmp_path, change, message):
    with pytest.raises(Problem, match=message) as error:
        read(tmp_path, GOOD | change)
    assert "\n" not in str(error.value)


def test_the_row_is_that_of_its_file(tmp_path):
    with pytest.raises(Problem, match=r"b\.parquet: row 2: user 30 has item 8 twice"):
        read(tmp_path, GOOD, {"user_id": [20, 30], "item_id": [8, 8], "rank": [1, 2]})


def test_a_system_without_a_row_is_refused_and_one_empty_file_of_several_is_not(tmp_path):
    empty = pd.DataFrame(GOOD)[:0]
    with pytest.raises(Problem, match=r"/mine: no rows in a\.parquet; expected a row for each user and item$"):
        read(tmp_path, empty)
    with pytest.raises(Problem, match=r"/mine: no rows in a\.parquet and 1 more; expected"):
        read(tmp_path, empty, empty.astype(object))
    assert read(tmp_path, empty, GOOD).users.tolist() == [10, 30]


def test_disliked_items_are_refused(tmp_path):
    disliked = sp.csr_matrix((np.ones(1, np.float32), ([2], [3])), shape=(3, 4))
    with pytest.raises(Problem, match=r"a\.parquet: row 1: user 30 has watched or dislikes item 8"):
        read(tmp_path, GOOD, data=replace(features(), disliked=disliked))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"user": [1], "item_id": [5], "rank": [1]}, "no column user_id; its columns: user, item_id, rank$"),
        ({"user_id": [10], "item_id": [6]}, "no column rank or score; its columns: user_id, item_id$"),
    ],
)
def test_a_missing_column_is_named(tmp_path, table, message):
    with pytest.raises(Problem, match=rf"a\.parquet: {message}"):
        read(tmp_path, table)


def test_a_system_that_dvc_has_not_checked_out_is_said(tmp_path, capsys):
    (tmp_path / "mine.dvc").touch()
    data = features()
    assert read_all(tmp_path, data, data.user_ids[:0], data.user_ids, [], 3) == {}
    line = f"evaluate: {tmp_path / 'mine'}: is missing and not judged; run dvc checkout\n"
    assert capsys.readouterr().err == line
    read(tmp_path, GOOD, length=2)
    assert capsys.readouterr().err == ""


def test_folders_that_are_no_system_are_refused(tmp_path):
    (tmp_path / "README.md").touch()
    (tmp_path / ".hidden").mkdir()
    data = features()
    arguments = data, np.zeros(0, np.int64), data.user_ids, ["dssm"], 3
    assert read_all(tmp_path / "none", *arguments) == read_all(tmp_path, *arguments) == {}
    for name, message in (
        ("dssm", r"external/dssm: 'dssm' is the name of a model; rename"),
        ("a.b", r"external/a\.b: 'a\.b' is not a name of letters, digits, _ and -"),
        ("new", r"external/new: has no parquet file"),
    ):
        (tmp_path / "external" / name).mkdir(parents=True)
        with pytest.raises(Problem, match=message):
            read_all(tmp_path / "external", *arguments)
        (tmp_path / "external" / name).rmdir()
    (tmp_path / "external" / "a.parquet").write_text("x")
    with pytest.raises(Problem, match=r"a\.parquet: expected a folder per system: .*external/NAME/\*\.parquet"):
        read_all(tmp_path / "external", *arguments)
    (tmp_path / "external" / "a.parquet").unlink()
    (tmp_path / "external" / "new").mkdir()
    (tmp_path / "external" / "new" / "a.parquet").write_text("x")
    with pytest.raises(Problem, match=r"new/a\.parquet: not a parquet file: "):
        read_all(tmp_path / "external", *arguments)
    pd.DataFrame(GOOD).to_parquet(tmp_path / "external" / "new" / "a.parquet")
    pd.DataFrame({"user_id": [20], "item_id": [7], "score": [1]}).to_parquet(
        tmp_path / "external" / "new" / "b.parquet"
    )
    with pytest.raises(Problem, match=r"b\.parquet: has a column score, other files of the folder a column rank"):
        read_all(tmp_path / "external", *arguments)
