"""The stage features on small prepared tables: histories in time order, feature matrices, and their vocabulary."""

from pathlib import Path

import features
from retrieval import histories
from retrieval.columns import Columns
from retrieval.histories import Features
from retrieval.stage import write_json

import pandas as pd
import pytest
from worlds import section

PARAMS = features.FeaturesParams(
    columns=Columns(**section("columns", user=["sex", "age"], item=["genres", "decade"], multiple=["genres"], text=[]))
)


@pytest.fixture
def result(tmp_path: Path) -> Features:
    """Users 7 and 9 and items 3 and 5 are in train; user 8 is cold, item 4 is in no interaction."""
    prepared = tmp_path / "prepared"
    prepared.mkdir()
    times = pd.to_datetime(["2021-03-01 00:00:01", "2021-03-02 00:00:00", "2021-03-03 00:00:00"])
    train = {
        "user_id": [9, 7, 9],
        "item_id": [5, 5, 3],
        "datetime": times.astype("datetime64[us]"),
        "weight": [1, 2, 3],
    }
    pd.DataFrame(train).sort_values(["user_id", "datetime"]).astype({"weight": "float32"}).to_parquet(
        prepared / "train.parquet"
    )
    pd.DataFrame({"user_id": [7, 8], "sex": ["M", "F"]}).to_parquet(prepared / "users.parquet")
    items = {"item_id": [3, 4, 5], "genres": ["war, drama", "comedy", "drama"], "release_year": ["1994", "1980", None]}
    pd.DataFrame(items).to_parquet(prepared / "items.parquet")
    write_json(prepared / "stats.json", {"split": "days", "moment": 1614816000, "repeats": "drop", "timed": True})
    features.main(PARAMS, prepared, tmp_path / "features")
    return histories.load(tmp_path / "features")


def test_histories_are_by_user_in_time_order(result: Features) -> None:
    assert result.user_ids.tolist() == [7, 9]
    assert result.item_ids.tolist() == [3, 5]
    assert result.histories.indptr.tolist() == [0, 1, 3]
    assert result.histories.item.tolist() == [1, 1, 0]
    assert result.histories.time.tolist() == [1614643200, 1614556801, 1614729600]
    assert result.histories.weight.tolist() == [2, 1, 3]


def test_features_are_those_of_the_users_and_items_of_train(result: Features) -> None:
    assert result.spec["user_columns"] == {"sex": ["M"]}  # F is that of a cold user, age is in no table
    assert result.users.toarray().tolist() == [[1], [0]]
    assert result.spec["item_columns"] == {"genres": ["drama", "war"], "decade": ["1990"]}
    assert result.items.toarray().tolist() == [[1, 1, 1], [1, 0, 0]]


def test_the_split_and_its_moment_are_passed_on(result: Features) -> None:
    assert (result.spec["split"], result.spec["moment"]) == ("days", 1614816000)


def test_a_name_in_multiple_that_neither_items_nor_users_have_is_said(
    result: Features, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = PARAMS.columns.model_copy(update={"user": ["sex"], "multiple": ["genre", "sex"]})
    features.main(features.FeaturesParams(columns=columns), tmp_path / "prepared", tmp_path / "features")
    line = "features: items and users have no column 'genre'; did you mean 'genres'?\n"
    assert capsys.readouterr().err == line


def test_auto_stands_for_the_columns_that_the_source_names(tmp_path: Path) -> None:
    prepared = tmp_path / "prepared"
    prepared.mkdir()
    times = pd.Series(pd.to_datetime(["2021-03-01", "2021-03-02"])).astype("datetime64[us]")
    train = pd.DataFrame({"user_id": [1, 2], "item_id": [3, 4], "datetime": times, "weight": [1, 1]})
    train.astype({"weight": "float32"}).to_parquet(prepared / "train.parquet")
    pd.DataFrame({"user_id": [1, 2], "sex": ["M", "F"], "shoe": ["S", "L"]}).to_parquet(prepared / "users.parquet")
    pd.DataFrame({"item_id": [3, 4], "genres": ["war, drama", "war"]}).to_parquet(prepared / "items.parquet")
    columns = Columns(**section("columns", user="auto", item="auto", multiple="auto", text=[]))
    stats = {"split": "days", "moment": 0, "repeats": "drop", "timed": True}
    for listed, expected in [({"user": ["sex"], "item": []}, {"sex"}), (None, {"sex", "shoe"})]:
        write_json(prepared / "stats.json", {**stats, "columns": listed})
        features.main(features.FeaturesParams(columns=columns), prepared, tmp_path / "features")
        assert set(histories.load(tmp_path / "features").spec["user_columns"]) == expected
