"""The synthetic data set: KION's counts in miniature, equal bytes for equal seeds, tastes that can be learned."""

from pathlib import Path

from retrieval.sources import synthetic
from retrieval.sources.synthetic import Synthetic

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.stats.contingency import association
from worlds import section

SCALE = 0.001


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("small")
    raw = synthetic.fetch(Synthetic(**section("synthetic", scale=SCALE)), 1, out)
    assert raw.rows == {"interactions.parquet": 5476, "users.parquet": 840, "items.parquet": 505}
    return out


def test_counts_are_kions(small: Path) -> None:
    rows = pd.read_parquet(small / "interactions.parquet")
    users, items = pd.read_parquet(small / "users.parquet"), pd.read_parquet(small / "items.parquet")
    # 962,179 users and 5,476,251 rows times 0.001; 15,706 and 15,963 items times its root, 0.0316
    assert (len(rows), rows["user_id"].nunique(), rows["item_id"].nunique()) == (5476, 962, 497)
    assert not rows.duplicated(["user_id", "item_id"]).any()
    assert rows["value"].isna().sum() == 1  # 828 times 0.001
    assert rows["time"].min() >= pd.Timestamp("2021-03-13")
    assert rows["time"].max() <= pd.Timestamp("2021-08-22")
    assert users["user_id"].is_unique
    assert items["item_id"].is_unique
    assert rows["item_id"].isin(items["item_id"]).all()
    assert (
        users["user_id"].isin(rows["user_id"]).sum() == 744
    )  # 744,288 of the 840,197 users in users.csv have watched anything
    length = rows["user_id"].value_counts()
    assert 0.45 < (length <= 3).mean() < 0.6
    assert length.max() > 50


def test_the_columns_are_kions(small: Path) -> None:
    users, items = pq.read_table(small / "users.parquet"), pq.read_table(small / "items.parquet")
    assert users.column_names == ["user_id", "age", "income", "sex", "kids_flg"]
    assert sum(len(users[name].unique().drop_null()) for name in users.column_names[1:]) == 16
    assert items.column_names == [
        "item_id", "content_type", "title", "title_orig", "release_year", "genres", "countries", "for_kids",
        "age_rating", "studios", "directors", "actors", "description", "keywords",
    ]  # fmt: skip
    names = pq.read_schema(small / "interactions.parquet").names
    assert names == ["user_id", "item_id", "time", "tie", "value", "duration"]


def test_equal_seeds_write_equal_bytes_and_others_do_not(small: Path, tmp_path: Path) -> None:
    synthetic.fetch(Synthetic(**section("synthetic", scale=SCALE)), 1, tmp_path)
    assert all((tmp_path / path.name).read_bytes() == path.read_bytes() for path in small.iterdir())
    synthetic.fetch(Synthetic(**section("synthetic", scale=SCALE)), 2, tmp_path)
    assert not any((tmp_path / path.name).read_bytes() == path.read_bytes() for path in small.iterdir())


def test_the_smallest_scale_works(tmp_path: Path) -> None:
    raw = synthetic.fetch(Synthetic(**section("synthetic", scale=1e-4)), 0, tmp_path)
    assert raw.rows == {"interactions.parquet": 548, "users.parquet": 84, "items.parquet": 160}


def test_new_items_appear_in_the_last_week(tmp_path: Path) -> None:
    """A quarter of the items are premieres, spread over 183 days, of which 7 are the last week: 1 %, 32 of 3,193 items.
    They are releases of 2021, some are hits at once, and others of their niche have been watched before."""
    synthetic.fetch(Synthetic(**section("synthetic", scale=0.04)), 1, tmp_path)
    rows, items = pd.read_parquet(tmp_path / "interactions.parquet"), pd.read_parquet(tmp_path / "items.parquet")
    first = rows.groupby("item_id")["time"].min()
    new = first.index[first > rows["time"].max() - pd.Timedelta(days=7)]
    assert 16 <= len(new) <= 64
    views = rows["item_id"].value_counts()[new]
    premieres = items.set_index("item_id").loc[views.index[views > 3], "release_year"]
    assert len(premieres) > 8
    assert (premieres == "2021.0").mean() > 0.6
    genres = items.set_index("item_id")["genres"].str.split(", ").str[0]
    assert genres[new].isin(genres[first.index.difference(new)]).all()


def recall_at_10(scores: np.ndarray, seen: np.ndarray, relevant: np.ndarray) -> float:
    """Mean Recall@10 over users; scores, seen and relevant [users, items]."""
    scores = np.where(seen, -np.inf, scores)
    top = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    return float((np.take_along_axis(relevant, top, axis=1).sum(axis=1) / relevant.sum(axis=1)).mean())


def test_tastes_can_be_learned_and_trends_can_be_followed(tmp_path: Path) -> None:
    """ItemKNN beats popularity by half, and the popularity of the last week beats that of all time.

    The mean over four worlds of a thousand users, so that it is not luck.
    """
    recall = []
    for seed in range(4):
        synthetic.fetch(Synthetic(**section("synthetic", scale=SCALE)), seed, tmp_path)
        rows = pd.read_parquet(tmp_path / "interactions.parquet")
        moment = rows["time"].max() - pd.Timedelta(days=6)
        before, after = rows[rows["time"] < moment], rows[rows["time"] >= moment]
        after = after[after["user_id"].isin(before["user_id"]) & after["item_id"].isin(before["item_id"])]
        users, items = before["user_id"].unique(), before["item_id"].unique()

        def matrix(rows: pd.DataFrame, users: np.ndarray = users, items: np.ndarray = items) -> np.ndarray:
            table = np.zeros((len(users), len(items)))
            table[pd.Index(users).get_indexer(rows["user_id"]), pd.Index(items).get_indexer(rows["item_id"])] = 1
            return table

        train, test = matrix(before), matrix(after)
        week = matrix(before[before["time"] > before["time"].max() - pd.Timedelta(days=7)])
        cosine = train.T @ train / np.sqrt(np.outer(train.sum(axis=0), train.sum(axis=0)))
        np.fill_diagonal(cosine, 0)
        tested = test.any(axis=1)
        popular, recent = (np.tile(table.sum(axis=0), (len(users), 1)) for table in (train, week))
        recall.append(
            [recall_at_10(s[tested], train[tested] > 0, test[tested]) for s in (popular, recent, train @ cosine)]
        )
    popular, recent, personal = np.mean(recall, axis=0)
    assert recent > 1.2 * popular
    assert personal > 1.5 * popular


def test_tastes_follow_age_and_sex_and_nothing_else(small: Path) -> None:
    rows = pd.read_parquet(small / "interactions.parquet")
    users, items = pd.read_parquet(small / "users.parquet"), pd.read_parquet(small / "items.parquet")
    rows = rows.merge(users, on="user_id").merge(items, on="item_id")
    genre = rows["genres"].str.split(",").str[0]  # the first one is the niche's own
    tied = {name: association(pd.crosstab(rows[name], genre).to_numpy()) for name in users.columns[1:]}  # Cramér's V
    assert min(tied["age"], tied["sex"]) > 0.2
    assert max(tied["income"], tied["kids_flg"]) < 0.15
